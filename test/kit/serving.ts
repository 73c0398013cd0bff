import { freePort } from "./free-port.ts";
import { type Program, startSource } from "./program.ts";

/** `serve` as a process of its own, on a port of its own: it can be killed, and started again where it was. */
export class Serving implements AsyncDisposable {
  readonly port: number;
  readonly #flags: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  #program: Program | undefined;

  constructor(port: number, flags: readonly string[], env: Readonly<Record<string, string>>) {
    this.port = port;
    this.#flags = flags;
    this.#env = env;
  }

  /** Where clients find it, also while it is away. */
  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** What it said so far, since it was last started, line by line. */
  get lines(): readonly string[] {
    return this.#program?.lines ?? [];
  }

  /** The same with what it logged, as one text. */
  get text(): string {
    return this.#program?.text ?? "";
  }

  /** Starts it, where it was; resolves when clients can connect. */
  async start(): Promise<void> {
    const flags = ["--port", `${this.port}`, "--log-level", "warn", ...this.#flags];
    this.#program = startSource("src/cli/main.ts", ["serve", ...flags], { env: this.#env });
    await this.#program.line(/^listening/);
  }

  /** Sends it a signal. */
  signal(signal: NodeJS.Signals): void {
    this.#program?.kill(signal);
  }

  /** Ends it as a crash would, or with another signal; resolves when it is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#program?.kill(signal);
    await this.#program?.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program?.[Symbol.asyncDispose]();
  }
}

/** Starts one for the given Redis. */
export async function startServing(
  redisUrl: string,
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Serving> {
  const serving = new Serving(await freePort(), ["--redis-url", redisUrl, ...flags], env);
  await serving.start();
  return serving;
}
