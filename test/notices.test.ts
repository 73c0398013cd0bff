import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { operations } from "../src/operations/index.ts";
import type { Operation } from "../src/operations/operation.ts";
import { wireName } from "../src/protocol/names.ts";
import { allowedCommands, type ReadCommand } from "../src/redis/commands.ts";
import { Connection } from "../src/redis/connection.ts";
import { startGateway } from "./kit/gateway.ts";
import { someParams } from "./kit/params.ts";
import { Picture } from "./kit/picture.ts";
import type { TestRedis } from "./kit/redis.ts";
import { follow, pushTrades, saveOrder, setTicker, streamKinds } from "./kit/streams.ts";

/** Counts from now on. */
const reset = (redis: TestRedis) => redis.command(["CONFIG", "RESETSTAT"]);

/** How often the given commands were called since. */
async function calls(redis: TestRedis, ...names: string[]): Promise<number[]> {
  const stats = await redis.stats();
  return names.map((name) => stats.get(name) ?? 0);
}

// Ten seconds of nothing, so the others run beside it.
test.concurrent("a gateway where nothing happens sends Redis nothing but signs of life, whatever it follows", async ({
  expect,
}) => {
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

test.concurrent("a ticker that a thousand streams follow is one subscription and one read", async ({ expect }) => {
  await using gateway = await startGateway({ rereadMs: 0 });
  const { redis } = gateway;
  await setTicker(redis, "fan", "X", 1);
  await reset(redis);
  const wires = await Promise.all(Array.from({ length: 100 }, () => gateway.wire()));
  await Promise.all(
    wires.map(async (wire) => {
      for (let stream = 0; stream < 10; stream++)
        await follow(wire, "stream_tickers", { exchange: "fan", symbols: ["X"] });
    }),
  );
  expect(await calls(redis, "subscribe", "psubscribe", "hget", "hmget", "hgetall")).toEqual([1, 0, 1, 0, 0]);
  const told = (price: number) => Promise.all(wires.map((wire) => wire.frame((frame) => frame["price"] === price)));
  await reset(redis);
  for (const price of [2, 3]) {
    await setTicker(redis, "fan", "X", price);
    await told(price);
    // What was published is checked against the hash, once, or twice where the two come apart.
    const hgets = async () => (await calls(redis, "hget"))[0];
    await expect.poll(hgets, { timeout: 3_000 }).toBeGreaterThanOrEqual(price - 1);
    expect(await hgets()).toBeLessThanOrEqual(2 * (price - 1));
  }
  expect(await calls(redis, "hmget", "hgetall", "subscribe")).toEqual([0, 0, 0]);
  for (const wire of wires) expect(wire.updates("ticker:fan:X").filter((frame) => !frame["snapshot"])).toHaveLength(2);
});

test.concurrent("a change of a hash is one read, however many follow it", async ({ expect }) => {
  await using gateway = await startGateway({ rereadMs: 0 });
  const { redis } = gateway;
  const wires = await Promise.all(Array.from({ length: 50 }, () => gateway.wire()));
  await Promise.all(wires.map((wire) => follow(wire, "stream_orders", { exchange: "once" })));
  await reset(redis);
  for (let n = 1; n <= 20; n++) {
    await saveOrder(redis, "once", "o-1", "open", n);
    await Promise.all(wires.map((wire) => wire.frame(({ volume }) => volume === n)));
  }
  expect(await calls(redis, "hgetall", "hget", "hmget")).toEqual([20, 0, 0]);
});

test.concurrent("a change of one key of a family is read alone", async ({ expect }) => {
  await using gateway = await startGateway({ rereadMs: 0 });
  const { redis } = gateway;
  const wire = await gateway.wire();
  for (const symbol of ["A", "B", "C"]) await pushTrades(redis, "alone", symbol, [1]);
  await follow(wire, "stream_trade_updates", { exchange: "alone" });
  await reset(redis);
  for (let id = 2; id <= 11; id++) {
    // Rested, so that it looks at once, and would again if it were told twice.
    await pause(30);
    await pushTrades(redis, "alone", "B", [id]);
    await pushTrades(redis, "elsewhere", "B", [id]);
    await wire.frame(({ trade_id }) => trade_id === id);
  }
  expect(await calls(redis, "lrange", "scan", "llen")).toEqual([10, 0, 0]);
});

test.concurrent("a burst of writes is few reads, and the last of it is what stands", async ({ expect }) => {
  await using gateway = await startGateway({ rereadMs: 0 });
  const { redis } = gateway;
  const wire = await gateway.wire();
  await follow(wire, "stream_orders", { exchange: "burst" });
  await reset(redis);
  await Promise.all(Array.from({ length: 2_000 }, (_, n) => saveOrder(redis, "burst", `o-${n % 10}`, "open", n)));
  const picture = new Picture(wire, "orders:burst");
  const volumes = () => picture.items.map(({ volume }) => volume as number).toSorted((a, b) => a - b);
  await expect.poll(volumes, { timeout: 10_000 }).toEqual(Array.from({ length: 10 }, (_, at) => 1_990 + at));
  const [reads = 0] = await calls(redis, "hgetall");
  expect(reads).toBeLessThan(200);
});

test.concurrent("a picture that takes long to read is not read all the time", async ({ expect }) => {
  await using gateway = await startGateway({ rereadMs: 0 });
  const { redis } = gateway;
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
  await reset(redis);
  const start = performance.now();
  for (let n = 1; performance.now() - start < 15 * readMs; n++) await saveOrder(redis, "long", "o-0", `status-${n}`);
  const length = performance.now() - start;
  const [reads = 0] = await calls(redis, "hgetall");
  // A tenth of the time is one or two; without rest it would be fifteen.
  expect(reads).toBeLessThan(2 + length / (4 * readMs));
});

test.concurrent("whatever is asked, Redis sees only commands of the list, and none that writes", async ({ expect }) => {
  await using gateway = await startGateway({ rereadMs: 0 });
  const { redis } = gateway;
  await redis.replay("commands");
  await reset(redis);
  const wire = await gateway.wire();
  for (const [method, operation] of Object.entries<Operation>(operations)) {
    const params = someParams(operation);
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
});

test("a command that is not on the list never reaches the socket", () => {
  const connection = new Connection(
    { address: {}, name: "test", timeoutMs: 100, maxBackoffMs: 100 },
    { up() {}, down() {}, invalidated() {} },
  );
  for (const command of ["SET", "DEL", "get", "CLIENT", "CLIENT KILL", "EVAL", "PUBLISH", "CONFIG"])
    expect(() => connection.ask(command as ReadCommand, "key")).toThrow(
      `${command} is not a command that the gateway may send`,
    );
});

test("a write reaches a subscriber within milliseconds, whatever kind of stream it is", async () => {
  await using gateway = await startGateway({ rereadMs: 0 });
  const { redis } = gateway;
  const kinds = streamKinds("latency");
  const wire = await gateway.wire();
  for (const kind of kinds) {
    await kind.write(redis, 0);
    await follow(wire, kind.operation, kind.params);
  }
  const times = new Map(kinds.map(({ name }) => [name, [] as number[]]));
  for (let n = 1; n <= 15; n++) {
    for (const kind of kinds) {
      // A topic rests after a read, and some share a key: this is about the latency of a write, not of the one after it.
      await pause(10);
      const from = wire.frames.length;
      const began = performance.now();
      const told = wire.frame(
        (frame) => frame["topic"] === kind.topic && !("state" in frame) && kind.tells(frame, n),
        from,
      );
      await Promise.all([kind.write(redis, n), told.then(() => times.get(kind.name)?.push(performance.now() - began))]);
    }
  }
  const median = (of: readonly number[]) => Math.round((of.toSorted((a, b) => a - b)[7] ?? Number.NaN) * 100) / 100;
  const medians = Object.fromEntries([...times].map(([name, of]) => [name, median(of)]));
  console.log("write → update, median ms:", medians);
  for (const kind of kinds) expect(medians[kind.name], kind.name).toBeLessThan(50);
});
