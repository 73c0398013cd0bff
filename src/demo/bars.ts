import type { Command } from "./command.ts";
import { exchanges, type Prices, significant } from "./prices.ts";
import { dumps } from "./python.ts";
import type { Random } from "./random.ts";

interface Bar {
  ts: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}

const frames = [
  { name: "1m", seconds: 60 },
  { name: "5m", seconds: 300 },
] as const;

const remembered = 200;

interface Series {
  readonly key: string;
  readonly symbol: string;
  readonly seconds: number;
  readonly bars: Bar[];
}

/** The bars of the binance symbols: two hundred from before the start, then one that changes until the next begins. */
export class Bars {
  readonly #random: Random;
  readonly #prices: Prices;
  readonly #series: readonly Series[];

  constructor(random: Random, prices: Prices, nowMs: number) {
    this.#random = random;
    this.#prices = prices;
    this.#series = exchanges.binance.flatMap((symbol) =>
      frames.map(({ name, seconds }) => ({
        key: `ohlcv:${symbol}:${name}`,
        symbol,
        seconds,
        bars: this.#history(symbol, seconds, nowMs),
      })),
    );
  }

  /** The lists that bars are kept in. */
  get keys(): string[] {
    return this.#series.map(({ key }) => key);
  }

  /** Writes all bars there are. */
  all(): Command[] {
    return this.#series.flatMap(({ key, bars }) => push(key, bars));
  }

  /** Takes the current prices in; writes bars that ended, with their successors, and, when `share` is set, the current ones too. */
  round(nowMs: number, share: boolean): Command[] {
    return this.#series.flatMap(({ key, symbol, seconds, bars }) => {
      const price = this.#prices.of("binance", symbol);
      const ts = start(nowMs, seconds);
      const last = bars.at(-1);
      const volume = significant(this.#random.between(0, 50_000) / price);
      if (last === undefined || ts > last.ts) {
        const next = { ts, open: last?.close ?? price, high: price, low: price, close: price, volume };
        bars.push({ ...next, high: Math.max(next.open, price), low: Math.min(next.open, price) });
        if (bars.length > remembered) bars.shift();
        return push(key, bars.slice(-2));
      }
      last.high = Math.max(last.high, price);
      last.low = Math.min(last.low, price);
      last.close = price;
      last.volume = significant(last.volume + volume);
      return share ? push(key, [last]) : [];
    });
  }

  #history(symbol: string, seconds: number, nowMs: number): Bar[] {
    const bars: Bar[] = [];
    let close = this.#prices.of("binance", symbol);
    // Backwards from now, so that the last close is the price the walk starts with.
    for (let ts = start(nowMs, seconds); bars.length < remembered; ts -= seconds) {
      const open = significant(close * (1 + this.#random.bell() * 0.0001 * Math.sqrt(seconds)));
      const high = significant(Math.max(open, close) * (1 + this.#random.next() * 0.0005));
      const low = significant(Math.min(open, close) * (1 - this.#random.next() * 0.0005));
      const volume = significant(this.#random.between(1e5, 2e6) / close);
      bars.unshift({ ts, open, high, low, close, volume });
      close = open;
    }
    return bars;
  }
}

function start(nowMs: number, seconds: number): number {
  return Math.floor(nowMs / 1000 / seconds) * seconds;
}

function push(key: string, bars: readonly Bar[]): Command[] {
  const values = bars.map(({ ts, open, high, low, close, volume }) =>
    dumps([BigInt(ts), open, high, low, close, volume]),
  );
  return [
    ["RPUSH", key, ...values],
    ["LTRIM", key, "-10000", "-1"],
  ];
}
