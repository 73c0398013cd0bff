import { setTimeout as pause } from "node:timers/promises";
import { describe, type ExpectStatic, test } from "vitest";
import { type Frame, startGateway, type TestGateway, type Wire } from "./kit/gateway.ts";
import { Picture } from "./kit/picture.ts";
import { startProxy } from "./kit/proxy.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { beat, follow, isTrue, pushTrades, saveOrder, setTicker, streamKinds } from "./kit/streams.ts";

const user = "fullon_cache_api";

/** One connection that follows a stream of every kind, and what it knows of each. */
async function followAll(gateway: TestGateway, expect: ExpectStatic) {
  const kinds = streamKinds("all");
  const wire = await gateway.wire();
  for (const kind of kinds) await follow(wire, kind.operation, kind.params);
  const pictures = new Map(kinds.map((kind) => [kind, new Picture(wire, kind.topic)]));
  return {
    wire,
    topics: kinds.map(({ topic }) => topic),
    /** Writes to all of them; resolves when every one has told of it. */
    async write(redis: TestRedis, n: number) {
      const told = kinds.map((kind) =>
        wire.frame((frame) => frame["topic"] === kind.topic && !("state" in frame) && kind.tells(frame, n)),
      );
      for (const kind of kinds) await kind.write(redis, n);
      await Promise.all(told);
    },
    /** Resolves when every picture is what the queries say. */
    async converge() {
      for (const [kind, picture] of pictures)
        await expect.poll(() => isTrue(kind, picture, wire), { timeout: 10_000, message: kind.name }).toBe(true);
    },
    /** Resolves when all of them say that they are in that state. */
    async all(state: string) {
      for (const [kind, picture] of pictures)
        await expect.poll(() => picture.state, { timeout: 10_000, message: kind.name }).toBe(state);
    },
  };
}

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
    const { wire: _wire, ...streams } = await followAll(gateway, expect);
    await streams.write(redis, 1);
    proxy.hold();
    for (const kind of streamKinds("all")) await kind.write(redis, 2);
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
    const { wire, topics, ...streams } = await followAll(gateway, expect);
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

  test("comes back with other data, every picture becomes what is there now", async ({ expect }) => {
    await using gateway = await startGateway({ rereadMs: 0 });
    const { redis } = gateway;
    const { wire, ...streams } = await followAll(gateway, expect);
    await streams.write(redis, 1);
    for (let round = 1; round <= 3; round++) {
      await redis.restart();
      for (const kind of streamKinds("all")) if (round !== 2) await kind.write(redis, 10 * round);
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
    const streams = await followAll(gateway, expect);
    await streams.write(redis, 1);
    await streams.converge();
  });

  test("does not answer in time, requests say so, streams that look are stale, and both recover", async ({
    expect,
  }) => {
    await using gateway = await startGateway({ redisTimeoutMs: 500, rereadMs: 100 });
    const { redis } = gateway;
    const { wire, ...streams } = await followAll(gateway, expect);
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
    const { wire, ...streams } = await followAll(gateway, expect);
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
      const { wire, topics, ...streams } = await followAll(gateway, expect);
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
    const { wire, ...streams } = await followAll(gateway, expect);
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
    await (await followAll(gateway, expect)).write(redis, 1);
  });

  test("does not let the gateway track keys, streams are read again on a timer, and it is said", async ({ expect }) => {
    await using redis = await startRedis({ allowRefused: true });
    await redis.command(["ACL", "SETUSER", user, "-client|tracking"]);
    await using gateway = await startGateway({ to: redis, pollMs: 50, rereadMs: 0 });
    expect(logged(gateway, 40)).toEqual([expect.stringContaining("Redis cannot tell what changed (CLIENT TRACKING)")]);
    const { wire, ...streams } = await followAll(gateway, expect);
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
    const { wire, ...streams } = await followAll(gateway, expect);
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

  test("is cut off again and again, every picture is true in the end", async ({ expect }) => {
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port);
    await using gateway = await startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl), rereadMs: 0 });
    const streams = await followAll(gateway, expect);
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
});
