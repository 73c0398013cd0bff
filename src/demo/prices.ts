import type { Command } from "./command.ts";
import { dumps } from "./python.ts";
import type { Random } from "./random.ts";

/** What the simulated exchanges list, by exchange name. */
export const exchanges = {
  binance: ["BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT", "ADA/USDT", "PEPE/USDT"],
  kraken: ["BTC/USD", "ETH/USD", "SOL/USD", "DOT/USD", "BTC/EUR", "ETH/EUR"],
  bitmex: ["BTC/USD:BTC", "BTC/USD:BTC-261225", "ETH/USD:ETH", "SOL/USDT:USDT", "XRP/USDT:USDT", ".BXBT"],
} as const satisfies Record<string, readonly string[]>;

const opening: Readonly<Record<string, number>> = {
  BTC: 97_321.45,
  ETH: 3_123.07,
  BNB: 691.2,
  SOL: 236.4,
  ADA: 1.052,
  DOT: 9.137,
  XRP: 1.448,
  PEPE: 0.0000205,
};

interface Instrument {
  readonly exchange: string;
  readonly symbol: string;
  readonly asset: string;
  /** What the symbol costs in units of its asset's price: another currency, or the premium of a future. */
  readonly factor: number;
  readonly open: number;
  price: number;
  volume: number;
}

/** The prices of every listed symbol, moving at random; one asset costs about the same on every exchange. */
export class Prices {
  readonly #random: Random;
  readonly #levels = new Map(Object.entries(opening));
  readonly #instruments = new Map<string, Instrument>();

  constructor(random: Random) {
    this.#random = random;
    for (const [exchange, symbols] of Object.entries(exchanges)) {
      for (const symbol of symbols) this.#list(exchange, symbol);
    }
  }

  /** The current price of a symbol. */
  of(exchange: string, symbol: string): number {
    return this.#instruments.get(`${exchange}:${symbol}`)?.price ?? 0;
  }

  /** Moves every price by one step. */
  move(): void {
    for (const [asset, level] of this.#levels) this.#levels.set(asset, level * (1 + this.#random.bell() * 0.0004));
    for (const instrument of this.#instruments.values()) {
      const level = this.#levels.get(instrument.asset) ?? 0;
      instrument.price = significant(level * instrument.factor * (1 + this.#random.bell() * 0.00005));
      instrument.volume += (this.#random.next() * 20_000) / instrument.price;
    }
  }

  /** Writes every ticker as `TickCache.set_ticker` does: the value, its time, and the notice. */
  tickers(nowMs: number): Command[] {
    return [...this.#instruments.values()].flatMap((instrument) => {
      const { exchange, symbol } = instrument;
      const tick = dumps(this.#tick(instrument, nowMs / 1000));
      return [
        ["HSET", `tickers:${exchange}`, symbol, tick],
        ["SET", `ticker_time:${exchange}:${symbol}`, dumps(nowMs / 1000)],
        ["PUBLISH", `ticker_updates:${exchange}:${symbol}`, tick],
      ];
    });
  }

  #tick({ exchange, symbol, price, open, volume }: Instrument, time: number) {
    const change = significant(price - open);
    const percentage = significant(((price - open) / open) * 100);
    // An index is computed, not traded: nobody bids for it.
    const traded = !symbol.startsWith(".");
    return {
      symbol,
      exchange,
      price,
      time,
      volume: traded ? significant(volume) : null,
      bid: traded ? significant(price * 0.9999) : null,
      ask: traded ? significant(price * 1.0001) : null,
      last: price,
      change,
      percentage,
    };
  }

  #list(exchange: string, symbol: string): void {
    const asset = symbol === ".BXBT" ? "BTC" : symbol.slice(0, symbol.indexOf("/"));
    const factor = symbol.endsWith("/EUR") ? 0.95 : symbol.endsWith("-261225") ? 1.017 : 1;
    const open = significant((opening[asset] ?? 1) * factor);
    const volume = this.#random.between(1e6, 5e7) / open;
    this.#instruments.set(`${exchange}:${symbol}`, { exchange, symbol, asset, factor, open, price: open, volume });
  }
}

/** Rounds to the seven digits that exchanges quote. */
export function significant(value: number): number {
  return Number(value.toPrecision(7));
}
