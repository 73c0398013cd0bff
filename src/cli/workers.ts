import cluster, { type Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import { backoffMs } from "../protocol/backoff.ts";
import { createLogger } from "../server/log.ts";
import { SettingError, type Settings } from "../server/settings.ts";
import { Channel } from "./channel.ts";
import { answerMs, type Orders, type Refusal, type ToPrimary, type ToWorker } from "./questions.ts";

const firstBackoffMs = 200;
const maxBackoffMs = 10_000;
// A worker that ended sooner than this did not do well: the next pause is longer, not short again.
const steadyMs = 30_000;
// On top of the time to drain. Who has not ended then hangs.
const graceMs = 2_000;

interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
}

/** One process of the gateway, from its beginning to its end. */
interface Running {
  readonly worker: Worker;
  readonly channel: Channel<ToWorker, ToPrimary>;
  readonly ended: Promise<Ending>;
  /** Where it listens, as soon as it does. */
  url?: string;
}

/** The gateway as several processes on one port: starts them, brings back those that end, and stops them in turn. */
export class Workers implements AsyncDisposable {
  /** Rejects when there is nothing to wait for: a worker cannot start, and there are no others that serve. */
  readonly failed: Promise<never>;
  readonly #settings: Settings;
  readonly #log: ReturnType<typeof createLogger>;
  readonly #running = new Map<number, Running>();
  readonly #ending = new AbortController();
  #kept: readonly Promise<void>[] = [];
  #url: string | undefined;
  #port: number;
  #isServing = false;
  #serving: () => void = () => {};
  #fail: (error: Error) => void = () => {};

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#port = settings.port;
    this.#log = createLogger(settings.logLevel, settings.logFormat);
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    // Who stops them no longer waits for it.
    this.failed.catch(() => {});
  }

  /** Where clients find them: `ws://127.0.0.1:8765`. @throws Error before one listens */
  get url(): string {
    if (this.#url === undefined) throw new Error("the workers have no address before start()");
    return this.#url;
  }

  /** Starts them; resolves when all of them listen. @throws Error, SettingError one cannot start */
  async start(): Promise<void> {
    const serving = new Promise<void>((resolve) => {
      this.#serving = resolve;
    });
    const numbers = Array.from({ length: this.#settings.workers }, (_, at) => at + 1);
    this.#kept = numbers.map((number) => this.#keep(number));
    await Promise.race([serving, this.failed]);
    this.#isServing = true;
    this.#log.info({ url: this.url, workers: numbers.length }, "all workers listen");
  }

  /** Has all of them read their files again. @throws Error what one of them says that is wrong */
  async reload(): Promise<void> {
    await Promise.all(this.#listening.map(([, { channel }]) => channel.ask("reload")));
  }

  /** Lets one after the other drain and end, so that clients find those that are left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    for (const running of this.#running.values()) await this.#stop(running);
    await Promise.all(this.#kept);
  }

  /** Keeps one worker running. */
  async #keep(number: number): Promise<void> {
    const { signal } = this.#ending;
    for (let failures = 0; !signal.aborted; failures++) {
      const startedAt = performance.now();
      await this.#run(number);
      if (performance.now() - startedAt > steadyMs) failures = 0;
      await delay(backoffMs(failures, firstBackoffMs, maxBackoffMs), undefined, { signal }).catch(() => {});
    }
  }

  async #run(number: number): Promise<void> {
    const worker = cluster.fork();
    const { pid } = worker.process;
    const channel = new Channel<ToWorker, ToPrimary>(worker);
    const ended = new Promise<Ending>((resolve) => {
      worker.once("exit", (code, signal) => resolve({ code, signal }));
      worker.on("error", (err) => {
        this.#log.error({ worker: number, pid, err }, "worker cannot be made or spoken to");
        worker.process.kill("SIGKILL");
        if (pid === undefined) resolve({ code: null, signal: null });
      });
    });
    const running: Running = { worker, channel, ended };
    this.#running.set(number, running);
    channel.answer({
      orders: () => this.#orders(number),
      listening: (url) => this.#listens(number, url),
      refused: (refusal) => this.#refused(number, refusal),
      summaries: () => this.#others(number, "summary"),
      scrapes: () => this.#others(number, "scrape"),
    });
    const { code, signal } = await ended;
    this.#running.delete(number);
    this.#log[this.#ending.signal.aborted ? "info" : "error"]({ worker: number, pid, code, signal }, "worker ended");
    if (!this.#isServing)
      this.#fail(new Error(`worker ${number} ended before all of them listened (code ${code}, signal ${signal})`));
  }

  get #listening(): [number, Running][] {
    return [...this.#running].filter(([, { url }]) => url !== undefined);
  }

  #orders(number: number): Orders {
    // A free port is given back with the last that listens on it; from then on it has to be asked for.
    if (this.#url !== undefined && this.#listening.length === 0) this.#port = Number(new URL(this.#url).port);
    return { number, settings: { ...this.#settings, port: this.#port } };
  }

  #listens(number: number, url: string): void {
    const running = this.#running.get(number);
    if (!running) return;
    this.#url ??= url;
    // It was to share a free port with others that have ended meanwhile, and got one of its own.
    if (url !== this.#url) {
      running.worker.process.kill("SIGKILL");
      return;
    }
    running.url = url;
    this.#log.info({ worker: number, pid: running.worker.process.pid }, "worker listens");
    if (this.#listening.length === this.#settings.workers) this.#serving();
  }

  #refused(number: number, { reason, isSetting }: Refusal): void {
    if (this.#isServing && this.#listening.length > 0)
      this.#log.error({ worker: number, reason }, "worker cannot start");
    else this.#fail(isSetting ? new SettingError(reason) : new Error(reason));
  }

  /** What all workers but one answer; who does not in time is left out. */
  async #others<N extends keyof ToWorker>(but: number, question: N): Promise<ReturnType<ToWorker[N]>[]> {
    const answers = this.#listening
      .filter(([number]) => number !== but)
      .map(([, { channel }]) =>
        channel.ask(question, undefined, answerMs).then(
          (answer) => [answer],
          () => [],
        ),
      );
    return (await Promise.all(answers)).flat(1);
  }

  async #stop({ worker, channel, ended, url }: Running): Promise<void> {
    const kill = () => worker.process.kill("SIGKILL");
    // One that does not listen yet has nobody to say goodbye to.
    if (url === undefined) kill();
    else channel.ask("stop").catch(() => {});
    const deadline = setTimeout(kill, this.#settings.drainMs + graceMs);
    await ended;
    clearTimeout(deadline);
  }
}
