import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { type Frame, startGateway, type Wire } from "./kit/gateway.ts";
import { startProxy } from "./kit/proxy.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";

const binance = { exchange: "binance", symbol: "BTC/USDT" };

/** Writes a ticker without publishing it: nobody is told but by the key. */
const setPrice = (redis: TestRedis, price: number, symbol = binance.symbol) =>
  redis.command(["HSET", "tickers:binance", symbol, JSON.stringify({ price, volume: 1, time: 1_700_000_000 + price })]);

async function priceOf(wire: Wire, symbol = binance.symbol): Promise<number> {
  return ((await wire.ask("get_ticker", { exchange: "binance", symbol })) as { price: number }).price;
}

/** How many reads Redis was sent during something. */
async function readsDuring(redis: TestRedis, act: () => Promise<unknown>): Promise<number> {
  const count = async () => {
    const stats = await redis.stats();
    return ["get", "mget", "hget", "hmget", "hgetall", "lrange", "llen", "scan"].reduce(
      (sum, name) => sum + (stats.get(name) ?? 0),
      0,
    );
  };
  const before = await count();
  await act();
  return (await count()) - before;
}

const times = async (n: number, act: () => Promise<unknown>) => {
  for (let at = 0; at < n; at++) await act();
};

test("what was asked before is answered without a read, until it is written", async () => {
  await using gateway = await startGateway();
  const { redis } = gateway;
  const [one, other] = [await gateway.wire(), await gateway.wire()];
  await setPrice(redis, 1);
  await redis.command(["RPUSH", "ohlcv:BTC/USDT:1m", "[1, 1, 1, 1, 1, 1]"]);
  const askAll = async () => {
    for (const wire of [one, other]) {
      await priceOf(wire);
      await wire.ask("get_all_tickers", { exchange: "binance" });
      await wire.ask("get_latest_ohlcv_bars", { symbol: "BTC/USDT", timeframe: "1m" });
    }
  };
  expect(await readsDuring(redis, askAll)).toBe(3);
  expect(await readsDuring(redis, () => times(20, askAll))).toBe(0);
  await setPrice(redis, 2);
  await expect.poll(() => priceOf(one)).toBe(2);
  expect(await readsDuring(redis, askAll)).toBe(1);
  expect(await priceOf(other)).toBe(2);
});

test("that something is not there is remembered as well, until it comes", async () => {
  await using gateway = await startGateway();
  const wire = await gateway.wire();
  const ask = async () => (await wire.request("get_ticker", binance))["error_code"];
  expect(await ask()).toBe("TICKER_NOT_FOUND");
  expect(await readsDuring(gateway.redis, () => times(20, ask))).toBe(0);
  await setPrice(gateway.redis, 1);
  await expect.poll(ask).toBeUndefined();
  await gateway.redis.command(["FLUSHALL"]);
  await expect.poll(ask).toBe("TICKER_NOT_FOUND");
});

test("whoever asks the same at the same time waits for the same read", async () => {
  await using gateway = await startGateway({ nearCacheBytes: 65_536 });
  const wires = await Promise.all(Array.from({ length: 20 }, () => gateway.wire()));
  await setPrice(gateway.redis, 1);
  const ask = () => Promise.all(wires.map((wire) => wire.ask("get_all_tickers", { exchange: "binance" })));
  gateway.redis.pause();
  const answers = ask();
  // A paused Redis answers nobody: all of them wait by now, or soon will.
  await pause(100);
  gateway.redis.resume();
  expect(await readsDuring(gateway.redis, () => answers)).toBeLessThanOrEqual(1);
  expect(new Set((await answers).map((answer) => JSON.stringify(answer))).size).toBe(1);
});

test("what depends on the clock or on who asks is never kept", async () => {
  let now = 1_000;
  await using gateway = await startGateway({ now: () => now });
  const [one, other] = [await gateway.wire(), await gateway.wire()];
  const process = { process_id: "bot:a:1", process_type: "bot", component: "a", status: "running" };
  const heartbeat = new Date(1_000_000).toISOString();
  await gateway.redis.command(["SET", "process:data:bot:a:1", JSON.stringify({ ...process, heartbeat })]);
  const age = async () =>
    ((await one.ask("get_process", { process_id: "bot:a:1" })) as { heartbeat_age: number }).heartbeat_age;
  expect(await age()).toBe(0);
  now += 7;
  expect(await age()).toBe(7);

  const streams = await Promise.all([one, other].map((wire) => wire.ask("stream_tickers", { exchange: "kraken" })));
  expect(streams).toHaveLength(2);
  // Both are called s1, each on its connection, and both at the same time.
  const ended = await Promise.all([one, other].map((wire) => wire.request("unsubscribe", { stream: "s1" })));
  expect(ended.map(({ success }) => success)).toEqual([true, true]);
  expect(await Promise.all([one, other].map((wire) => wire.ask("list_streams")))).toEqual([[], []]);
});

