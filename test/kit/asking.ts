import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Wire } from "./gateway.ts";
import type { TestRedis } from "./redis.ts";
import { saveOrder, setTicker } from "./streams.ts";

const refusals = ["CACHE_UNAVAILABLE", "CACHE_TIMEOUT"];
const everyMs = 20;

/**
 * Asks for what nobody changes, again and again, while something goes wrong. Whatever that is, an answer is what Redis
 * held when it began, or says that Redis cannot be read.
 */
export class Asking implements AsyncDisposable {
  readonly #wire: Wire;
  readonly #expected: readonly unknown[];
  readonly #wrong: unknown[] = [];
  readonly #times: number[] = [];
  readonly #errors = new Map<string, number>();
  readonly #running: Promise<void>;
  #isOver = false;

  private constructor(wire: Wire, expected: readonly unknown[]) {
    this.#wire = wire;
    this.#expected = expected;
    this.#running = this.#run();
  }

  /** Writes what is asked for, and begins. */
  static async start(wire: Wire, redis: TestRedis): Promise<Asking> {
    await setTicker(redis, "asked", "BTC/USDT", 7);
    await saveOrder(redis, "asked", "o-1", "open", 3);
    return new Asking(wire, await Promise.all(questions.map(([operation, params]) => wire.ask(operation, params))));
  }

  /** How often each error was answered. */
  get errors(): ReadonlyMap<string, number> {
    return this.#errors;
  }

  /** Ends, when everything is answered. @throws Error an answer was neither what Redis held nor an error of Redis */
  async stop(): Promise<{ readonly answers: number; readonly errors: number; readonly longestMs: number }> {
    this.#isOver = true;
    await this.#running;
    if (this.#wrong.length > 0) throw new Error(`${this.#wrong.length} wrong: ${JSON.stringify(this.#wrong[0])}`);
    const errors = [...this.#errors.values()].reduce((sum, count) => sum + count, 0);
    return { answers: this.#times.length, errors, longestMs: Math.round(Math.max(...this.#times)) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#running.catch(() => {});
  }

  async #run(): Promise<void> {
    const asked: Promise<void>[] = [];
    for (let n = 0; !this.#isOver; n++) {
      const answered = this.#ask(n % questions.length);
      // Where the connection breaks, whoever stops this is told.
      answered.catch(() => {});
      asked.push(answered);
      await pause(everyMs);
    }
    await Promise.all(asked);
  }

  async #ask(at: number): Promise<void> {
    const [operation, params] = questions[at] as (typeof questions)[number];
    const began = performance.now();
    const answer = await this.#wire.request(operation, params);
    this.#times.push(performance.now() - began);
    const code = String(answer["error_code"]);
    if (answer["success"] === true) {
      if (!isDeepStrictEqual(answer["result"], this.#expected[at])) this.#wrong.push(answer);
    } else if (refusals.includes(code)) this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
    else this.#wrong.push(answer);
  }
}

const questions = [
  ["get_ticker", { exchange: "asked", symbol: "BTC/USDT" }],
  ["get_orders", { exchange: "asked" }],
  ["get_all_tickers", { exchange: "asked" }],
  ["get_order_status", { exchange: "asked", order_id: "o-1" }],
] as const;
