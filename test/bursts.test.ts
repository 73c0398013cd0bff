import { once } from "node:events";
import { expect, test } from "vitest";
import { startGateway, type Wire } from "./kit/gateway.ts";
import type { TestRedis } from "./kit/redis.ts";

const topic = "ticker:binance:BTC/USDT";
const symbols = ["BTC/USDT"];

/** Writes and publishes prices in one go, so that the gateway hears them in few turns. */
async function burst(redis: TestRedis, from: number, count: number): Promise<void> {
  const writes = Array.from({ length: count }, (_, at) => {
    const tick = JSON.stringify({
      symbol: "BTC/USDT",
      exchange: "binance",
      price: from + at,
      volume: 1,
      time: from + at,
    });
    return [
      redis.command(["HSET", "tickers:binance", "BTC/USDT", tick]),
      redis.command(["PUBLISH", "ticker_updates:binance:BTC/USDT", tick]),
    ];
  });
  await Promise.all(writes.flat());
}

const idsOf = (wire: Wire) => wire.updates(topic).map((update) => update["update_id"] as number);
const pricesOf = (wire: Wire) => wire.updates(topic).map((update) => update["price"] as number);

/** Whether nothing is missing, doubled or out of order. */
function isGapless(ids: readonly number[]): boolean {
  return ids.every((id, at) => at === 0 || id === (ids[at - 1] ?? 0) + 1);
}

test("the updates of a burst come to every subscriber, once each and in order, in far fewer reads than there are updates", async () => {
  await using gateway = await startGateway();
  const { redis } = gateway;
  await burst(redis, 1, 1);
  const wires = await Promise.all(Array.from({ length: 20 }, () => gateway.wire()));
  for (const wire of wires) await wire.ask("stream_tickers", { exchange: "binance", symbols });
  await expect.poll(() => wires.every((wire) => idsOf(wire).length === 1)).toBe(true);
  const reads = async () => (await redis.stats()).get("hget") ?? 0;
  const before = await reads();
  await burst(redis, 2, 500);
  await expect.poll(() => wires.every((wire) => pricesOf(wire).at(-1) === 501)).toBe(true);
  expect((await reads()) - before).toBeLessThan(10);
  for (const wire of wires) {
    expect(isGapless(idsOf(wire))).toBe(true);
    expect(idsOf(wire)).toHaveLength(501);
  }
});

test("who comes or goes in the middle of a burst gets every update once, or none at all", async () => {
  await using gateway = await startGateway();
  const { redis } = gateway;
  await burst(redis, 1, 1);
  const steady = await gateway.wire();
  await steady.ask("stream_tickers", { exchange: "binance", symbols });
  let price = 2;
  for (let round = 0; round < 20; round++) {
    const written = burst(redis, price, 100);
    price += 100;
    const [late, brief] = [await gateway.wire(), await gateway.wire()];
    const [, { stream }] = (await Promise.all(
      [late, brief].map((wire) => wire.ask("stream_tickers", { exchange: "binance", symbols })),
    )) as [unknown, { stream: string }];
    await brief.ask("unsubscribe", { stream });
    const atTheEnd = brief.frames.length;
    await written;
    await expect.poll(() => pricesOf(late).at(-1)).toBe(price - 1);
    expect(isGapless(idsOf(late))).toBe(true);
    expect(isGapless(idsOf(brief))).toBe(true);
    expect(brief.frames).toHaveLength(atTheEnd);
    for (const wire of [late, brief]) wire.close();
    await Promise.all([late, brief].map((wire) => once(wire.socket, "close")));
  }
  await expect.poll(() => pricesOf(steady).at(-1)).toBe(price - 1);
  expect(isGapless(idsOf(steady))).toBe(true);
});

test("a second stream of the same topic begins with the picture as of its beginning, and shares what follows", async () => {
  await using gateway = await startGateway();
  const { redis } = gateway;
  await burst(redis, 1, 1);
  const wire = await gateway.wire();
  const open = async () => (await wire.ask("stream_tickers", { exchange: "binance", symbols })) as { stream: string };
  const first = await open();
  await burst(redis, 2, 50);
  const second = await open();
  const third = (await wire.ask("stream_tickers", { exchange: "binance" })) as { stream: string };
  await burst(redis, 52, 50);
  await expect.poll(() => pricesOf(wire).at(-1)).toBe(101);
  const ids = idsOf(wire);
  // The repeated snapshot has the id of what came last.
  expect(ids.filter((id, at) => at > 0 && id !== (ids[at - 1] ?? 0) + 1)).toHaveLength(1);
  for (const { stream } of [first, second, third]) await wire.ask("unsubscribe", { stream });
  expect(await wire.ask("list_streams")).toEqual([]);
  const atTheEnd = wire.frames.length;
  await burst(redis, 102, 10);
  const again = await open();
  expect(again.stream).not.toBe(first.stream);
  await expect.poll(() => pricesOf(wire).at(-1)).toBe(111);
  expect(wire.updates(topic).filter((update) => wire.frames.indexOf(update) >= atTheEnd)).toHaveLength(1);
});