test("an error that may pass is not kept", async () => {
  await using gateway = await startGateway({ redisTimeoutMs: 100 });
  const wire = await gateway.wire();
  await setPrice(gateway.redis, 1);
  gateway.redis.pause();
  expect(await wire.request("get_ticker", binance)).toMatchObject({ error_code: "CACHE_TIMEOUT" });
  gateway.redis.resume();
  await expect.poll(async () => (await wire.request("get_ticker", binance))["success"]).toBe(true);
});

test("while Redis cannot be reached nothing is answered from memory, and afterwards all is read again", async () => {
  await using gateway = await startGateway();
  const wire = await gateway.wire();
  await setPrice(gateway.redis, 1);
  expect(await priceOf(wire)).toBe(1);
  await gateway.redis.kill();
  await expect.poll(async () => (await wire.request("get_ticker", binance))["error_code"]).toBe("CACHE_UNAVAILABLE");
  await gateway.redis.start();
  await setPrice(gateway.redis, 2);
  await expect.poll(async () => (await wire.request("get_ticker", binance))["success"]).toBe(true);
  expect(await priceOf(wire)).toBe(2);
});

test("where Redis cannot tell what changed, everything is read", async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy(redis.port, { unknownCommands: ["CLIENT TRACKING"] });
  await using gateway = await startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl) });
  const wire = await gateway.wire();
  await setPrice(redis, 1);
  expect(await readsDuring(redis, () => times(5, () => priceOf(wire)))).toBe(5);
});

test("it can be switched off", async () => {
  await using gateway = await startGateway({ nearCacheBytes: 0 });
  const wire = await gateway.wire();
  await setPrice(gateway.redis, 1);
  expect(await readsDuring(gateway.redis, () => times(5, () => priceOf(wire)))).toBe(5);
});

test("it is bounded: what was not asked for the longest gives way", async () => {
  // Room for about fifty tickers.
  await using gateway = await startGateway({ nearCacheBytes: 30_000 });
  const wire = await gateway.wire();
  const symbols = Array.from({ length: 200 }, (_, at) => `S${at}`);
  for (const [at, symbol] of symbols.entries()) await setPrice(gateway.redis, at, symbol);
  await setPrice(gateway.redis, 1, "HOT");
  for (const symbol of symbols) {
    await priceOf(wire, symbol);
    await priceOf(wire, "HOT");
  }
  const { gateway: summary } = (await wire.ask("get_system_health")) as { gateway: { near_cache_bytes: number } };
  expect(summary.near_cache_bytes).toBeGreaterThan(20_000);
  expect(summary.near_cache_bytes).toBeLessThanOrEqual(30_000);
  expect(await readsDuring(gateway.redis, () => priceOf(wire, "HOT"))).toBe(0);
  expect(await readsDuring(gateway.redis, () => priceOf(wire, "S199"))).toBe(0);
  expect(await readsDuring(gateway.redis, () => priceOf(wire, "S0"))).toBe(1);
});

test("an answer that is larger than the whole near cache is given and not kept", async () => {
  await using gateway = await startGateway({ nearCacheBytes: 2_000 });
  const wire = await gateway.wire();
  for (let at = 0; at < 50; at++) await setPrice(gateway.redis, at, `S${at}`);
  const ask = () => wire.ask("get_all_tickers", { exchange: "binance" });
  expect(await ask()).toHaveLength(50);
  expect(await readsDuring(gateway.redis, ask)).toBe(1);
});

// The message of a ticker comes on one connection, the notice that its key was written on the other.
test("who was told a price is never answered an older one, also while the notice of the key is held up", async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy(redis.port);
  await using gateway = await startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl), rereadMs: 0 });
  const wire = await gateway.wire();
  await setPrice(redis, 1);
  await wire.ask("stream_tickers", { exchange: "binance", symbols: ["BTC/USDT"] });
  expect(await priceOf(wire)).toBe(1);
  proxy.holdNamed("fullon-cache-api:reads");
  await setPrice(redis, 2);
  const tick = JSON.stringify({ ...binance, price: 2, volume: 1, time: 1_700_000_002 });
  await redis.command(["PUBLISH", "ticker_updates:binance:BTC/USDT", tick]);
  await wire.frame((frame) => frame["type"] === "ticker_update" && frame["price"] === 2);
  const answer = priceOf(wire);
  proxy.release();
  expect(await answer).toBe(2);
});

/** What one reader may see of one counter, from now on: nothing below what it saw. */
class Ascending {
  readonly name: string;
  readonly faults: string[] = [];
  reads = 0;
  #seen = 0;

  constructor(name: string) {
    this.name = name;
  }

  get seen(): number {
    return this.#seen;
  }

