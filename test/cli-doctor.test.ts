import { expect, test, vi } from "vitest";
import { families } from "../src/cli/data-findings.ts";
import type { Finding } from "../src/cli/finding.ts";
import { gatewayFindings } from "../src/cli/gateway-findings.ts";
import { fullonCacheApi } from "../src/client/websocket-client.ts";
import { startMarket } from "../src/demo/market.ts";
import { operations } from "../src/operations/index.ts";
import type { Operation } from "../src/operations/operation.ts";
import { command, inEmptyFolder, outcome } from "./kit/command.ts";
import { startGateway, type TestGateway } from "./kit/gateway.ts";
import { startProxy } from "./kit/proxy.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { secret, token } from "./kit/tokens.ts";

vi.setConfig({ testTimeout: 60_000 });

inEmptyFolder();

/** Has a deployment looked at. */
async function diagnosis(redisUrl: string, url: string, ...more: readonly string[]) {
  const args = ["doctor", "--json", "--for", "100ms", "--redis-url", redisUrl, "--url", url, ...more];
  const { code, lines, errors } = await outcome(args);
  return { code, errors, findings: lines.map((line) => JSON.parse(line) as Finding) };
}

const of = (gateway: TestGateway, redis: TestRedis = gateway.redis) => diagnosis(redis.gatewayUrl, gateway.server.url);
const found = (findings: readonly Finding[], level: Finding["level"]) =>
  findings.filter((one) => one.level === level).map(({ area, found }) => `${area}: ${found}`);

