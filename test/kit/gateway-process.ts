import { setTimeout as delay } from "node:timers/promises";
import type { ServerOptions } from "../../src/server/websocket-server.ts";
import { Wire } from "./gateway.ts";
import { type Program, startSource } from "./program.ts";
import type { TestRedis } from "./redis.ts";

/** How much memory a process uses after a collection of garbage, in bytes. */
export interface Memory {
  /** The heap and what hangs on it. */
  readonly used: number;
  readonly rss: number;
}

/** A gateway in a process of its own: whatever happens to it, the test goes on, and its memory is nobody else's. */
export class GatewayProcess implements AsyncDisposable {
  readonly url: string;
  readonly #program: Program;
  #measured = 0;

  private constructor(program: Program, url: string) {
    this.#program = program;
    this.url = url;
  }

  /** Starts it; `startGatewayProcess` is its everyday name. */
  static async start(redis: TestRedis, options: Omit<ServerOptions, "log" | "now" | "peers">): Promise<GatewayProcess> {
    const given = { port: 0, redis: redis.gatewayUrl, ...options };
    const program = startSource("test/kit/gateway-program.ts", [JSON.stringify(given)]);
    const { url } = JSON.parse(await program.line(/^\{"url"/)) as { url: string };
    return new GatewayProcess(program, url);
  }

  /** What it said that is wrong with itself: errors in its log, and whatever is no log at all. */
  get faults(): string[] {
    return this.#program.errors.filter((line) => !/^\{"level":[1-4]0,/.test(line));
  }

  /** A raw connection, which the caller closes. */
  wire(): Promise<Wire> {
    return Wire.open(this.url);
  }

  /** Has it stand still for a while. */
  async stall(ms: number): Promise<void> {
    this.#program.kill("SIGSTOP");
    await delay(ms);
    this.#program.kill("SIGCONT");
  }

  /** Collects its garbage, and says what is left. */
  async memory(): Promise<Memory> {
    const nth = ++this.#measured;
    this.#program.kill("SIGUSR2");
    return JSON.parse(await this.#program.line(new RegExp(`^\\{"measured":${nth},`))) as Memory;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}

/** Starts a gateway of its own process on a free port. */
export function startGatewayProcess(
  redis: TestRedis,
  options: Omit<ServerOptions, "log" | "now" | "peers"> = {},
): Promise<GatewayProcess> {
  return GatewayProcess.start(redis, options);
}