  see(value: number): void {
    this.reads++;
    if (value < this.#seen) this.faults.push(`${this.name}: saw ${value} after ${this.#seen}`);
    this.#seen = value;
  }
}

describe("a writer, readers through the near cache, readers past it, and faults", () => {
  test("no reader ever sees a value older than one it saw before, and in the end all see the last", async () => {
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port);
    const common = { to: redis, redis: proxy.through(redis.gatewayUrl), redisTimeoutMs: 300 };
    // A small one as well, which has to let go of answers all the time.
    await using near = await startGateway(common);
    await using small = await startGateway({ ...common, nearCacheBytes: 4_000 });
    await using past = await startGateway({ ...common, nearCacheBytes: 0 });

    let written = 0;
    const write = async () => {
      written++;
      const at = `${written}`;
      const tick = JSON.stringify({ ...binance, price: written, volume: 1, time: written });
      await Promise.all([
        redis.command(["HSET", "tickers:binance", "BTC/USDT", tick]),
        redis.command(["PUBLISH", "ticker_updates:binance:BTC/USDT", tick]),
        redis.command(["HSET", "order_status:binance", "o1", JSON.stringify({ order_id: "o1", volume: written })]),
        redis.command(["SET", "TRADE:STATUS:binance", new Date(written * 1_000).toISOString()]),
        redis.command(["RPUSH", "ohlcv:BTC/USDT:1m", `[${at}, 1, 1, 1, 1, 1]`]),
      ]);
    };
    await write();

    let isOver = false;
    const questions: Record<string, readonly [string, object, (result: unknown) => number]> = {
      ticker: ["get_ticker", binance, (result) => (result as { price: number }).price],
      tickers: ["get_all_tickers", { exchange: "binance" }, (result) => (result as { price: number }[])[0]?.price ?? 0],
      order: [
        "get_order_status",
        { order_id: "o1", exchange: "binance" },
        (result) => (result as { volume: number }).volume,
      ],
      status: ["get_trade_status", { trade_key: "binance" }, (result) => (result as { timestamp: number }).timestamp],
      bars: [
        "get_latest_ohlcv_bars",
        { symbol: "BTC/USDT", timeframe: "1m", count: 1 },
        (result) => (result as [number][])[0]?.[0] ?? 0,
      ],
    };
    const follow = async (wire: Wire, counter: Ascending, [operation, params, value]: (typeof questions)[string]) => {
      while (!isOver || counter.seen < written) {
        const answer = await wire.request(operation, params);
        if (answer["success"]) counter.see(value(answer["result"]));
        else if (answer["retryable"] !== true) throw new Error(`${counter.name}: ${JSON.stringify(answer)}`);
      }
    };
    const readers: Promise<void>[] = [];
    const counters: Ascending[] = [];
    for (const [name, gateway] of Object.entries({ near, small, past }))
      for (const [what, question] of Object.entries(questions)) {
        const counter = new Ascending(`${what} of ${name}`);
        counters.push(counter);
        readers.push(follow(await gateway.wire(), counter, question));
      }
    // These are told prices as well, and ask in between: nothing they are answered may be older than what they were told
    // when they asked. (A message may still be on its way that is older than an answer.)
    for (const [name, gateway] of Object.entries({ near, small, past })) {
      const wire = await gateway.wire();
      const told = new Ascending(`told by ${name}`);
      const answered = new Ascending(`answered by ${name} to who was told`);
      counters.push(told, answered);
      await wire.ask("stream_tickers", { exchange: "binance", symbols: ["BTC/USDT"] });
      wire.socket.on("message", (data) => {
        const frame = JSON.parse(String(data)) as Frame;
        if (frame["type"] === "ticker_update") told.see(frame["price"] as number);
      });
      answered.see(1);
      const ask = async () => {
        while (!isOver || answered.seen < written || told.seen < written) {
          const floor = told.seen;
          const answer = await wire.request("get_ticker", binance);
          if (!answer["success"]) continue;
          const { price } = answer["result"] as { price: number };
          if (price < floor) throw new Error(`${answered.name}: ${price} after it was told ${floor}`);
          answered.see(price);
        }
      };
      readers.push(ask());
    }

    const faults = [
      () => redis.command(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]),
      () => redis.command(["CLIENT", "KILL", "TYPE", "pubsub"]),
      async () => proxy.cut(),
      async () => {
        proxy.hold();
        await pause(50);
        proxy.release();
      },
      async () => {
        redis.pause();
        await pause(400);
        redis.resume();
      },
      async () => {
        proxy.holdNamed("fullon-cache-api:reads");
        await pause(50);
        proxy.release();
      },
    ];
    for (let round = 0; round < 18; round++) {
      for (let at = 0; at < 100; at++) await write();
      await faults[round % faults.length]?.();
    }
    isOver = true;
    await Promise.all(readers);
    expect(counters.flatMap(({ faults }) => faults)).toEqual([]);
    expect(counters.map(({ seen }) => seen)).toEqual(counters.map(() => written));
    expect(Math.min(...counters.map(({ reads }) => reads))).toBeGreaterThan(100);
  }, 60_000);
});
