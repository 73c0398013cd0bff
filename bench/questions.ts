import { tickerPayload, topics } from "./payload.ts";
import type { Question, Topic } from "./peer.ts";

/** One way to ask. */
export interface QueryScenario {
  readonly name: string;
  readonly about: string;
  readonly connections: number;
  readonly inFlight: number;
  /** How many connections may be under way at a time while all are opened, where that matters. */
  readonly opening?: number;
  /** What is asked, one chosen at random each time. */
  readonly questions: readonly Question[];
  /** How often some ticker is written meanwhile. */
  readonly writesPerSecond?: number;
  /** Settings of ours that this differs in. */
  readonly flags?: readonly string[];
}

/** What the questions are about: the tickers of two exchanges, and one list of bars. */
export const manyTickers = topics(10_000);
const fiveHundred = Array.from({ length: 500 }, (_, at) => ({ exchange: "kraken", symbol: `C${at}/USD` }));
const bars = { symbol: "BTC/USDT", timeframe: "1m", count: 500 };

function oneTicker(params: Topic): Question {
  return { operation: "get_ticker", params };
}

const hot = manyTickers.slice(0, 1).map(oneTicker);
const uniform = manyTickers.map(oneTicker);

/** The commands that fill Redis with what is asked for. */
export function contents(): string[][] {
  const start = 1_795_330_920;
  return [
    ...[...manyTickers, ...fiveHundred].map((topic) => [
      "HSET",
      `tickers:${topic.exchange}`,
      topic.symbol,
      tickerPayload(topic),
    ]),
    ...Array.from({ length: bars.count }, (_, at) => [
      "RPUSH",
      `ohlcv:${bars.symbol}:${bars.timeframe}`,
      `[${start + at * 60}, 97321.45, 97350.1, 97290.7, 97311.02, ${(at + 0.5).toFixed(1)}]`,
    ]),
  ];
}

function hotKey(connections: number, inFlight: number): QueryScenario {
  const name = `hot-${connections}x${inFlight}`;
  const about = `get_ticker of one symbol, ${connections} × ${inFlight} in flight`;
  return { name, about, connections, inFlight, questions: hot };
}

/** Every way to ask that is measured. */
export const queryScenarios: readonly QueryScenario[] = [
  hotKey(1, 1),
  hotKey(1, 32),
  hotKey(64, 8),
  hotKey(512, 1),
  {
    name: "uniform-64x8",
    about: "get_ticker of 10,000 symbols at random, 64 × 8 in flight",
    connections: 64,
    inFlight: 8,
    questions: uniform,
  },
  {
    name: "written-64x8",
    about: "the same, while tickers of the same exchange are written 20,000 times a second",
    connections: 64,
    inFlight: 8,
    questions: uniform,
    writesPerSecond: 20_000,
  },
  {
    name: "past-64x8",
    about: "get_ticker of 10,000 symbols at random, 64 × 8 in flight, ours without its near cache",
    connections: 64,
    inFlight: 8,
    questions: uniform,
    flags: ["--near-cache-bytes", "0"],
  },
  {
    name: "all-tickers-16x2",
    about: "get_all_tickers of 500 symbols, 16 × 2 in flight",
    connections: 16,
    inFlight: 2,
    questions: [{ operation: "get_all_tickers", params: { exchange: "kraken" } }],
  },
  {
    name: "bars-16x2",
    about: "get_latest_ohlcv_bars of 500 bars, 16 × 2 in flight",
    connections: 16,
    inFlight: 2,
    questions: [{ operation: "get_latest_ohlcv_bars", params: bars }],
  },
];
