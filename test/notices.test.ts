import { afterAll, expect, test } from "vitest";
import { operations } from "../src/operations/index.ts";
import type { Operation } from "../src/operations/operation.ts";
import { wireName } from "../src/protocol/names.ts";
import { allowedCommands } from "../src/redis/connection.ts";
import { startGateway, type Wire } from "./kit/gateway.ts";
import { Picture } from "./kit/picture.ts";
import { follow, pushTrades, saveOrder, setTicker, streamKinds } from "./kit/streams.ts";

const gateway = await startGateway({ rereadMs: 0 });
const { redis } = gateway;
afterAll(() => gateway[Symbol.asyncDispose]());

/** Counts from now on. */
const reset = () => redis.command(["CONFIG", "RESETSTAT"]);

/** How often the given commands were called since. */
async function calls(...names: string[]): Promise<number[]> {
  const stats = await redis.stats();
  return names.map((name) => stats.get(name) ?? 0);
}

// Ten seconds of nothing: beside it the others run.
test.concurrent("a gateway where nothing happens sends Redis nothing but signs of life, whatever it follows", async () => {
  await using idle = await startGateway({ rereadMs: 0 });
  for (const kind of streamKinds("idle")) await kind.write(idle.redis, 1);
  const wires = await Promise.all([1, 2].map(() => idle.wire()));
  const symbols = Array.from({ length: 1_000 }, (_, at) => `S${at}/USDT`);
  for (const wire of wires) {
    await follow(wire, "stream_tickers", { exchange: "idle", symbols });
    for (const kind of streamKinds("idle")) await follow(wire, kind.operation, kind.params);
  }
  expect(await wires[0]?.ask("get_system_health")).toMatchObject({ gateway: { streams: 24, topics: 1_011 } });
  await idle.redis.command(["CONFIG", "RESETSTAT"]);
  // Both of its connections have shown that they are alive: so long it had time to do anything else.
  const pings = async () => (await idle.redis.stats()).get("ping") ?? 0;
  await expect.poll(pings, { timeout: 15_000, interval: 250 }).toBeGreaterThanOrEqual(2);
  const sent = [...(await idle.redis.stats()).keys()];
  expect(sent.filter((name) => !["config|resetstat", "info"].includes(name))).toEqual(["ping"]);
});

test("a ticker that a thousand streams follow is one subscription and one read", async () => {
  await setTicker(redis, "fan", "X", 1);
  await reset();
  const wires = await Promise.all(Array.from({ length: 100 }, () => gateway.wire()));
  await Promise.all(
    wires.map(async (wire) => {
      for (let stream = 0; stream < 10; stream++)
        await follow(wire, "stream_tickers", { exchange: "fan", symbols: ["X"] });
    }),
  );
  expect(await calls("subscribe", "psubscribe", "hget", "hmget", "hgetall")).toEqual([1, 0, 1, 0, 0]);
  const told = (price: number) => Promise.all(wires.map((wire) => wire.frame((frame) => frame["price"] === price)));
  await reset();
  for (const price of [2, 3]) {
    await setTicker(redis, "fan", "X", price);
    await told(price);
    // What was published is checked against the hash, once.
    await expect.poll(() => calls("hget"), { timeout: 3_000 }).toEqual([price - 1]);
  }
  expect(await calls("hget", "hmget", "hgetall", "subscribe")).toEqual([2, 0, 0, 0]);
  for (const wire of wires) expect(wire.updates("ticker:fan:X").filter((frame) => !frame["snapshot"])).toHaveLength(2);
  for (const wire of wires) wire.close();
});

test("a change of a hash is one read, however many follow it", async () => {
  const wires = await Promise.all(Array.from({ length: 50 }, () => gateway.wire()));
  await Promise.all(wires.map((wire) => follow(wire, "stream_orders", { exchange: "once" })));
  await reset();
  for (let n = 1; n <= 20; n++) {
    await saveOrder(redis, "once", "o-1", "open", n);
    await Promise.all(wires.map((wire) => wire.frame(({ volume }) => volume === n)));
  }
  expect(await calls("hgetall", "hget", "hmget")).toEqual([20, 0, 0]);
  for (const wire of wires) wire.close();
});

test("a change of one key of a family is read alone", async () => {
  const wire = await gateway.wire();
  for (const symbol of ["A", "B", "C"]) await pushTrades(redis, "alone", symbol, [1]);
  await follow(wire, "stream_trade_updates", { exchange: "alone" });
  await reset();
  for (let id = 2; id <= 11; id++) {
    await pushTrades(redis, "alone", "B", [id]);
    await pushTrades(redis, "elsewhere", "B", [id]);
    await wire.frame(({ trade_id }) => trade_id === id);
  }
  expect(await calls("lrange", "scan", "llen")).toEqual([10, 0, 0]);
  wire.close();
});

