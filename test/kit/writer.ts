import { readFileSync } from "node:fs";
import { Random } from "../../src/demo/random.ts";

type Command = readonly string[];
type Json = Record<string, unknown>;

/** What fullon_cache was seen to write. */
const recorded = readFileSync(new URL("../fixtures/fullon-cache-0.5.11.commands.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Command);

/** The recorded commands that begin with some words; the last one may be the beginning of a word. */
function recordedAs(name: string, prefix: string): readonly Command[] {
  return recorded.filter(([command, key = ""]) => command === name && key.startsWith(prefix));
}

const ticks = recordedAs("HSET", "tickers:");
const orders = recordedAs("HSET", "order_status:");
const positions = recordedAs("HSET", "account_positions");
const bots = recordedAs("HSET", "bot_status");
const processes = recordedAs("SETEX", "process:data:");
const trades = recordedAs("RPUSH", "trades:");
/** What can be written again as it is: state, of which the same twice is no news. */
const states = [...ticks, ...orders, ...positions, ...bots, ...processes, ...recordedAs("HSET", "process:active:")];

/** The symbols whose trades are pushed, by exchange. */
export const traded: Readonly<Record<string, readonly string[]>> = {
  binance: ["BTC/USDT", "ETH/USDT"],
  kraken: ["BTC/USD"],
};

/** The series whose bars are appended. */
export const charted = { symbol: "CHAOS/USDT", timeframe: "1m" };

const statuses = ["open", "partially_filled", "filled", "canceled", "closed", "rejected"];

/**
 * A trading system that is in a hurry: random writes over all domains, in the shapes that were recorded. The same seed
 * writes the same.
 */
export class Writer {
  readonly #random: Random;
  #trade = 10_000_000;
  #writes = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** How many writes there were so far. */
  get writes(): number {
    return this.#writes;
  }

  /** The id of the last trade so far; ids count up and are never used twice. */
  get lastTrade(): number {
    return this.#trade;
  }

  /** All that was recorded, but for the trades, which would come twice. */
  everything(): Command[] {
    return recorded.filter(([name, key = ""]) => name !== "PUBLISH" && !key.startsWith("trades:"));
  }

  /** The next write, as one command or as several that belong together. */
  next(): Command[] {
    this.#writes++;
    const chance = this.#random.next();
    if (chance < 0.36) return this.#tick();
    if (chance < 0.52) return this.#order();
    if (chance < 0.6) return this.#position();
    if (chance < 0.7) return this.#bot();
    if (chance < 0.82) return this.#push();
    if (chance < 0.9) return this.#bar();
    if (chance < 0.94) return this.#beat();
    if (chance < 0.95) return this.#drain();
    if (chance < 0.96) return this.#unreadable();
    if (chance < 0.97) return this.#loss();
    return [this.#one(states)];
  }

  #one<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random.next() * of.length)] as T;
  }

  #some(below: number): number {
    return Math.floor(this.#random.next() * below);
  }

  #parsed(command: Command): [key: string, field: string, value: Json] {
    const [, key = "", field = "", text = "{}"] = command;
    return [key, field, JSON.parse(text) as Json];
  }

  #tick(): Command[] {
    const [key, symbol, stored] = this.#parsed(this.#one(ticks));
    const exchange = key.slice("tickers:".length);
    const text = JSON.stringify({ ...stored, price: this.#some(1e6) / 100, time: 1_795_330_000 + this.#some(9_999) });
    const written = ["HSET", key, symbol, text];
    const published = ["PUBLISH", `ticker_updates:${exchange}:${symbol}`, text];
    const way = this.#random.next();
    // Now and then somebody only writes, or publishes what is not what stands there.
    if (way < 0.04) return [written];
    if (way < 0.06) return [published];
    return [written, ["SET", `ticker_time:${exchange}:${symbol}`, String(stored["time"])], published];
  }

  #order(): Command[] {
    const [key, id, stored] = this.#parsed(this.#one(orders));
    const order = { ...stored, status: this.#one(statuses), final_volume: this.#some(1_000) / 10 };
    return [["HSET", key, this.#random.chance(0.5) ? id : `order-${this.#some(20)}`, JSON.stringify(order)]];
  }

  #position(): Command[] {
    const [key, account, stored] = this.#parsed(this.#one(positions));
    const entries = Object.entries(stored).flatMap(([name, value]): [string, unknown][] => {
      if (typeof value !== "object" || value === null) return [[name, value]];
      return this.#random.chance(0.2) ? [] : [[name, { ...value, volume: this.#some(100) }]];
    });
    return [["HSET", key, account, JSON.stringify(Object.fromEntries(entries))]];
  }

  #bot(): Command[] {
    const [key, id, stored] = this.#parsed(this.#one(bots));
    const said = { status: this.#one(["running", "idle", "error", "stopped"]), timestamp: time(this.#some(1e6)) };
    return [["HSET", key, id, JSON.stringify({ ...stored, feed_1: said })]];
  }

  #push(): Command[] {
    const exchange = this.#one(Object.keys(traded));
    const symbol = this.#one(traded[exchange] ?? []);
    const texts = Array.from({ length: 1 + this.#some(3) }, () => {
      const stored = JSON.parse(this.#one(trades)[2] ?? "{}") as Json;
      return JSON.stringify({ ...stored, symbol, trade_id: ++this.#trade });
    });
    return [
      ["RPUSH", `trades:${exchange}:${symbol.replaceAll("/", "")}`, ...texts],
      ["SET", `TRADE:STATUS:${exchange}`, time(this.#some(1e6))],
    ];
  }

  /** Another process takes trades away. */
  #drain(): Command[] {
    const exchange = this.#one(Object.keys(traded));
    const key = `trades:${exchange}:${this.#one(traded[exchange] ?? []).replaceAll("/", "")}`;
    return [this.#random.chance(0.2) ? ["DEL", key] : ["LPOP", key, `${1 + this.#some(20)}`]];
  }

  #bar(): Command[] {
    const bar = [60 * this.#some(80), 1, 9, 0.5, this.#some(1_000), this.#some(50)];
    return [["RPUSH", `ohlcv:${charted.symbol}:${charted.timeframe}`, JSON.stringify(bar)]];
  }

  #beat(): Command[] {
    const [, key = "", seconds = "", text = "{}"] = this.#one(processes);
    const id = key.slice("process:data:".length);
    const now = new Date().toISOString().replace("Z", "000+00:00");
    const said = { ...(JSON.parse(text) as Json), status: this.#one(["running", "idle", "error"]), heartbeat: now };
    return [
      ["SETEX", key, seconds, JSON.stringify(said)],
      ["HSET", `process:active:${id.slice(0, id.indexOf(":"))}`, id, now],
    ];
  }

  /** Something that nobody can read. */
  #unreadable(): Command[] {
    const [, key = "", field = ""] = this.#one([...ticks, ...orders, ...bots]);
    return [["HSET", key, field, this.#one(["{oops", "", "[1]", "null", "42", '"text"'])]];
  }

  /** Something goes. */
  #loss(): Command[] {
    const [, key = "", field = ""] = this.#one([...ticks, ...orders, ...bots, ...positions]);
    return [this.#random.chance(0.1) ? ["DEL", key] : ["HDEL", key, field]];
  }
}

/** A time as Python writes it. */
function time(offset: number): string {
  return new Date(1_795_330_000_000 + offset).toISOString().replace("Z", "000+00:00");
}