test("where all is well it says so, and has read and nothing else", async () => {
  await using gateway = await startGateway();
  await using _market = await startMarket(gateway.redis.url, { intervalMs: 0 });
  const before = await gateway.redis.stats();
  const { code, errors, findings } = await of(gateway);
  expect({ code, errors, wrong: found(findings, "wrong"), notes: found(findings, "note") }).toEqual({
    code: 0,
    errors: [],
    wrong: [],
    notes: [],
  });
  const told = found(findings, "ok").join("\n");
  expect(told).toContain(`redis: reached at 127.0.0.1:${gateway.redis.port}`);
  expect(told).toMatch(/redis: version \d+\.\d+\.\d+\n/);
  expect(told).toContain("redis: it tells what changed");
  for (const { start } of families) expect(told).toMatch(new RegExp(`data: ${start}\\*?: [\\d,]+ keys?`));
  expect(told).toMatch(/data: tickers:\*: 3 keys, the newest of \S+ (ms|s) ago/);
  expect(told).toContain("data: every value that was looked into can be read");
  expect(told).toContain(`gateway: reached at ${gateway.server.url}, version `);
  expect(told).toMatch(/gateway: a question takes \S+ (ms|s) \(median of 20/);
  expect(found(findings, "unknown")).toEqual([
    'redis: whether the user "fullon_cache_api" may do more than read: it may not ask',
    expect.stringMatching(/^gateway: how far the clock of Redis is off/),
    "gateway: how long an update takes: no price moved meanwhile",
  ]);
  const used = [...(await gateway.redis.stats())].filter(([name, calls]) => calls !== before.get(name));
  const reads =
    /^(hello|auth|client\|\w+|acl\|dryrun|select|ping|scan|type|m?get|hm?get|hgetall|llen|lrange|p?(un)?subscribe|info)$/;
  expect(used.map(([name]) => name).filter((name) => !reads.test(name))).toEqual([]);
});

test("every family of keys that an operation reads is looked into", () => {
  const reads = Object.values<Operation>(operations).map((operation) => operation.reads);
  const keys = reads.flatMap((text) => [...text.matchAll(/\b(?:GET|HGET|HGETALL|MGET|LRANGE|SCAN) ([\w:]+)/g)]);
  const starts = new Set(keys.map(([, start = ""]) => start));
  expect([...starts].toSorted()).toEqual(families.map(({ start }) => start).toSorted());
});

test("it says how much later than from Redis updates come from the gateway", async () => {
  await using gateway = await startGateway();
  await using _market = await startMarket(gateway.redis.url, { intervalMs: 20 });
  const { code, findings } = await diagnosis(gateway.redis.gatewayUrl, gateway.server.url, "--for", "1s");
  expect(code).toBe(0);
  expect(found(findings, "ok").at(-1)).toMatch(/^gateway: an update takes \S+ (ms|s) from Redis \(median of \d+; 99 %/);
});

test("a gateway that serves another Redis is found out", async () => {
  await using other = await startRedis();
  await using _other = await startMarket(other.url, { intervalMs: 20 });
  await using gateway = await startGateway();
  await using _own = await startMarket(gateway.redis.url, { intervalMs: 0 });
  const { code, findings } = await diagnosis(other.gatewayUrl, gateway.server.url, "--for", "1s");
  expect(code).toBe(1);
  expect(found(findings, "wrong")).toEqual([
    expect.stringMatching(/^gateway: it told none of the [\d,]+ prices that Redis published meanwhile$/),
  ]);
});

test("a user that may write is found out, and one that may ask and cannot is praised", async () => {
  await using gateway = await startGateway();
  await using _market = await startMarket(gateway.redis.url, { intervalMs: 0 });
  const all = await diagnosis(gateway.redis.url, gateway.server.url);
  expect(all).toMatchObject({ code: 1, errors: ["1 thing is wrong"] });
  expect(found(all.findings, "wrong")).toEqual([
    expect.stringMatching(/^redis: the user "default" may do more than read: SET, HSET, DEL/),
  ]);
  expect(found(all.findings, "note")).toContain('redis: the user "default" may read every key, not only the cache');
  await gateway.redis.command(["ACL", "SETUSER", "fullon_cache_api", "+acl|dryrun"]);
  const { code, findings } = await of(gateway);
  expect(code).toBe(0);
  expect(found(findings, "ok")).toContain('redis: the user "fullon_cache_api" may run no command that writes');
  expect(found(findings, "note").join("\n")).not.toContain("every key");
});

test("a user that may not read all of the cache is found out", async () => {
  await using redis = await startRedis({ allowRefused: true });
  await using gateway = await startGateway({ to: redis });
  await redis.replay("commands");
  await redis.command(["ACL", "SETUSER", "fullon_cache_api", "resetkeys", "%R~tickers:*"]);
  const { code, findings } = await of(gateway);
  expect(code).toBe(1);
  expect(found(findings, "wrong")).toContainEqual(expect.stringMatching(/^data: order_status:: NOPERM/));
  expect(found(findings, "wrong").join()).not.toContain("tickers");
});

test("values that cannot be read are named, and old ones are worth a word", async () => {
  await using gateway = await startGateway();
  await gateway.redis.replay("commands");
  expect(found((await of(gateway)).findings, "note")).toEqual([
    expect.stringMatching(/^data: tickers:\*: \d+ keys, the newest of \S+ (h|d) ago$/),
    expect.stringMatching(/^data: process:data:\*: \d+ keys, the newest of \S+ (h|d) ago$/),
  ]);
  await gateway.redis.command(["HSET", "tickers:binance", "BAD\u001b", "{"]);
  await gateway.redis.command(["SET", "order_status:wrongtype", "x"]);
  const { code, findings } = await of(gateway);
  expect(code).toBe(1);
  expect(found(findings, "wrong")).toEqual([
    "data: the value at tickers:binance BAD\u001b cannot be read: it is not JSON",
    "data: the value at accounts 4 cannot be read: [1,2] is not a number",
    "data: the value at order_status:wrongtype is of another type than it should be",
  ]);
  await gateway.redis.replay("corrupt");
  const worse = await of(gateway);
  expect(found(worse.findings, "wrong")).toContainEqual(
    expect.stringMatching(/^data: \d+ more values cannot be read$/),
  );
});

test("clocks that differ are found out", async () => {
  await using gateway = await startGateway({ now: () => Date.now() / 1000 + 60 });
  const ahead = { symbol: "A", exchange: "one", price: 1, time: Date.now() / 1000 + 3_600 };
  await gateway.redis.command(["HSET", "tickers:one", "A", JSON.stringify(ahead)]);
  const { code, findings } = await of(gateway);
  expect(code).toBe(1);
  expect(found(findings, "wrong")).toEqual([
    expect.stringMatching(/^data: tickers:\*: 1 key, the newest of (60 min|1\.0 h) ahead$/),
    expect.stringMatching(/^gateway: its clock is (60 s|1\.0 min) ahead of this machine's$/),
  ]);
});

test("a Redis without the cache in it is no cache", async () => {
  await using gateway = await startGateway();
  await gateway.redis.command(["SET", "something", "else"]);
  const { code, findings } = await of(gateway);
  expect(code).toBe(1);
  expect(found(findings, "wrong")).toEqual(["data: there is no key of fullon_cache"]);
});

test("what cannot be reached is said, with what to do and without a password", async () => {
  const { code, lines, errors } = await outcome(
    ["doctor", "--redis-url", "redis://reader:s3cret@127.0.0.1:1", "--url", "ws://127.0.0.1:1"],
    {},
  );
  expect({ code, errors }).toEqual({ code: 1, errors: ["2 things are wrong"] });
  const text = lines.join("\n");
  expect(text).toMatch(
    /^WRONG {2}redis: it cannot be used at 127\.0\.0\.1:1: .*ECONNREFUSED.*\n {7}→ is Redis running there\?/,
  );
  expect(text).toMatch(/\nWRONG {2}gateway: the connection to ws:\/\/127\.0\.0\.1:1 could not be made/);
  expect(text).not.toContain("s3cret");
});

test("a wrong password is told from a Redis that is not there", async () => {
  await using gateway = await startGateway({ to: await startRedis({ allowRefused: true }) });
  const url = gateway.redis.gatewayUrl.replace(/:[^:@]+@/, ":wrong@");
  const { findings } = await diagnosis(url, gateway.server.url);
  expect(findings[0]).toMatchObject({ level: "wrong", advice: expect.stringContaining("--redis-password") });
  await gateway.redis[Symbol.asyncDispose]();
});

test("a gateway that does not let one ask leaves open what cannot be asked", async () => {
  await using gateway = await startGateway({ jwtSecret: secret });
  await using _market = await startMarket(gateway.redis.url, { intervalMs: 0 });
  const good = await token({ sub: "1", scope: "bots:read" });
  const { code, findings } = await diagnosis(gateway.redis.gatewayUrl, gateway.server.url, "--token", good);
  expect(code).toBe(0);
  expect(found(findings, "unknown").at(-1)).toBe("gateway: this needs the scope tickers:read (FORBIDDEN)");
  const refused = await of(gateway);
  expect(refused.code).toBe(1);
  expect(refused.findings.at(-1)).toMatchObject({
    level: "wrong",
    advice: expect.stringContaining("FULLON_CACHE_TOKEN"),
  });
});

test("a Redis that cannot tell what changed is found out, and one that does not say its version", async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy(redis.port, { unknownCommands: ["HELLO", "CLIENT TRACKING"] });
  await using gateway = await startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl) });
  await using _market = await startMarket(redis.url, { intervalMs: 0 });
  const { code, findings } = await diagnosis(proxy.through(redis.gatewayUrl), gateway.server.url);
  expect(code).toBe(1);
  expect(found(findings, "unknown")).toContain("redis: its version is not told: it is older than 6, or a proxy");
  expect(found(findings, "wrong")).toEqual([
    expect.stringMatching(/^redis: it does not tell what changed/),
    expect.stringMatching(/^gateway: its Redis does not tell it what changed/),
  ]);
});

