import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { describe, test } from "vitest";
import { readerRules } from "../src/redis/reader.ts";
import { Asking } from "./kit/asking.ts";
import { figure, isLong, scaled } from "./kit/chaos.ts";
import { followAll } from "./kit/follow-all.ts";
import { type Frame, startGateway, type TestGateway, type Wire } from "./kit/gateway.ts";
import { Picture } from "./kit/picture.ts";
import { startProxy } from "./kit/proxy.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { beat, follow, pushTrades, saveOrder, setTicker, streamKinds } from "./kit/streams.ts";

const user = "fullon_cache_api";

/** What the log says at a level, without the times. */
const logged = (gateway: TestGateway, level: number) =>
  gateway.lines.filter((line) => line["level"] === level).map(({ msg }) => msg);

/** The gateway's connections as Redis lists them, by what they are for. */
async function connections(redis: TestRedis): Promise<Record<string, string>> {
  const list = String(await redis.command(["CLIENT", "LIST"]));
  const found = list.matchAll(/^id=(\d+) .*name=fullon-cache-api:(\w+) /gm);
  return Object.fromEntries([...found].map(([, id = "", name = ""]) => [name, id]));
}

async function reachable(wire: Wire): Promise<boolean> {
  return ((await wire.ask("get_server_info")) as { redis: { connected: boolean } }).redis.connected;
}

