import { readFileSync } from "node:fs";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import type { Ask } from "../src/redis/commands.ts";
import { Connection } from "../src/redis/connection.ts";
import { grantedWrites, probedWrites, writingCommands } from "../src/redis/rights.ts";
import { SettingError } from "../src/server/settings.ts";
import { CacheWebSocketServer } from "../src/server/websocket-server.ts";
import { command } from "./kit/command.ts";
import { type Frame, startGateway, type TestGateway } from "./kit/gateway.ts";
import { startProxy } from "./kit/proxy.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { follow, saveOrder } from "./kit/streams.ts";

const log = pino({ level: "silent" });
const user = "fullon_cache_api";
const grant = (redis: TestRedis, ...rules: string[]) => redis.command(["ACL", "SETUSER", user, ...rules]);

/** How the gateway stands with Redis, by its own word. */
async function state(gateway: TestGateway): Promise<Frame> {
  const wire = await gateway.wire();
  return ((await wire.ask("get_server_info")) as { redis: Frame }).redis;
}

const warnings = (gateway: TestGateway) => gateway.lines.filter(({ level }) => level === 40);

/** All that a command that writes could change, and which of them were carried out. */
async function held(redis: TestRedis): Promise<unknown> {
  const stats = await redis.stats();
  const called = writingCommands.map((name) => name.toLowerCase().replace(" ", "|"));
  const own = ["acl|setuser", "client|kill"];
  return {
    keys: await redis.command(["KEYS", "*"]),
    changes: /rdb_changes_since_last_save:(\d+)/.exec(String(await redis.command(["INFO", "persistence"])))?.[1],
    calls: called.filter((name) => (stats.get(name) ?? 0) > 0 && !own.includes(name)),
  };
}

