import type { StreamState } from "../client/feed.ts";
import type { ConnectionStatus } from "../client/link.ts";
import type { Bot } from "../operations/bots.ts";
import type { OrderQueue } from "../operations/orders.ts";
import type { ProcessHealth } from "../operations/processes.ts";
import type { ServerInfo } from "../operations/server-info.ts";
import type { Ticker } from "../operations/tickers.ts";
import type { Update } from "../protocol/frames.ts";

/** A ticker, and which way its price went last. */
export interface Moving {
  readonly ticker: Ticker;
  readonly direction: "▲" | "▼" | " ";
}

const rateOverMs = 3_000;

/** What is known of a deployment at this moment. */
export class Board {
  readonly url: string;
  readonly tickers = new Map<string, Moving>();
  readonly queues = new Map<string, OrderQueue>();
  readonly bots = new Map<string, Bot>();
  health: ProcessHealth | undefined;
  connection: ConnectionStatus = { state: "connecting", attempt: 1 };
  server: ServerInfo | undefined;
  /** How long a question took last, in milliseconds. */
  tripMs: number | undefined;
  /** How far the gateway's clock is ahead of this machine's, in seconds. */
  skew = 0;
  /** How many updates came. */
  updates = 0;
  /** How each stream is doing that is not live, by what it shows. */
  readonly waiting = new Map<string, StreamState>();
  /** Why something is not shown at all. */
  readonly refused = new Map<string, string>();
  readonly #counts: { readonly at: number; readonly updates: number }[] = [];

  constructor(url: string) {
    this.url = url;
  }

  /** The time by the gateway's clock, in unix seconds. */
  get now(): number {
    return Date.now() / 1000 + this.skew;
  }

  /** How many updates a second came lately. */
  get rate(): number {
    const [first] = this.#counts;
    const last = this.#counts.at(-1);
    if (!first || !last || first === last) return 0;
    return ((last.updates - first.updates) / (last.at - first.at)) * 1000;
  }

  /** Counts what came so far, for the rate. */
  count(updates: number, at = performance.now()): void {
    this.updates = updates;
    this.#counts.push({ at, updates });
    while (this.#counts.length > 2 && at - (this.#counts[0]?.at ?? at) > rateOverMs) this.#counts.shift();
  }

  takeTicker(ticker: Update<Ticker, "exchange" | "symbol">): void {
    const name = JSON.stringify([ticker.exchange, ticker.symbol]);
    if (ticker.removed) {
      this.tickers.delete(name);
      return;
    }
    const before = this.tickers.get(name);
    const [last, price] = [before?.ticker.price ?? null, ticker.price];
    const moved = last === null || price === null || price === last ? undefined : price > last ? "▲" : "▼";
    this.tickers.set(name, { ticker, direction: moved ?? before?.direction ?? " " });
  }

  takeQueue(queue: Update<OrderQueue, "exchange">): void {
    if (queue.removed) this.queues.delete(queue.exchange);
    else this.queues.set(queue.exchange, queue);
  }

  takeBot(bot: Update<Bot, "bot_id">): void {
    if (bot.removed) this.bots.delete(bot.bot_id);
    else this.bots.set(bot.bot_id, bot);
  }

  takeHealth(health: Update<ProcessHealth>): void {
    this.health = health;
  }
}