test("a burst of writes is few reads, and the last of it is what stands", async () => {
  const wire = await gateway.wire();
  await follow(wire, "stream_orders", { exchange: "burst" });
  await reset();
  await Promise.all(Array.from({ length: 2_000 }, (_, n) => saveOrder(redis, "burst", `o-${n % 10}`, "open", n)));
  const picture = new Picture(wire, "orders:burst");
  const volumes = () => picture.items.map(({ volume }) => volume as number).toSorted((a, b) => a - b);
  await expect.poll(volumes).toEqual(Array.from({ length: 10 }, (_, at) => 1_990 + at));
  const [reads = 0] = await calls("hgetall");
  expect(reads).toBeLessThan(200);
  wire.close();
});

test("a picture that takes long to read is not read all the time", async () => {
  const orders = Array.from({ length: 20_000 }, (_, at) => [
    `o-${at}`,
    JSON.stringify({ volume: 0, note: "x".repeat(200) }),
  ]);
  await redis.command(["HSET", "order_status:long", ...orders.flat()]);
  const wire = await gateway.wire();
  await follow(wire, "stream_order_queue", { exchange: "long" });
  const began = performance.now();
  await redis.command(["HGETALL", "order_status:long"]);
  const readMs = performance.now() - began;
  await reset();
  const start = performance.now();
  for (let n = 1; performance.now() - start < 30 * readMs; n++) await saveOrder(redis, "long", "o-0", `status-${n}`);
  const length = performance.now() - start;
  const [reads = 0] = await calls("hgetall");
  // A tenth of the time would be 3; without rest it would be about 30.
  expect(reads).toBeLessThan(2 + length / (4 * readMs));
  await redis.command(["DEL", "order_status:long"]);
  wire.close();
});

test("whatever is asked, Redis sees only commands of the list, and none that writes", async () => {
  await redis.replay("commands");
  await reset();
  const wire = await gateway.wire();
  const given: Record<string, unknown> = {
    exchange: "binance",
    symbol: "BTC/USDT",
    user_id: 1,
    order_id: "EX_PART",
    bot_id: 1,
    trade_key: "binance",
    timeframe: "1m",
    process_id: "none",
    component: "none",
    stream: "none",
  };
  for (const [method, operation] of Object.entries<Operation>(operations)) {
    const params = Object.fromEntries(
      Object.keys(operation.params).flatMap((name) => (name in given ? [[name, given[name]]] : [])),
    );
    const answer = await wire.request(wireName(method), params);
    expect(String(answer["error_code"] ?? "NOT_FOUND"), method).toMatch(/NOT_FOUND$/);
    if (answer["success"] && operation.kind === "live")
      await wire.ask("unsubscribe", { stream: (answer["result"] as { stream: string }).stream });
  }
  const allowed = new Set([
    ...allowedCommands.map((name) => name.toLowerCase().replace(" ", "|")),
    ...["subscribe", "psubscribe", "unsubscribe", "punsubscribe", "hello", "client|setname"],
    // The test's own.
    ...["config|resetstat", "info"],
  ]);
  const stats = await redis.stats();
  expect([...stats.keys()].filter((name) => !allowed.has(name))).toEqual([]);
  expect(["hget", "hgetall", "lrange", "get", "mget", "scan"].filter((name) => !stats.has(name))).toEqual([]);
  expect(await redis.refused()).toEqual([]);
  wire.close();
});

test("a write reaches a subscriber within milliseconds, whatever kind of stream it is", async () => {
  const medians: Record<string, number> = {};
  for (const kind of streamKinds("latency")) {
    await kind.write(redis, 0);
    const wire = await gateway.wire();
    await follow(wire, kind.operation, kind.params);
    const times: number[] = [];
    for (let n = 1; n <= 41; n++) {
      const from = wire.frames.length;
      const began = performance.now();
      const told = wire.frame(
        (frame) => frame["topic"] === kind.topic && !("state" in frame) && kind.tells(frame, n),
        from,
      );
      await Promise.all([kind.write(redis, n), told.then(() => times.push(performance.now() - began))]);
    }
    medians[kind.name] = Math.round((times.toSorted((a, b) => a - b)[20] ?? Number.NaN) * 100) / 100;
    wire.close();
  }
  console.log("write → update, median ms:", medians);
  for (const [name, median] of Object.entries(medians)) expect(median, name).toBeLessThan(50);
});