describe.concurrent("a Redis user", () => {
  test("that may do everything is warned of, once", async ({ expect }) => {
    await using redis = await startRedis();
    await using gateway = await startGateway({ to: redis, redis: redis.url });
    expect(warnings(gateway)).toMatchObject([
      {
        msg: "the Redis user may do more than read: README.md has the rights that are enough",
        could: expect.stringMatching(/^SET, HSET, DEL, RPUSH, PUBLISH, FLUSHALL and 1\d\d more$/),
      },
    ]);
    expect(await state(gateway)).toMatchObject({ connected: true, read_only: false });
    await redis.command(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await expect.poll(() => gateway.lines.filter(({ msg }) => msg === "Redis can be reached").length).toBe(2);
    expect(warnings(gateway).filter(({ msg }) => String(msg).includes("more than read"))).toHaveLength(1);
    // It was asked, and nothing was done.
    expect(await held(redis)).toEqual({ keys: [], changes: "0", calls: [] });
    expect((await redis.stats()).get("acl|dryrun")).toBeGreaterThan(writingCommands.length);
  });

  test("that may only read, and not ask what it may do, is asked no more than once", async ({ expect }) => {
    await using gateway = await startGateway();
    const { redis } = gateway;
    expect(warnings(gateway)).toEqual([]);
    expect(await state(gateway)).toMatchObject({ connected: true, read_only: null });
    const log = await redis.admin.aclLog();
    expect(log.map(({ object, count }) => [object, Number(count)])).toEqual([["acl|dryrun", 1]]);
  });

  test("that may only read, and ask what it may do, is known to, and Redis has nothing to refuse", async ({
    expect,
  }) => {
    await using redis = await startRedis();
    await grant(redis, "+acl|dryrun");
    for (const requireReadOnly of [false, true]) {
      await using gateway = await startGateway({ to: redis, requireReadOnly });
      expect(warnings(gateway)).toEqual([]);
      expect(await state(gateway)).toMatchObject({ connected: true, read_only: true });
    }
    expect(await redis.admin.aclLog()).toEqual([]);
  });

  test("that may only read is enough where that is required, and finding it out changes nothing", async ({
    expect,
  }) => {
    await using redis = await startRedis({ allowRefused: true });
    await saveOrder(redis, "kept", "o-1", "open", 1);
    await redis.command(["CONFIG", "RESETSTAT"]);
    const before = (await held(redis)) as Frame;
    await using gateway = await startGateway({ to: redis, requireReadOnly: true });
    expect(await state(gateway)).toMatchObject({ connected: true, read_only: true });
    await follow(await gateway.wire(), "stream_orders", { exchange: "kept" });
    expect(await held(redis)).toEqual(before);
    // Every one of them was refused for its name, none for its form.
    const log = await redis.admin.aclLog(1_000);
    expect(log.every(({ reason }) => reason === "command")).toBe(true);
    expect(new Set(log.map(({ object }) => object)).size).toBeGreaterThan(100);
    // The connection that was refused so much is gone.
    const list = String(await redis.command(["CLIENT", "LIST"]));
    expect([...list.matchAll(/name=fullon-cache-api:(\S+)/g)].map(([, name]) => name).toSorted()).toEqual([
      "notices",
      "reads",
    ]);
  });

  test.for(["+rpush", "+del", "+config|set", "+hset ~tickers:*", "+publish", "+@write ~tickers:*"])(
    "that is granted %s is refused where only reading is allowed, however it is found out",
    async (rules, { expect }) => {
      await using redis = await startRedis({ allowRefused: true });
      await grant(redis, ...rules.split(" "));
      const before = await held(redis);
      for (const known of ["-acl|dryrun", "+acl|dryrun"]) {
        await grant(redis, known);
        await using server = new CacheWebSocketServer({ port: 0, redis: redis.gatewayUrl, requireReadOnly: true, log });
        const name = rules.includes("@write") ? "SET" : /\+(\S+)/.exec(rules)?.[1]?.replace("|", " ").toUpperCase();
        const refusal = await server.start().catch((error: unknown) => error);
        expect(refusal).toBeInstanceOf(SettingError);
        expect(String(refusal)).toContain(`REQUIRE_READ_ONLY: the Redis user "${user}" may do more than read: ${name}`);
      }
      expect(await held(redis)).toEqual(before);
    },
  );

  test("of whom nothing can be found out is refused as well", async ({ expect }) => {
    await using redis = await startRedis({ allowRefused: true });
    await grant(redis, "resetchannels");
    await using server = new CacheWebSocketServer({ port: 0, redis: redis.gatewayUrl, requireReadOnly: true, log });
    await expect(server.start()).rejects.toThrow(
      `REQUIRE_READ_ONLY: it cannot be found out whether the Redis user "${user}" may only read: grant it +acl|dryrun`,
    );
  });

  test("is not tried at all behind something where Redis would carry out what is tried", async ({ expect }) => {
    await using redis = await startRedis();
    await grant(redis, "+rpush", "+subscribe");
    await using proxy = await startProxy(redis.port, { unknownCommands: ["SUBSCRIBE"] });
    const url = proxy.through(redis.gatewayUrl);
    await using server = new CacheWebSocketServer({ port: 0, redis: url, requireReadOnly: true, log });
    await expect(server.start()).rejects.toThrow("it cannot be found out");
    const known = [...(await redis.stats()).keys()];
    expect(known.filter((name) => writingCommands.includes(name.toUpperCase()))).toEqual([]);
  });

  test("that comes to more rights later is noticed with the next connection, and refused until they are gone", async ({
    expect,
  }) => {
    await using redis = await startRedis();
    await redis.kill();
    await using gateway = await startGateway({ to: redis, requireReadOnly: true });
    const wire = await gateway.wire();
    await redis.start();
    await grant(redis, "+acl|dryrun", "+set");
    const refused = { level: 50, msg: "Redis is not used, since REQUIRE_READ_ONLY is set" };
    const errors = () => gateway.lines.filter(({ level }) => level === 50);
    const change = async (rule: string) => {
      await grant(redis, rule);
      await redis.command(["CLIENT", "KILL", "USER", user]);
    };
    await change("+set");
    // It may have come before it had the right to ask, when reading was all it could; or twice since then.
    await expect.poll(() => errors().length, { timeout: 10_000 }).toBeGreaterThan(0);
    await expect.poll(() => state(gateway), { timeout: 10_000 }).toMatchObject({ connected: false });
    expect(await wire.request("get_bots")).toMatchObject({ error_code: "CACHE_UNAVAILABLE" });
    expect(await state(gateway)).toMatchObject({ connected: false, read_only: false });
    await change("-set");
    await expect.poll(() => state(gateway), { timeout: 10_000 }).toMatchObject({ connected: true, read_only: true });
    await follow(wire, "stream_orders", { exchange: "later" });
    const before = errors().length;
    await change("+set");
    await wire.frame((frame) => frame["state"] === "stale");
    await expect.poll(() => errors().length, { timeout: 10_000 }).toBeGreaterThan(before);
    for (const error of errors()) expect(error).toMatchObject(refused);
    expect(await wire.request("get_bots")).toMatchObject({ error_code: "CACHE_UNAVAILABLE" });
    await change("-set");
    await wire.until((frames) => frames.findLast((frame) => "state" in frame)?.["state"] === "live");
  });

  test("of a server that knows no users may do everything", async ({ expect }) => {
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port, { unknownCommands: ["ACL"] });
    await using gateway = await startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl) });
    expect(await state(gateway)).toMatchObject({ connected: true, read_only: false });
    expect(warnings(gateway)).toHaveLength(1);
  });
});