test("a gateway whose Redis is away, whose user may write, or whose clock is behind is found out", async () => {
  await using redis = await startRedis();
  await using _market = await startMarket(redis.url, { intervalMs: 0 });
  await using away = await startGateway({ to: redis, redis: "redis://127.0.0.1:1" });
  expect(found((await of(away)).findings, "wrong")).toEqual(["gateway: it cannot reach its Redis"]);
  await using rich = await startGateway({ to: redis, redis: redis.url, now: () => Date.now() / 1000 - 90 });
  expect(found((await of(rich)).findings, "wrong")).toEqual([
    "gateway: its Redis user may do more than read",
    expect.stringMatching(/^gateway: its clock is (90 s|1\.5 min) behind this machine's$/),
  ]);
});

test("a gateway of another version, or one that is slow, is worth a word", async () => {
  await using gateway = await startGateway();
  await using proxy = await startProxy(Number(new URL(gateway.server.url).port));
  await using cache = await fullonCacheApi(`ws://127.0.0.1:${proxy.port}`);
  proxy.delay(300);
  const findings: Finding[] = [];
  for await (const finding of gatewayFindings(cache, "0.0.0")) findings.push(finding);
  expect(found(findings, "note")).toEqual([
    expect.stringMatching(/^gateway: reached at ws:.*, version .*; this is 0\.0\.0$/),
    expect.stringMatching(/^gateway: a question takes .*(median of 20; at most .*)$/),
  ]);
});

test("a Redis whose sentinels cannot say where it is cannot be looked at", async () => {
  await using gateway = await startGateway();
  const sentinels = ["--redis-sentinels", "127.0.0.1:1", "--redis-sentinel-master", "main"];
  const { code, lines } = await outcome(["doctor", "--json", "--url", gateway.server.url, ...sentinels]);
  expect(code).toBe(1);
  expect(
    found(
      lines.map((line) => JSON.parse(line) as Finding),
      "wrong",
    ),
  ).toEqual([
    expect.stringMatching(/^redis: it cannot be used at the sentinels: no sentinel says where .*"main".* is/),
  ]);
});

test("what Redis tells twice, wrongly or not at all is not taken for late", async () => {
  await using gateway = await startGateway();
  await using _market = await startMarket(gateway.redis.url, { intervalMs: 20 });
  const { redis } = gateway;
  const noise = setInterval(() => {
    const price = (symbol: string, time: number) => JSON.stringify({ symbol, exchange: "binance", price: 1, time });
    const publish = (text: string) => redis.command(["PUBLISH", "ticker_updates:binance:NOISE", text]);
    void Promise.all([publish("{"), publish("[]"), publish(price("NOISE", 7)), publish(price("NOISE", 7))]);
    void redis.command(["HSET", "tickers:binance", "QUIET", price("QUIET", Date.now() / 1000)]);
    void redis.command(["HSET", "tickers:binance", "TIMELESS", JSON.stringify({ price: Math.random() })]);
  }, 50);
  const { code, findings } = await diagnosis(redis.gatewayUrl, gateway.server.url, "--for", "1s");
  clearInterval(noise);
  expect(code).toBe(0);
  expect(found(findings, "ok").at(-1)).toMatch(/^gateway: an update takes \S+ (ms|s) from Redis/);
});

test("for people each finding is a line, and what to do another", async () => {
  await using gateway = await startGateway();
  await using _market = await startMarket(gateway.redis.url, { intervalMs: 0 });
  const { username, password, hostname, port } = new URL(gateway.redis.gatewayUrl);
  const where = ["--redis-host", hostname, "--redis-port", port, "--redis-username", username];
  const args = ["doctor", "--for", "50ms", "--url", gateway.server.url, ...where, "--redis-password", password];
  const { code, lines } = await outcome(args);
  expect(code).toBe(0);
  expect(lines[0]).toBe(`ok     redis: reached at 127.0.0.1:${gateway.redis.port}`);
  expect(lines.slice(-2)).toEqual([
    "?      gateway: how long an update takes: no price moved meanwhile",
    "       → look longer: --for 30s",
  ]);
});

test("a name that has several addresses, or a user who may do nothing, is said in one sentence", async () => {
  await using redis = await startRedis({ allowRefused: true });
  await using gateway = await startGateway({ to: redis });
  const nowhere = await diagnosis("redis://localhost:1", gateway.server.url);
  expect(found(nowhere.findings, "wrong")[0]).toMatch(/^redis: it cannot be used at localhost:1: .*ECONNREFUSED/);
  await redis.command(["ACL", "SETUSER", "nobody", "on", ">nothing", "-@all", "+hello", "+client"]);
  const nobody = await diagnosis(`redis://nobody:nothing@127.0.0.1:${redis.port}`, gateway.server.url);
  expect(nobody.findings[0]).toMatchObject({ level: "wrong", advice: "grant the user what the README lists" });
});

test("of very many keys some are looked into, and it says how many", async () => {
  await using gateway = await startGateway();
  const ids = Array.from({ length: 1_100 }, (_, at) => `TRADE:STATUS:${at}`);
  await gateway.redis.command(["MSET", ...ids.flatMap((key) => [key, "1"])]);
  expect(found((await of(gateway)).findings, "ok")).toContainEqual(
    expect.stringMatching(/^data: TRADE:STATUS:\*: 1,100 keys, of which 1000 were looked into/),
  );
});

test("with the demo all is well", async () => {
  await using demo = command(["demo", "--port", "0"]);
  const redisUrl = (await demo.line("a private Redis")).split(": ")[1] ?? "";
  const { code, findings } = await diagnosis(redisUrl, await demo.url());
  expect({ code, wrong: found(findings, "wrong"), notes: found(findings, "note") }).toEqual({
    code: 0,
    wrong: [],
    notes: [],
  });
});
