import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createClient } from "redis";
import { expect, test, vi } from "vitest";
import { startMarket } from "../src/demo/market.ts";
import { dumps, isoTime } from "../src/demo/python.ts";
import { startRedisServer } from "../src/demo/redis-server.ts";
import { World } from "../src/demo/world.ts";
import { startRedis } from "./kit/redis.ts";

/** Whether a process still runs; one that nobody has collected yet does not. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch (error) {
    // Where there is no /proc the signal alone has answered.
    return !existsSync("/proc") && !`${error}`.includes("ESRCH");
  }
}

async function ping(url: string): Promise<string> {
  const client = await createClient({ url }).connect();
  const answer = await client.ping();
  client.destroy();
  return answer;
}

test("two private servers run side by side and leave nothing behind", async () => {
  const [one, two] = await Promise.all([startRedisServer(), startRedisServer()]);
  expect(one.port).not.toBe(two.port);
  expect([one.port, two.port]).not.toContain(6379);
  expect(await Promise.all([ping(one.url), ping(two.url)])).toEqual(["PONG", "PONG"]);
  await Promise.all([one.stop(), two.kill()]);
  await Promise.all([one.stop(), two.stop(), one.kill()]);
  expect([isAlive(one.pid), isAlive(two.pid)]).toEqual([false, false]);
});

test("a server keeps its data in a directory that goes with it", async () => {
  let directory = "";
  {
    await using server = await startRedisServer({ arguments: ["--maxclients", "50"] });
    const client = await createClient({ url: server.url }).connect();
    directory = (await client.configGet("dir"))["dir"] ?? "";
    expect((await client.configGet("maxclients"))["maxclients"]).toBe("50");
    expect(existsSync(directory)).toBe(true);
    client.destroy();
  }
  expect(existsSync(directory)).toBe(false);
});

test("a server that cannot start says why", async () => {
  await using server = await startRedisServer();
  await expect(startRedisServer({ port: server.port })).rejects.toThrow("Address already in use");
  await expect(startRedisServer({ arguments: ["--no-such-option", "1"] })).rejects.toThrow("no-such-option");
  await expect(startRedisServer({ port: 6379 })).rejects.toThrow("6379");
});

test("without redis-server the error says what to install", async () => {
  vi.stubEnv("PATH", "/nowhere");
  await expect(startRedisServer()).rejects.toThrow("apt-get install redis-server");
  vi.unstubAllEnvs();
});

test.concurrent("a server that does not listen to reason is killed", async () => {
  const server = await startRedisServer();
  process.kill(server.pid, "SIGSTOP");
  await server.stop();
  expect(isAlive(server.pid)).toBe(false);
});

test.concurrent.each(["SIGKILL", "SIGTERM", "exit", "throw"])(
  "no server outlives a program that ends by %s",
  async (end) => {
    const program = `
    import { startRedisServer } from ${JSON.stringify(new URL("../src/demo/redis-server.ts", import.meta.url).href)};
    const server = await startRedisServer();
    console.log(server.pid);
    process.stdin.once("data", () => { if (${end === "exit"}) process.exit(0); throw new Error("as asked"); });`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    const [line] = await once(child.stdout, "data");
    const pid = Number(`${line}`);
    expect(isAlive(pid)).toBe(true);
    if (end === "exit" || end === "throw") child.stdin.write("now\n");
    else child.kill(end === "SIGKILL" ? "SIGKILL" : "SIGTERM");
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 5_000 });
  },
);

test("the market writes every family of keys", async () => {
  await using redis = await startRedis();
  await using market = await startMarket(redis.url, { intervalMs: 0 });
  await market.tick();
  const keys = (await redis.admin.keys("*")).toSorted().join("\n");
  for (const [exchange, symbols] of Object.entries(market.exchanges)) {
    expect(await redis.admin.hKeys(`tickers:${exchange}`)).toHaveLength(symbols.length);
    for (const symbol of symbols) expect(keys).toContain(`ticker_time:${exchange}:${symbol}`);
  }
  for (const key of [
    "TRADE:STATUS:bitmex",
    "USER_TRADE:STATUS:1:binance",
    "account_positions",
    "accounts",
    "block_exchange",
    "new_orders:LOCAL-",
    "ohlcv:BTC/USDT:1m",
    "ohlcv:PEPE/USDT:5m",
    "opening_position",
    "order_status:binance",
    "order_status:kraken",
    "process:data:bot:bot_1:",
    "trades:binance:BTCUSDT",
    "trades:bitmex:BTCUSD:BTC-261225",
    "user_trades:1:binance",
  ]) {
    expect(keys).toContain(key);
  }
  for (const type of ["tick", "ohlcv", "bot", "account"]) {
    for (const id of await redis.admin.hKeys(`process:active:${type}`)) {
      expect(JSON.parse((await redis.admin.get(`process:data:${id}`)) ?? "")).toMatchObject({
        process_id: id,
        process_type: type,
      });
    }
  }
  expect(await redis.admin.hGetAll("accounts")).toMatchObject({
    1: expect.stringMatching(/^\{"USDT": \{"balance": \d/),
    2: expect.stringMatching(/^\{"USD": \{"total": \d/),
  });
  expect((await redis.admin.hKeys("bot_status")).toSorted()).toEqual(["1", "2", "3"]);
  expect(await redis.admin.lLen("ohlcv:BTC/USDT:1m")).toBeGreaterThanOrEqual(200);
  expect(await redis.admin.ttl("order_status:binance")).toBeGreaterThan(0);
});

test("a tick moves prices and publishes them", async () => {
  await using redis = await startRedis();
  await using market = await startMarket(redis.url, { intervalMs: 0 });
  const listener = await redis.admin.duplicate().connect();
  const published: string[] = [];
  await listener.subscribe("ticker_updates:binance:BTC/USDT", (message) => published.push(message));
  const before = await redis.admin.hGet("tickers:binance", "BTC/USDT");
  await market.tick();
  const after = await redis.admin.hGet("tickers:binance", "BTC/USDT");
  await expect.poll(() => published).toEqual([after]);
  const prices = [before, after].map((tick) => JSON.parse(tick ?? "").price);
  expect(prices[1]).toBeGreaterThan(0);
  expect(prices[1]).not.toBe(prices[0]);
  listener.destroy();
});

test("a market runs by itself, until it is stopped", async () => {
  await using redis = await startRedis();
  const market = await startMarket(redis.url, { intervalMs: 5 });
  const read = () => redis.admin.hGet("tickers:kraken", "BTC/EUR");
  const first = await read();
  await expect.poll(read).not.toBe(first);
  await market.stop();
  await market.stop();
  await expect(market.tick()).rejects.toThrow();
  expect(await read()).toBe(await read());
});

test("a market survives the loss of its Redis and fills the next one", async () => {
  await using redis = await startRedis();
  await using market = await startMarket(redis.url, { intervalMs: 5 });
  await redis.kill();
  await expect(market.tick()).rejects.toThrow();
  await redis.start();
  await expect.poll(() => redis.admin.lLen("ohlcv:BTC/USDT:1m"), { timeout: 5_000 }).toBeGreaterThanOrEqual(200);
});

test("a market keeps off a Redis with another system's data, unless it is told to write over it", async () => {
  await using redis = await startRedis();
  await redis.replay("commands");
  await expect(startMarket(redis.url, { intervalMs: 0 })).rejects.toThrow("must not write over it");
  await using market = await startMarket(redis.url, { intervalMs: 0, overwrite: true });
  await market.stop();
  // From here on the data are a market's own, and the next one takes them over.
  await using successor = await startMarket(redis.url, { intervalMs: 0 });
  await successor.tick();
});

test("a market without a Redis says so at once", async () => {
  const server = await startRedisServer();
  await server.kill();
  await expect(startMarket(server.url)).rejects.toThrow("ECONNREFUSED");
});

test("the same seed gives the same market, another seed another", () => {
  const startMs = 1_795_330_960_123;
  const play = (seed: number) => {
    const world = new World(seed, startMs);
    const rounds = Array.from({ length: 50 }, (_, round) => world.round(startMs + round * 500, 6));
    return [...world.all(startMs), ...rounds.flat()];
  };
  expect(play(7)).toEqual(play(7));
  expect(play(7)).not.toEqual(play(8));
});

test("a market that runs for hours stays within bounds and within reason", () => {
  const startMs = 1_795_330_960_123;
  const world = new World(3, startMs);
  const orders = new Map<string, string>();
  const statuses = new Set<string>();
  const tape = new Map<string, number>();
  const positions: string[] = [];
  for (let round = 0; round < 1_200; round++) {
    for (const [name, key = "", ...rest] of world.round(startMs + round * 500, 6)) {
      if (key === "account_positions") positions.push(rest[1] ?? "");
      if (key.startsWith("trades:"))
        tape.set(key, name === "LTRIM" ? Math.min(500, tape.get(key) ?? 0) : (tape.get(key) ?? 0) + 1);
      if (key !== "order_status:binance") continue;
      if (name === "HDEL") orders.delete(rest[0] ?? "");
      if (name !== "HSET") continue;
      orders.set(rest[0] ?? "", rest[1] ?? "");
      statuses.add(JSON.parse(rest[1] ?? "").status);
    }
    expect(orders.size).toBeLessThanOrEqual(45);
  }
  expect([...statuses].toSorted()).toEqual(["canceled", "filled", "open", "partially_filled"]);
  expect(Math.max(...tape.values())).toBeLessThanOrEqual(600);
  expect(positions.join()).not.toContain("-0.");
  expect(positions.join()).not.toContain("NaN");
});

test("values are written exactly as Python's json.dumps writes them", () => {
  const floats = [
    0,
    1,
    -2.5,
    50_000,
    97_321.45,
    0.0001,
    0.00001,
    4.57e-6,
    1e-12,
    1e15,
    1e16,
    1.5e22,
    NaN,
    Infinity,
    -Infinity,
  ];
  const values = {
    floats,
    ints: [0n, 84110n, 2n ** 80n],
    text: 'Ünï 币/USDT 🚀 "\\\n\u007f',
    none: null,
    yes: true,
    empty: {},
  };
  expect(dumps(values)).toBe(
    `{"floats": [0.0, 1.0, -2.5, 50000.0, 97321.45, 0.0001, 1e-05, 4.57e-06, 1e-12, 1000000000000000.0, 1e+16, 1.5e+22, NaN, Infinity, -Infinity], ` +
      String.raw`"ints": [0, 84110, 1208925819614629174706176], "text": "\u00dcn\u00ef \u5e01/USDT \ud83d\ude80 \"\\\n\u007f", "none": null, "yes": true, "empty": {}}`,
  );
  expect(isoTime(1_795_330_960_123)).toBe("2026-11-22T07:02:40.123000+00:00");
  expect(isoTime(1_795_330_960_000)).toBe("2026-11-22T07:02:40+00:00");
});
