import { cents, type Fill, type Position } from "./account.ts";
import type { Command } from "./command.ts";
import { exchanges, type Prices, significant } from "./prices.ts";
import { dumps, isoTime } from "./python.ts";
import type { Random } from "./random.ts";

interface Trade extends Fill {
  readonly id: string;
  readonly order: string;
  readonly type: "limit" | "market";
  /** The account that traded and what it held afterwards; nobody's on the public tape. */
  readonly account?: string;
  readonly position?: Readonly<Position>;
  readonly nowMs: number;
}

/** Writes a trade as fullon_cache stores it. */
export function trade({ id, order, type, account, position, nowMs, ...fill }: Trade): string {
  const { symbol, side, volume, price, fee } = fill;
  const owner = account === undefined ? null : BigInt(account);
  return dumps({
    trade_id: id,
    ex_trade_id: id,
    ex_order_id: order,
    uid: owner,
    ex_id: owner,
    symbol,
    order_type: type,
    side,
    volume,
    price,
    cost: cents(volume * price),
    fee,
    cur_volume: position?.volume ?? null,
    cur_avg_price: position && position.volume > 0 ? significant(position.cost / position.volume) : null,
    cur_avg_cost: position?.cost ?? null,
    cur_fee: position?.fee ?? null,
    roi: 0,
    roi_pct: 0,
    total_fee: position?.fee ?? fee,
    leverage: 1,
    time: nowMs / 1000,
  });
}

const trimEvery = 100;

/** The public tape of every exchange: trades that happen around the current prices. */
export class Trades {
  readonly #random: Random;
  readonly #prices: Prices;
  readonly #counts = new Map<string, number>();

  constructor(random: Random, prices: Prices) {
    this.#random = random;
    this.#prices = prices;
  }

  /** Pushes the trades of the last half minute. */
  past(nowMs: number): Command[] {
    const seconds = Array.from({ length: 30 }, (_, index) => index - 29);
    return seconds.flatMap((second) => this.round(nowMs + second * 1_000));
  }

  /** Pushes a trade for about half of the symbols, as `TradesCache.push_trade` does. */
  round(nowMs: number): Command[] {
    return Object.entries(exchanges).flatMap(([exchange, symbols]) =>
      symbols
        .filter((symbol) => !symbol.startsWith(".") && this.#random.chance(0.5))
        .flatMap((symbol) => this.#push(exchange, symbol, nowMs)),
    );
  }

  #push(exchange: string, symbol: string, nowMs: number): Command[] {
    const key = `trades:${exchange}:${symbol.replaceAll("/", "")}`;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    const side = this.#random.chance(0.5) ? "buy" : "sell";
    const price = significant(this.#prices.of(exchange, symbol) * (side === "buy" ? 1.0001 : 0.9999));
    const volume = significant(this.#random.between(10, 5_000) / price);
    const id = `${exchange}-${symbol}-${count}`;
    const value = trade({ id, order: id, type: "limit", symbol, side, volume, price, fee: 0, nowMs });
    const pushed: Command[] = [
      ["RPUSH", key, value],
      ["SET", `TRADE:STATUS:${exchange}`, isoTime(nowMs)],
    ];
    // In fullon another service drains these lists; trimming now and then stands for it.
    return count % trimEvery === 0 ? [...pushed, ["LTRIM", key, "-500", "-1"]] : pushed;
  }
}