test("every command that Redis knows to write is tried, in both ways", async () => {
  await using redis = await startRedis({ allowRefused: true });
  const writing = ((await redis.command(["ACL", "CAT", "write"])) as string[]).map((name) =>
    name.replace("|", " ").toUpperCase(),
  );
  await redis.command([
    "ACL",
    "SETUSER",
    "writer",
    "reset",
    "on",
    ">secret",
    "&*",
    "~*",
    "+subscribe",
    "+ping",
    "+client|setname",
    "+@write",
  ]);
  const before = await held(redis);
  const ask: Ask = (command, ...args) => redis.command([...command.split(" "), ...args]) as ReturnType<Ask>;
  const told = await grantedWrites("writer", ask);
  expect(told?.toSorted()).toEqual(writing.toSorted());
  let found: readonly string[] | undefined;
  const connection = new Connection(
    {
      address: { url: `redis://writer:secret@127.0.0.1:${redis.port}` },
      name: "test",
      timeoutMs: 5_000,
      maxBackoffMs: 100,
      inspect: async (server) => {
        found = await probedWrites(server);
      },
    },
    { up() {}, down() {}, invalidated() {} },
  );
  await connection.start();
  await connection.close();
  expect(found).toEqual(told);
  expect(await held(redis)).toEqual(before);
});

test("on the command line it is a wrong setting", async () => {
  await using redis = await startRedis();
  await using serve = command([
    "serve",
    "--port",
    "0",
    "--redis-url",
    redis.url,
    "--require-read-only",
    "--log-level",
    "silent",
  ]);
  expect(await serve.code).toBe(2);
  expect(serve.errors).toEqual([
    expect.stringContaining('REQUIRE_READ_ONLY: the Redis user "default" may do more than read: SET, HSET, DEL'),
  ]);
});

test("the rights in the README are those of the tests, and grant nothing that writes", async () => {
  await using redis = await startRedis();
  const readme = readFileSync("README.md", "utf8");
  const [, rules = ""] = /ACL SETUSER fullon_cache_api (reset on[^`]*)```/.exec(readme) ?? [];
  await redis.command(["ACL", "SETUSER", "as-in-readme", ...rules.trim().split(/\s+/)]);
  const ask: Ask = (command, ...args) => redis.command([...command.split(" "), ...args]) as ReturnType<Ask>;
  expect(await grantedWrites("as-in-readme", ask)).toEqual([]);
});
