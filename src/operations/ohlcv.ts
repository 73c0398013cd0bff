import { type Static, Type } from "typebox";
import { CacheError } from "../protocol/errors.ts";
import { decode, number, seconds, Unreadable } from "../redis/values.ts";
import { type Feed, growth, items, readable, type Tail } from "./changes.ts";
import { Amount, Name, Open, TradingSymbol } from "./fields.ts";
import { domain, liveQuery, query, topicName } from "./operation.ts";
import type { Reading } from "./reading.ts";

/** One bar: `[timestamp, open, high, low, close, volume]`. */
export const Bar = Type.Tuple(
  [
    Type.Number({ description: "the start of the bar in unix seconds" }),
    Amount("open"),
    Amount("high"),
    Amount("low"),
    Amount("close"),
    Amount("volume"),
  ],
  { title: "Bar" },
);
export type Bar = Static<typeof Bar>;

/** One bar of a stream, with names. */
export const BarUpdate = Open("BarUpdate", {
  symbol: Type.String(),
  timeframe: Type.String(),
  timestamp: Type.Number({ description: "the start of the bar in unix seconds" }),
  open: Amount("the first price"),
  high: Amount("the highest price"),
  low: Amount("the lowest price"),
  close: Amount("the last price"),
  volume: Amount("the volume"),
});
export type BarUpdate = Static<typeof BarUpdate>;

const Timeframe = Name("the timeframe, for example 1m");
const longestList = 10_000;
const defaultCount = 100;

const keyOf = (symbol: string, timeframe: string) => `ohlcv:${symbol}:${timeframe}`;

function readBar(key: string, raw: string): Bar {
  return decode({ key }, raw, (stored) => {
    if (!Array.isArray(stored) || stored.length < 6) throw new Unreadable("it is not a list of six numbers");
    const timestamp = seconds(stored[0]);
    if (timestamp === null) throw new Unreadable("its time cannot be read");
    return [timestamp, ...stored.slice(1, 6).map(number)] as Bar;
  });
}

/** Bars are appended, never replaced: of those with the same start the last one counts, at the place where it stands. */
function latest(bars: readonly Bar[], count: number): Bar[] {
  const byStart = new Map<number, Bar>();
  for (const bar of bars) {
    // Else it would stay at the place of the first one.
    byStart.delete(bar[0]);
    byStart.set(bar[0], bar);
  }
  return [...byStart.values()].slice(-count);
}

/** In order of time: bars may be appended in any. */
const oldestFirst = (bars: readonly Bar[]) => bars.toSorted((a, b) => a[0] - b[0]);

/** The last `count` different bars of a list: reads more of it until it has enough of them, or has seen all. */
async function newest(reading: Reading, key: string, count: number): Promise<Bar[]> {
  for (let size = count; ; size = Math.min(size * 10, longestList)) {
    const texts = await reading.cache.lrange(key, -size, -1);
    const bars = latest(
      readable(reading, texts.entries(), (_at, raw) => readBar(key, raw)),
      count,
    );
    if (bars.length === count || texts.length < size || size === longestList) return bars;
  }
}

/** The last bars of a series: its list is read from where the last look ended. */
function barsOf(symbol: string, timeframe: string): Feed {
  const key = keyOf(symbol, timeframe);
  let tail: Tail | undefined;
  let known: readonly Bar[] = [];
  let aged = true;
  return items({
    watch: { keys: [key] },
    async texts(reading) {
      const read = await growth(reading.cache, key, tail);
      const wasCut = read.tail.length < (tail?.length ?? 0) + read.added.length;
      const added = () => readable(reading, read.added.entries(), (_at, raw) => readBar(key, raw));
      known =
        read.restarted || wasCut
          ? await newest(reading, key, defaultCount)
          : latest([...known, ...added()], defaultCount);
      // Not before: where the second read fails, the first one has to be done again.
      tail = read.tail;
      // Of a list that goes on and is long enough, a bar can leave only because newer ones took its place.
      aged = !read.restarted && known.length === defaultCount;
      return new Map(oldestFirst(known).map((bar) => [String(bar[0]), JSON.stringify(bar)]));
    },
    item(_id, raw) {
      const [timestamp, open, high, low, close, volume] = readBar(key, raw);
      return { symbol, timeframe, timestamp, open, high, low, close, volume } satisfies BarUpdate;
    },
    aged: () => aged,
  });
}

/** Candles: what `fullon_cache`'s `OHLCVCache` holds. */
export const ohlcv = domain({
  /** The latest bars of one symbol and timeframe, oldest first. */
  getLatestOhlcvBars: query({
    about: "The latest bars of one symbol and timeframe, oldest first, each start once.",
    mirrors: "OHLCVCache.get_latest_ohlcv_bars",
    reads: "LRANGE ohlcv:{symbol}:{timeframe} -{count} -1",
    params: {
      symbol: TradingSymbol,
      timeframe: Timeframe,
      count: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: longestList,
          description: `how many at most; ${defaultCount} unless told`,
        }),
      ),
    },
    result: Type.Array(Bar),
    errors: ["OHLCV_NOT_FOUND"],
    async read(reading, { symbol, timeframe, count = defaultCount }) {
      const key = keyOf(symbol, timeframe);
      const bars = await newest(reading, key, count);
      if (bars.length === 0) throw new CacheError("OHLCV_NOT_FOUND", `no ${timeframe} bars for ${symbol}`);
      return oldestFirst(bars);
    },
  }),

  /** The bars of one symbol and timeframe: the last hundred, then each new or changed one. */
  streamOhlcv: liveQuery({
    about: "The last hundred bars of one symbol and timeframe, then each of the last hundred that is new or changed.",
    mirrors: "OHLCVCache.get_latest_ohlcv_bars",
    reads: "LRANGE ohlcv:{symbol}:{timeframe}, from where the last look ended",
    params: { symbol: TradingSymbol, timeframe: Timeframe },
    type: "ohlcv_update",
    update: BarUpdate,
    identity: ["symbol", "timeframe", "timestamp"],
    retain: defaultCount,
    topics: (_reading, { symbol, timeframe }) => [
      { name: topicName("ohlcv", symbol, timeframe), open: () => barsOf(symbol, timeframe) },
    ],
  }),
});