// Every test has a Redis and a gateway of its own, and mostly waits.
describe.concurrent("when Redis", () => {
  // First, since it takes longest: nobody asks for anything, so only signs of life can show it.
  test("falls silent without closing, it is found out, and streams go on over new connections", async ({ expect }) => {
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port);
    await using gateway = await startGateway({
      to: redis,
      redis: proxy.through(redis.gatewayUrl),
      redisTimeoutMs: 500,
      rereadMs: 0,
    });
    const streams = await followAll(gateway);
    await streams.write(redis, 1);
    proxy.hold();
    await streams.writeOnly(redis, 2);
    await expect
      .poll(() => logged(gateway, 40), { timeout: 30_000, interval: 250 })
      .toEqual(["Redis cannot be reached"]);
    await streams.all("stale");
    proxy.release();
    await streams.all("live");
    await streams.converge();
    await streams.write(redis, 3);
  }, 40_000);

  test("crashes, streams say so, requests are answered at once, and all is well when it is back, empty", async ({
    expect,
  }) => {
    await using gateway = await startGateway({ rereadMs: 0 });
    const { redis } = gateway;
    const streams = await followAll(gateway);
    const { wire, topics } = streams;
    await streams.write(redis, 1);
    await streams.converge();

    await redis.kill();
    await streams.all("stale");
    for (const topic of topics) {
      const [status, ...others] = wire.frames.filter((frame) => frame["topic"] === topic && frame["state"] === "stale");
      expect(status).toMatchObject({ error_code: "CACHE_UNAVAILABLE", since: expect.closeTo(Date.now() / 1000, -1) });
      expect(others).toEqual([]);
    }
    const began = performance.now();
    const refused = { success: false, error_code: "CACHE_UNAVAILABLE", retryable: true };
    expect(await wire.request("get_ticker", { exchange: "all", symbol: "BTC/USDT" })).toMatchObject(refused);
    expect(await wire.request("stream_orders", { exchange: "another" })).toMatchObject(refused);
    // The topic is there, but nobody knows whether it is true.
    expect(await wire.request("stream_orders", { exchange: "all" })).toMatchObject(refused);
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(await wire.ask("ping")).toBeDefined();
    expect(await reachable(wire)).toBe(false);

    await redis.start();
    await streams.all("live");
    await streams.converge();
    expect(await wire.ask("get_orders", { exchange: "all" })).toEqual([]);
    await streams.write(redis, 2);
    await streams.converge();
    // Once per outage, not per attempt.
    expect(logged(gateway, 40)).toEqual(["Redis cannot be reached"]);
    expect(logged(gateway, 30).filter((msg) => msg === "Redis can be reached")).toHaveLength(2);
  });

  test("takes connections and says nothing, the gateway starts all the same, and stops at once", async ({ expect }) => {
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port);
    proxy.hold();
    await using gateway = await startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl) });
    const wire = await gateway.wire();
    expect(await wire.request("get_bots")).toMatchObject({ error_code: "CACHE_UNAVAILABLE" });
    proxy.release();
    await expect.poll(() => reachable(wire), { timeout: 10_000 }).toBe(true);
    expect(await wire.ask("get_bots")).toEqual([]);
    proxy.hold();
    const began = performance.now();
    await gateway.server.stop();
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  test("comes back with other data, every picture becomes what is there now", async () => {
    await using gateway = await startGateway({ rereadMs: 0 });
    const { redis } = gateway;
    const streams = await followAll(gateway);
    await streams.write(redis, 1);
    for (let round = 1; round <= 3; round++) {
      await redis.restart();
      if (round !== 2) await streams.writeOnly(redis, 10 * round);
      await streams.all("live");
      await streams.converge();
    }
    await streams.write(redis, 100);
    await streams.converge();
  });

  test("is not there at first, the gateway starts all the same and becomes usable", async ({ expect }) => {
    await using redis = await startRedis();
    await redis.kill();
    await using gateway = await startGateway({ to: redis });
    const wire = await gateway.wire();
    expect(await reachable(wire)).toBe(false);
    for (const operation of ["get_bots", "stream_bot_status", "get_system_health"])
      expect(await wire.request(operation)).toMatchObject({ error_code: "CACHE_UNAVAILABLE" });
    await redis.start();
    await expect.poll(() => reachable(wire), { timeout: 10_000 }).toBe(true);
    const streams = await followAll(gateway);
    await streams.write(redis, 1);
    await streams.converge();
  });

  test("does not answer in time, requests say so, streams that look are stale, and both recover", async ({
    expect,
  }) => {
    await using gateway = await startGateway({ redisTimeoutMs: 500, rereadMs: 100 });
    const { redis } = gateway;
    const streams = await followAll(gateway);
    const { wire } = streams;
    await streams.write(redis, 1);
    redis.pause();
    const began = performance.now();
    const late = { success: false, error_code: "CACHE_TIMEOUT", retryable: true };
    const asked = [
      wire.request("get_ticker", { exchange: "all", symbol: "BTC/USDT" }),
      wire.request("stream_tickers", { exchange: "new", symbols: ["A", "B"] }),
      wire.request("stream_tickers", { exchange: "new" }),
      wire.request("stream_orders", { exchange: "new" }),
      wire.request("stream_trade_updates", { exchange: "new" }),
    ];
    for (const answer of await Promise.all(asked)) expect(answer).toMatchObject(late);
    expect(performance.now() - began).toBeLessThan(5_000);
    await streams.all("stale");
    expect(wire.frames.filter(({ state }) => state === "stale")[0]).toMatchObject({ error_code: "CACHE_TIMEOUT" });
    expect(await wire.ask("get_system_health").catch(String)).toContain("CACHE_TIMEOUT");
    redis.resume();
    await streams.all("live");
    await streams.write(redis, 2);
    await streams.converge();
    // What was given up is not half there.
    await expect
      .poll(() => wire.ask("get_system_health"))
      .toMatchObject({ gateway: { topics: streamKinds("all").length } });
    await follow(wire, "stream_tickers", { exchange: "new", symbols: ["A"] });
    await setTicker(redis, "new", "A", 7);
    await wire.frame(({ topic, price }) => topic === "ticker:new:A" && price === 7);
  });

  test("was held up once, streams are as quick as before", async ({ expect }) => {
    await using gateway = await startGateway({ redisTimeoutMs: 10_000, rereadMs: 50 });
    const { redis } = gateway;
    const streams = await followAll(gateway);
    const { wire } = streams;
    await streams.write(redis, 1);
    redis.pause();
    // Every stream looks meanwhile, which takes as long as this.
    await pause(2_000);
    redis.resume();
    await wire.ask("get_bots");
    // And would rest ten times as long after it.
    const began = performance.now();
    await streams.write(redis, 2);
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  test("answers late while a stream ends, the others of its family go on", async ({ expect }) => {
    await using gateway = await startGateway({ redisTimeoutMs: 500, rereadMs: 0 });
    const { redis } = gateway;
    const wire = await gateway.wire();
    await follow(wire, "stream_trade_updates", { exchange: "family" });
    const { stream } = await follow(wire, "stream_process_health");
    redis.pause();
    await wire.ask("unsubscribe", { stream });
    expect(await wire.request("get_bots")).toMatchObject({ error_code: "CACHE_TIMEOUT" });
    expect(await wire.request("get_bots")).toMatchObject({ error_code: "CACHE_TIMEOUT" });
    redis.resume();
    await pushTrades(redis, "family", "X", [1]);
    await expect.poll(() => wire.updates("trades:family").map(({ trade_id }) => trade_id)).toEqual([1]);
  });

  test.for(["reads", "notices"])(
    "kills the connection for %s, nothing that is written meanwhile is missed",
    async (name, { expect }) => {
      await using gateway = await startGateway({ rereadMs: 0 });
      const { redis } = gateway;
      const streams = await followAll(gateway);
      const { wire, topics } = streams;
      await streams.write(redis, 1);
      for (let n = 2; n <= 4; n++) {
        const id = (await connections(redis))[name];
        await redis.command(["CLIENT", "KILL", "ID", String(id)]);
        await streams.write(redis, n);
        await streams.all("live");
        await streams.converge();
      }
      for (const topic of topics)
        expect(
          wire.frames.filter((frame) => frame["topic"] === topic && frame["state"] === "stale").length,
        ).toBeLessThanOrEqual(3);
    },
  );

  test("loses everything by FLUSHALL, every picture is empty and goes on from there", async ({ expect }) => {
    await using gateway = await startGateway({ rereadMs: 0 });
    const { redis } = gateway;
    const streams = await followAll(gateway);
    const { wire } = streams;
    await streams.write(redis, 1);
    for (const [at, command] of ["FLUSHALL", "FLUSHDB", "FLUSHALL"].entries()) {
      await redis.command([command]);
      await streams.converge();
      expect(await wire.ask("get_orders", { exchange: "all" })).toEqual([]);
      await streams.write(redis, at + 2);
      await streams.converge();
    }
    expect(wire.frames.filter(({ state }) => state === "stale")).toEqual([]);
  });

  test("does not know the password yet, the gateway waits until it does", async ({ expect }) => {
    await using redis = await startRedis({ allowRefused: true });
    await redis.command(["ACL", "SETUSER", user, "resetpass", ">another"]);
    await using gateway = await startGateway({ to: redis });
    const wire = await gateway.wire();
    expect(await wire.request("get_bots")).toMatchObject({ error_code: "CACHE_UNAVAILABLE" });
    expect(gateway.lines.find(({ msg }) => msg === "Redis cannot be reached")).toMatchObject({
      level: 40,
      err: { message: expect.stringContaining("WRONGPASS") },
    });
    // Neither the password nor a URL that carries it.
    expect(JSON.stringify(gateway.lines)).not.toContain("only-for-tests");
    await redis.command(["ACL", "SETUSER", user, ">only-for-tests"]);
    await expect.poll(() => reachable(wire), { timeout: 10_000 }).toBe(true);
    await (await followAll(gateway)).write(redis, 1);
  });

  test("does not let the gateway track keys, streams are read again on a timer, and it is said", async ({ expect }) => {
    await using redis = await startRedis({ allowRefused: true });
    await redis.command(["ACL", "SETUSER", user, "-client|tracking"]);
    await using gateway = await startGateway({ to: redis, pollMs: 50, rereadMs: 0 });
    expect(logged(gateway, 40)).toEqual([expect.stringContaining("Redis cannot tell what changed (CLIENT TRACKING)")]);
    const streams = await followAll(gateway);
    const { wire } = streams;
    expect(await wire.ask("get_server_info")).toMatchObject({ redis: { connected: true, change_detection: "timed" } });
    for (let n = 1; n <= 3; n++) await streams.write(redis, n);
    await streams.converge();
    for (const { removal } of streamKinds("all")) await removal?.remove(redis);
    await streams.converge();
    expect(await wire.ask("get_orders", { exchange: "all" })).toEqual([]);
    // Allowed again, it is used as soon as the connections are new.
    await redis.command(["ACL", "SETUSER", user, "+client|tracking"]);
    for (const id of Object.values(await connections(redis))) await redis.command(["CLIENT", "KILL", "ID", id]);
    await expect
      .poll(() => wire.ask("get_server_info"))
      .toMatchObject({ redis: { connected: true, change_detection: "tracking" } });
    await streams.all("live");
    await streams.write(redis, 4);
    await streams.converge();
  });

  test("is older than RESP3, messages and requests work, and the rest is read on a timer", async ({ expect }) => {
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port, { unknownCommands: ["HELLO", "CLIENT TRACKING"] });
    await using gateway = await startGateway({
      to: redis,
      redis: proxy.through(redis.gatewayUrl),
      pollMs: 50,
      rereadMs: 0,
    });
    const streams = await followAll(gateway);
    const { wire } = streams;
    expect(await wire.ask("get_server_info")).toMatchObject({ redis: { connected: true, change_detection: "timed" } });
    for (let n = 1; n <= 3; n++) await streams.write(redis, n);
    await streams.converge();
    expect(await wire.ask("get_exchanges")).toEqual(["all", "all-all"]);
    proxy.cut();
    await streams.write(redis, 4);
    await streams.all("live");
    await streams.converge();
    // Subscriptions come and go here, too, down to none and up again.
    for (const { stream } of (await wire.ask("list_streams")) as { stream: string }[])
      await wire.ask("unsubscribe", { stream });
    await follow(wire, "stream_tickers", { exchange: "resp2", symbols: ["A"] });
    await follow(wire, "stream_tickers", { exchange: "resp2" });
    await setTicker(redis, "resp2", "A", 8);
    for (const topic of ["ticker:resp2:A", "tickers:resp2"])
      await wire.frame((frame) => frame["topic"] === topic && frame["price"] === 8);
  });

  test("is full at first, that is not taken for being old", async ({ expect }) => {
    await using redis = await startRedis();
    await redis.command(["CONFIG", "SET", "maxclients", "1"]);
    await using gateway = await startGateway({ to: redis });
    const wire = await gateway.wire();
    expect(await reachable(wire)).toBe(false);
    await redis.command(["CONFIG", "SET", "maxclients", "1000"]);
    await expect
      .poll(() => wire.ask("get_server_info"), { timeout: 10_000 })
      .toMatchObject({
        redis: { connected: true, change_detection: "tracking" },
      });
  });

  test("is on another database, streams work there as well; without the right to select it they wait", async ({
    expect,
  }) => {
    await using redis = await startRedis({ allowRefused: true });
    await using gateway = await startGateway({ to: redis, redis: `${redis.gatewayUrl}/3`, rereadMs: 0 });
    const wire = await gateway.wire();
    expect(await wire.request("get_bots")).toMatchObject({ error_code: "CACHE_UNAVAILABLE" });
    await redis.command(["ACL", "SETUSER", user, "+select"]);
    await expect.poll(() => reachable(wire), { timeout: 10_000 }).toBe(true);
    await saveOrder(redis, "db", "o-0", "open", 1);
    await follow(wire, "stream_orders", { exchange: "db" });
    await redis.admin.select(3);
    for (let n = 2; n <= 4; n++) {
      await saveOrder(redis, "db", "o-3", "open", n);
      await wire.frame(({ volume }) => volume === n);
    }
    expect(new Picture(wire, "orders:db").items).toMatchObject([{ order_id: "o-3", volume: 4 }]);
  });

  test("refuses for a while what a new connection has to ask, streams recover as soon as it does not", async ({
    expect,
  }) => {
    await using redis = await startRedis({ allowRefused: true });
    await using gateway = await startGateway({ to: redis, rereadMs: 0 });
    const wire = await gateway.wire();
    await follow(wire, "stream_tickers", { exchange: "again", symbols: ["A"] });
    await follow(wire, "stream_orders", { exchange: "again" });
    await redis.command(["ACL", "SETUSER", user, "resetchannels"]);
    await wire.until((frames) => frames.filter(({ state }) => state === "stale").length === 2);
    // Connected, refused, and left alone: no connection breaks that could tell.
    await expect
      .poll(() =>
        gateway.lines.filter(
          ({ level, err }) => level === 20 && String((err as Frame)?.["message"]).includes("NOPERM"),
        ),
      )
      .not.toEqual([]);
    expect(await reachable(wire)).toBe(false);
    const from = wire.frames.length;
    await redis.command(["ACL", "SETUSER", user, "&ticker_updates:*"]);
    await wire.until((frames) => frames.slice(from).filter(({ state }) => state === "live").length === 2);
    await setTicker(redis, "again", "A", 5);
    await saveOrder(redis, "again", "o-1", "open", 6);
    await wire.frame(({ price }) => price === 5);
    await wire.frame(({ volume }) => volume === 6);
  });

  test("is out of reach, the clock alone does not make process health live", async ({ expect }) => {
    let now = 1_000_000;
    await using gateway = await startGateway({ now: () => now, staleAfterS: 60, rereadMs: 0 });
    await beat(gateway.redis, "tick:one:1", "running", now - 59.9);
    const wire = await gateway.wire();
    await follow(wire, "stream_process_health");
    await gateway.redis.kill();
    await wire.frame(({ state }) => state === "stale");
    now += 1;
    await wire.frame(({ stale_processes }) => stale_processes === 1);
    await wire.ask("ping");
    expect(new Picture(wire, "process_health").state).toBe("stale");
    await gateway.redis.start();
    await wire.until(() => new Picture(wire, "process_health").state === "live");
    expect(new Picture(wire, "process_health").items).toMatchObject([{ total_processes: 0 }]);
  });

  test("is cut off again and again, every picture is true in the end", async () => {
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port);
    await using gateway = await startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl), rereadMs: 0 });
    const streams = await followAll(gateway);
    for (let n = 1; n <= 12; n++) {
      for (const [at, kind] of streamKinds("all").entries()) {
        await kind.write(redis, n);
        if ((at + n) % 4 === 0) proxy.cut();
      }
      if (n % 3 === 0) {
        proxy.refuse(true);
        proxy.cut();
        await streams.all("stale");
        proxy.refuse(false);
      }
    }
    await streams.all("live");
    await streams.converge();
    await streams.write(redis, 100);
    await streams.converge();
  });

  const pauses: readonly number[] = isLong ? [5_000, 60_000] : [2_000];
  test.for(pauses)(
    "is stopped for %i ms, every question is answered in time, and all is well then",
    { timeout: 120_000 },
    async (ms, { expect }) => {
      const redisTimeoutMs = 500;
      await using gateway = await startGateway({ redisTimeoutMs, rereadMs: 100, nearCacheBytes: 0 });
      const { redis } = gateway;
      const streams = await followAll(gateway);
      await streams.write(redis, 1);
      await using asking = await Asking.start(streams.wire, redis);
      redis.pause();
      await pause(ms);
      await streams.all("stale");
      redis.resume();
      const resumedAt = performance.now();
      await streams.all("live");
      figure(
        `Redis stopped for ${ms / 1000} s: until all streams were live again, ms`,
        Math.round(performance.now() - resumedAt),
      );
      await streams.write(redis, 2);
      await streams.converge();
      const { errors, longestMs } = await asking.stop();
      figure(`Redis stopped for ${ms / 1000} s: longest answer, with ${redisTimeoutMs} ms allowed, ms`, longestMs);
      expect(errors).toBeGreaterThan(0);
      expect(longestMs).toBeLessThan(10 * redisTimeoutMs);
    },
  );

  test("lets its clients wait, that is no other than being slow", async ({ expect }) => {
    await using gateway = await startGateway({ redisTimeoutMs: 300, rereadMs: 100, nearCacheBytes: 0 });
    const { redis } = gateway;
    const streams = await followAll(gateway);
    await streams.write(redis, 1);
    await using asking = await Asking.start(streams.wire, redis);
    // Those that write alone: nobody here does.
    await redis.command(["CLIENT", "PAUSE", "500", "WRITE"]);
    await pause(500);
    expect(asking.errors).toEqual(new Map());
    await redis.command(["CLIENT", "PAUSE", "3000", "ALL"]);
    await streams.wire.frame(({ state }) => state === "stale");
    await streams.all("live");
    await streams.write(redis, 2);
    await streams.converge();
    await asking.stop();
    expect([...asking.errors.keys()]).toContain("CACHE_TIMEOUT");
  });

  test("is still loading its data, nothing is read until it has", async ({ expect, onTestFinished }) => {
    const directory = await mkdtemp(join(tmpdir(), "fullon-cache-api-loading-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    await using gateway = await startGateway({ rereadMs: 0 });
    const { redis } = gateway;
    const streams = await followAll(gateway);
    await streams.write(redis, 1);
    await using asking = await Asking.start(streams.wire, redis);
    // So many that it takes a while at a tenth of a millisecond each.
    for (let at = 0; at < 200; at++)
      await redis.command(["MSET", ...Array.from({ length: 200 }, (_, n) => `filler:${at}:${n % 100}`)]);
    await redis.save(join(directory, "dump.rdb"));
    await redis.kill();
    await streams.all("stale");
    const slowly = ["--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024"];
    const loaded = redis.start("--dir", directory, ...slowly);
    const refusals = () => gateway.lines.filter(({ err }) => String((err as Frame)?.["message"]).startsWith("LOADING"));
    await expect.poll(refusals, { timeout: 10_000 }).not.toEqual([]);
    expect(await streams.wire.request("get_bots")).toMatchObject({ error_code: "CACHE_UNAVAILABLE" });
    expect(await reachable(streams.wire)).toBe(false);
    await loaded;
    await streams.all("live");
    await streams.converge();
    await streams.write(redis, 2);
    await asking.stop();
    expect([...asking.errors.keys()]).toEqual(["CACHE_UNAVAILABLE"]);
  }, 60_000);

  test("has no memory left, reading goes on", async ({ expect }) => {
    await using gateway = await startGateway({ rereadMs: 0 });
    const { redis } = gateway;
    const streams = await followAll(gateway);
    await streams.write(redis, 1);
    await using asking = await Asking.start(streams.wire, redis);
    await redis.command(["CONFIG", "SET", "maxmemory", "1"]);
    await expect(redis.command(["SET", "one", "more"])).rejects.toThrow("OOM");
    for (const { removal } of streamKinds("all")) await removal?.remove(redis);
    const { wire } = streams;
    await wire.frame(({ topic, removed }) => topic === "orders:all" && removed === true);
    await streams.converge();
    // New connections and new streams, too.
    const from = wire.frames.length;
    for (const id of Object.values(await connections(redis))) await redis.command(["CLIENT", "KILL", "ID", id]);
    await streams.told("stale", from);
    await streams.all("live");
    await follow(await gateway.wire(), "stream_orders", { exchange: "asked" });
    await redis.command(["CONFIG", "SET", "maxmemory", "0"]);
    await streams.write(redis, 2);
    await streams.converge();
    await asking.stop();
    expect([...asking.errors.keys()].filter((code) => code !== "CACHE_UNAVAILABLE")).toEqual([]);
  });

  test("gets another password while all is well, the gateway waits until it is the old one again", async ({
    expect,
  }) => {
    await using redis = await startRedis({ allowRefused: true });
    await using gateway = await startGateway({ to: redis, rereadMs: 0 });
    const streams = await followAll(gateway);
    await streams.write(redis, 1);
    await using asking = await Asking.start(streams.wire, redis);
    await redis.command(["ACL", "SETUSER", user, "resetpass", ">another"]);
    // Who is in stays in.
    await streams.write(redis, 2);
    expect(asking.errors).toEqual(new Map());
    await redis.command(["CLIENT", "KILL", "USER", user]);
    await streams.all("stale");
    await expect
      .poll(() => gateway.lines.filter(({ err }) => String((err as Frame)?.["message"]).startsWith("WRONGPASS")))
      .not.toEqual([]);
    expect(await streams.wire.request("get_bots")).toMatchObject({ error_code: "CACHE_UNAVAILABLE" });
    await streams.writeOnly(redis, 3);
    await redis.command(["ACL", "SETUSER", user, ">only-for-tests"]);
    await streams.all("live");
    await streams.converge();
    await streams.write(redis, 4);
    await asking.stop();
  });

  test.for([
    ["a command", "-hgetall"],
    ["the keys", "resetkeys"],
  ] as const)(
    "takes %s away from the gateway's user, what needs it is refused and stale, until it is given back",
    async ([, rule], { expect }) => {
      await using redis = await startRedis({ allowRefused: true });
      await using gateway = await startGateway({ to: redis, rereadMs: 0 });
      const streams = await followAll(gateway);
      const { wire } = streams;
      await streams.write(redis, 1);
      await redis.command(["ACL", "SETUSER", user, rule]);
      await saveOrder(redis, "all", "o-1", "open", 2);
      await wire.frame((frame) => frame["topic"] === "orders:all" && frame["state"] === "stale");
      for (const [operation, params] of [
        ["get_orders", { exchange: "all" }],
        ["get_all_tickers", { exchange: "never-asked" }],
        ["stream_orders", { exchange: "never-asked" }],
      ] as const)
        expect(await wire.request(operation, params)).toMatchObject({
          success: false,
          error_code: "CACHE_UNAVAILABLE",
          error: "Redis does not let the gateway read now (NOPERM)",
        });
      await redis.command(["ACL", "SETUSER", user, ...readerRules("only-for-tests").split(/\s+/)]);
      await streams.all("live");
      await streams.converge();
      await streams.write(redis, 3);
      await streams.converge();
    },
  );

  test("cuts off a connection that takes too little, what was not heard is read", async ({ expect }) => {
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port);
    await using gateway = await startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl), rereadMs: 0 });
    const streams = await followAll(gateway);
    await streams.write(redis, 1);
    await redis.command(["CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 0 0"]);
    const before = (await connections(redis))["notices"];
    proxy.holdNamed("fullon-cache-api:notices");
    const noise = "x".repeat(100_000);
    // Sockets hold some megabytes before Redis itself has to.
    for (let sent = 0; (await connections(redis))["notices"] === before; sent++) {
      if (sent === 2_000) throw new Error("Redis has cut off nobody");
      await redis.command(["PUBLISH", "ticker_updates:noise:X", noise]);
    }
    await streams.told("stale", 0);
    await streams.writeOnly(redis, 2);
    await streams.all("live");
    await streams.converge();
    await streams.write(redis, 3);
    await streams.converge();
    expect((await connections(redis))["notices"]).not.toBe(before);
  });

  test("can remember few of the keys that were read, no answer and no picture is older for that", async ({
    expect,
  }) => {
    await using gateway = await startGateway({ rereadMs: 0 });
    const { redis } = gateway;
    await redis.command(["CONFIG", "SET", "tracking-table-max-keys", "5"]);
    const streams = await followAll(gateway);
    const { wire } = streams;
    const exchanges = Array.from({ length: 50 }, (_, at) => `few-${at}`);
    const volumes = new Map<string, number>();
    for (let round = 1; round <= scaled(5, 50); round++) {
      for (const [at, exchange] of exchanges.entries()) {
        if (round > 1 && (at + round) % 3 !== 0) continue;
        volumes.set(exchange, round);
        await saveOrder(redis, exchange, "o-1", "open", round);
      }
      await streams.write(redis, round);
      for (const exchange of exchanges)
        await expect
          .poll(() => wire.ask("get_orders", { exchange }))
          .toMatchObject([{ volume: volumes.get(exchange) }]);
      await streams.converge();
    }
    const info = String(await redis.command(["INFO", "stats"]));
    expect(Number(/tracking_total_keys:(\d+)/.exec(info)?.[1])).toBeLessThan(exchanges.length);
    await redis.command(["CONFIG", "RESETSTAT"]);
    const began = performance.now();
    await pause(1_000);
    const reads = [...(await redis.stats())].filter(([name]) => /^(h|l|m?get)/.test(name));
    const perSecond = reads.reduce((sum, [, count]) => sum + count, 0) / ((performance.now() - began) / 1000);
    figure("tracking table too small: reads per second of 12 topics while nothing happens", Math.round(perSecond));
    expect(wire.frames.filter(({ state }) => state === "stale")).toEqual([]);
  }, 60_000);
});
