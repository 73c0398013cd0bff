import { afterAll, beforeAll, expect, test } from "vitest";
import { answer, snapshot } from "./kit/answers.ts";
import { startGateway, type TestGateway, type Wire } from "./kit/gateway.ts";

let gateway: TestGateway;
let wire: Wire;

beforeAll(async () => {
  gateway = await startGateway();
  wire = await gateway.wire();
});

afterAll(() => gateway[Symbol.asyncDispose]());

/** Appends a bar for each minute, as fullon_cache does: all in one push. */
function append(symbol: string, minutes: readonly number[], price = 1): Promise<number> {
  const bars = minutes.map((minute) => JSON.stringify([minute * 60, price, price, price, price, price]));
  return gateway.redis.admin.rPush(`ohlcv:${symbol}:1m`, bars);
}

const minutes = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

/** Follows a series that is there already, and gives the minutes of what came after its snapshot. */
async function follow(symbol: string) {
  const client = await gateway.wire();
  await client.ask("stream_ohlcv", { symbol, timeframe: "1m" });
  await client.frame(({ state }) => state === "live");
  const from = client.frames.length;
  const later = () => client.frames.slice(from).map(({ timestamp }) => (timestamp as number) / 60);
  return { later, until: (minute: number) => client.frame(({ timestamp }) => timestamp === minute * 60, from) };
}

/** The minutes of the bars that a question and a newcomer's picture have. */
async function known(symbol: string): Promise<[number[], number[]]> {
  const asked = (await answer(wire, "get_latest_ohlcv_bars", { symbol, timeframe: "1m" })) as number[][];
  const { items } = await snapshot(wire, "stream_ohlcv", { symbol, timeframe: "1m" });
  const sorted = items.map((bar) => bar["timestamp"] as number).toSorted((a, b) => a - b);
  return [asked.map(([at = 0]) => at / 60), sorted.map((at) => at / 60)];
}

test("the latest bars are those that were appended last, whatever their time, asked once or streamed", async () => {
  const symbol = "PAST/USDT";
  await append(symbol, minutes(1_000, 1_200));
  const { later, until } = await follow(symbol);
  await append(symbol, [...minutes(500, 1_000), ...minutes(1_000, 1_050), 1_200], 2);
  await until(1_200);
  const last = [...minutes(951, 1_050), 1_200];
  expect(later()).toEqual(last);
  expect(await known(symbol)).toEqual([last, last]);
  await append(symbol, [1_199, 1_199, 1_200, 1_200], 3);
  const asked = await answer(wire, "get_latest_ohlcv_bars", { symbol, timeframe: "1m", count: 3 });
  expect((asked as number[][]).map(([at = 0, open]) => [at / 60, open])).toEqual([
    [1_049, 2],
    [1_199, 3],
    [1_200, 3],
  ]);
});

test("a bar that was missing among the last hundred is told when it comes late", async () => {
  const symbol = "GAP/USDT";
  await append(symbol, [...minutes(1_000, 1_150), ...minutes(1_151, 1_200)]);
  const { later, until } = await follow(symbol);
  await append(symbol, [1_150]);
  await until(1_150);
  await append(symbol, minutes(1_200, 1_203));
  await until(1_202);
  expect(later()).toEqual([1_150, 1_200, 1_201, 1_202]);
  expect(await known(symbol)).toEqual([minutes(1_103, 1_203), minutes(1_103, 1_203)]);
});

test("a bar that is appended again is told if it differs, and only then", async () => {
  const symbol = "AGAIN/USDT";
  await append(symbol, minutes(0, 10));
  const { later, until } = await follow(symbol);
  await append(symbol, minutes(0, 10));
  await append(symbol, [7, 9], 2);
  await until(9);
  expect(later()).toEqual([7, 9]);
  await append(symbol, [9, 9, 9, 10], 3);
  await until(10);
  expect(later()).toEqual([7, 9, 9, 10]);
  expect(await known(symbol)).toEqual([minutes(0, 11), minutes(0, 11)]);
});
