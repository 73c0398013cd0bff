import type { Command } from "./command.ts";
import type { Orders } from "./orders.ts";
import { dumps, isoTime } from "./python.ts";

/** The component whose registration tells a simulated market from a real one. */
export const marker = "demo_market";

/** The bots and the other processes of the trading system, as they report on themselves. */
export class Fleet {
  readonly #orders: readonly Orders[];
  readonly #price: (exchange: string, symbol: string) => number;
  readonly #startedMs: number;

  constructor(orders: readonly Orders[], price: (exchange: string, symbol: string) => number, startedMs: number) {
    this.#orders = orders;
    this.#price = price;
    this.#startedMs = startedMs;
  }

  /** Writes each bot's state as `BotCache.update_bot` does, and the exchange each of them has for itself. */
  bots(nowMs: number): Command[] {
    return this.#orders.flatMap(({ exchange, account, traders }) =>
      traders.flatMap(({ bot, symbol }): Command[] => {
        const { volume, cost } = account.position(symbol);
        const pnl = Number((volume * this.#price(exchange, symbol) - cost).toFixed(2));
        const feed = {
          status: "running",
          symbols: [symbol],
          performance: { pnl, roi_pct: Number(((pnl / Math.max(cost, 1)) * 100).toFixed(4)) },
          position: volume,
          dry_run: false,
          timestamp: isoTime(nowMs),
        };
        return [
          ["HSET", "bot_status", `${bot}`, dumps({ feed_1: feed })],
          ["HSET", "block_exchange", `${exchange}:${symbol}`, `${bot}`],
        ];
      }),
    );
  }

  /** Lets every process show that it lives, as `ProcessCache.update_process` does. */
  heartbeats(nowMs: number): Command[] {
    return this.#processes().flatMap(({ type, component, message }): Command[] => {
      const id = `${type}:${component}:${dumps(this.#startedMs / 1000)}`;
      const process = {
        process_id: id,
        process_type: type,
        component,
        params: {},
        status: "running",
        message,
        created_at: isoTime(this.#startedMs),
        updated_at: isoTime(nowMs),
        heartbeat: isoTime(nowMs),
      };
      return [
        ["SETEX", `process:data:${id}`, "86400", dumps(process)],
        ["HSET", `process:active:${type}`, id, isoTime(nowMs)],
        ["HSET", "process:components", component, id],
      ];
    });
  }

  #processes() {
    const bots = this.#orders.flatMap(({ traders }) => traders);
    return [
      { type: "tick", component: marker, message: "prices of a simulated market" },
      { type: "ohlcv", component: "ohlcv_binance", message: "bars of 1m and 5m" },
      ...this.#orders.map(({ account, exchange }) => ({
        type: "account",
        component: `account_${account.id}`,
        message: exchange,
      })),
      ...bots.map(({ bot, symbol }) => ({ type: "bot", component: `bot_${bot}`, message: `trading ${symbol}` })),
    ];
  }
}
