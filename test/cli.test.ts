import { once } from "node:events";
import { mkdtempSync, readdirSync } from "node:fs";
import { mkdir, rmdir, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { RESP_TYPES } from "redis";
import { expect, test, vi } from "vitest";
import { type Given, given } from "../src/cli/command.ts";
import { settingsFor } from "../src/cli/flags.ts";
import { serve } from "../src/cli/serve.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import { fullonCacheApi } from "../src/client/websocket-client.ts";
import { flagOf, type Setting, type SettingName, settings } from "../src/server/settings.ts";
import { Command, command, inEmptyFolder } from "./kit/command.ts";
import { type Program, startSource } from "./kit/program.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { secret, token } from "./kit/tokens.ts";

// Generous, because programs that start share two cores with the tests of other files.
vi.setConfig({ maxConcurrency: 3, testTimeout: 60_000 });
const patience = { timeout: 30_000 };

const elsewhere = inEmptyFolder();

/** Runs a command that ends by itself. */
async function outcome(args: readonly string[], env: Terminal["env"] = {}) {
  const { code, lines, errors } = command(args, env);
  return { code: await code, out: lines.join("\n"), error: errors.join("\n") };
}

const main = "src/cli/main.ts";
const onFreePort = ["--port", "0", "--log-level", "silent"];

/** Whether nobody listens where a Redis was. */
function isGone(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", () => resolve(true));
  });
}

/** Everything a Redis holds, as bytes. */
async function content(redis: TestRedis): Promise<Map<string, Buffer | null>> {
  const keys = (await redis.admin.keys("*")).sort();
  const bytes = redis.admin.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  return new Map(await Promise.all(keys.map(async (key) => [key, await bytes.dump(key)] as const)));
}

test("without a command it says which there are", async () => {
  const asked = await outcome(["--help"]);
  expect(asked).toMatchObject({ code: 0, error: "" });
  expect(asked.out).toMatch(/fullon-cache-api serve .*\n.*fullon-cache-api demo /);
  expect(await outcome(["help"])).toEqual(asked);
  expect(await outcome(["-h"])).toEqual(asked);
  expect(await outcome([])).toEqual({ ...asked, code: 2 });
});

test.each([
  ["serv", ": did you mean serve?"],
  ["get_ticker", ": did you mean get-ticker?"],
  ["streamTickers", ": did you mean stream-tickers?"],
  ["stream-ordres", ": did you mean stream-orders?"],
  ["balance", ": did you mean get-balance?"],
  ["authenticate", ";"],
  ["constructor", ";"],
  ["", ";"],
])("the unknown command %j is refused%s", async (name, hint) => {
  expect(await outcome([name])).toEqual({
    code: 2,
    out: "",
    error: `there is no command ${JSON.stringify(name)}${hint} --help lists them all`,
  });
});

test.each(["serve", "demo"])("%s --help lists every setting with what it allows", async (name) => {
  const { code, out, error } = await outcome([name, "--help"]);
  expect({ code, error }).toEqual({ code: 0, error: "" });
  for (const [key, setting] of Object.entries(settings) as [SettingName, Setting][]) {
    expect(out).toContain(`--${flagOf(key)} `);
    expect(out).toContain(setting.about);
    expect(out).toContain(`${setting.kind.allowed}; or ${setting.env.join(", ")}`);
  }
});

test("a time may be written with its unit instead", () => {
  const read = (...args: readonly string[]) => {
    const asked = given(serve, args) as Given;
    const { drainMs, staleAfterS } = settingsFor(asked, { env: { STALE_AFTER_S: "7" } } as unknown as Terminal);
    return [drainMs, staleAfterS];
  };
  expect(read("--drain", "10s")).toEqual([10_000, 7]);
  expect(read("--drain=250ms", "--stale-after=2m")).toEqual([250, 120]);
  expect(read("--drain", "10s", "--drain-ms", "3", "--stale-after", "1")).toEqual([3, 1]);
});

test.each([
  [["--port", "http"], {}, '--port: "http" is not allowed; it must be an integer 0–65535'],
  [["--port", "-1"], {}, '--port: "-1" is not allowed; it must be an integer 0–65535'],
  [["--port="], {}, '--port: "" is not allowed; it must be an integer 0–65535'],
  [
    ["--log-level", "loud"],
    {},
    '--log-level: "loud" is not allowed; it must be trace, debug, info, warn, error, fatal, silent',
  ],
  [[], { PORT: "65536" }, 'PORT: "65536" is not allowed; it must be an integer 0–65535'],
  [[], { CACHE_PORT: "0" }, 'CACHE_PORT: "0" is not allowed; it must be an integer 1–65535'],
  [["--drain", "soon"], {}, '--drain: "soon" is not allowed; it must be a time like 500ms, 10s, 5m or 1h'],
  [["--drain", "1h"], {}, '--drain-ms: "3600000" is not allowed; it must be an integer 0–600000'],
  [["--stale-after", "500ms"], {}, '--stale-after-s: "0.5" is not allowed; it must be an integer 1–86400'],
  [["--port"], {}, "Option '--port <value>' argument missing; --help lists the flags"],
  [["--host", "--port", "0"], {}, "Option '--host' argument is ambiguous; --help lists the flags"],
  [["--prot", "0"], {}, "Unknown option '--prot'; --help lists the flags"],
  [["--help=yes"], {}, "Option '-h, --help' does not take an argument; --help lists the flags"],
  [["8765"], {}, "Unexpected argument '8765'; --help lists the flags"],
  [["--accounts-file", "/nowhere/accounts.json"], {}, 'ACCOUNTS_FILE: "/nowhere/accounts.json" cannot be read: '],
] as const)("serve %j with %j is refused: %s", async (args, env, message) => {
  const { code, out, error } = await outcome(["serve", ...args], env);
  expect({ code, out }).toEqual({ code: 2, out: "" });
  expect(error.startsWith(message)).toBe(true);
  expect(error).not.toContain("\n");
});

test.each([
  [[], { REDIS_URL: "http://user:s3cret@host" }, "REDIS_URL"],
  [["--redis-url", "//user:s3cret@host"], {}, "--redis-url"],
  [["--redis-url=redis://:s3cret@host/one"], {}, "--redis-url"],
  [["redis://user:s3cret@host"], {}, "Unexpected argument"],
  [["--redis=redis://user:s3cret@host"], {}, "Unknown option"],
] as const)("a password is not shown when serve %j with %j is refused", async (args, env, start) => {
  const { code, error } = await outcome(["serve", ...args], env);
  expect(code).toBe(2);
  expect(error).not.toContain("s3cret");
  expect(error.startsWith(start)).toBe(true);
});

test("an .env that cannot be read is named, with the exit code 2", async () => {
  await mkdir(".env");
  const { code, error } = await outcome(["serve"]);
  await rmdir(".env");
  expect(code).toBe(2);
  expect(error).toMatch(/^\.env cannot be read: EISDIR/);
});

test("serve listens, answers, and ends when it is told to", async () => {
  await using redis = await startRedis();
  await redis.replay("commands");
  await using serve = command(["serve", "--redis-url", redis.gatewayUrl, ...onFreePort]);
  const url = await serve.url();
  await using cache = await fullonCacheApi(url);
  expect(await cache.getTicker("binance", "BTC/USDT")).toMatchObject({ symbol: "BTC/USDT", exchange: "binance" });
  serve.end();
  expect(await serve.code).toBe(0);
  expect(serve.lines).toEqual([`listening on ${url}`]);
  expect(serve.errors).toEqual([]);
});

test("serve ends also when it is told to before it has begun", async () => {
  await using serve = new Command(["serve", ...onFreePort, "--redis-url", "redis://127.0.0.1:1"], {}, true);
  expect(await serve.code).toBe(0);
});

test.each([
  ["REDIS_HOST", "REDIS_PORT"],
  ["CACHE_HOST", "CACHE_PORT"],
])("serve finds its Redis by %s and %s", async (host, port) => {
  await using redis = await startRedis({ allowRefused: true });
  await using serve = command(["serve", ...onFreePort], { [host]: "127.0.0.1", [port]: `${redis.port}` });
  await using cache = await fullonCacheApi(await serve.url());
  expect((await cache.getServerInfo()).redis.connected).toBe(true);
});

test("what a flag says of Redis goes before a URL in the environment", async () => {
  await using redis = await startRedis({ allowRefused: true });
  await using serve = command(["serve", ...onFreePort, "--redis-port", `${redis.port}`], {
    REDIS_URL: "redis://127.0.0.1:1",
  });
  await using cache = await fullonCacheApi(await serve.url());
  expect((await cache.getServerInfo()).redis.connected).toBe(true);
});

test("without Redis serve listens all the same, and says so to whoever asks", async () => {
  await using serve = command(["serve", ...onFreePort, "--redis-url", "redis://127.0.0.1:1"]);
  await using cache = await fullonCacheApi(await serve.url());
  await expect(cache.getTicker("binance", "BTC/USDT")).rejects.toMatchObject({ code: "CACHE_UNAVAILABLE" });
});

test("a port that is taken is a sentence, and the exit code 1", async () => {
  await using first = command(["serve", ...onFreePort]);
  const { port } = new URL(await first.url());
  const quiet = ["--port", port, "--log-level", "silent"];
  const sentence = `port ${port} on 127.0.0.1 is taken: choose another with --port or PORT; 0 takes a free one`;
  expect(await outcome(["serve", ...quiet])).toEqual({ code: 1, out: "", error: sentence });
  expect(await outcome(["demo", ...quiet])).toEqual({ code: 1, out: "", error: sentence });
});

test("a host that is not of this machine is a sentence, and the exit code 1", async () => {
  // 192.0.2.0/24 belongs to documentation: no machine has an address of it.
  const { code, error } = await outcome(["serve", ...onFreePort, "--host", "192.0.2.1", "--insecure"]);
  expect(code).toBe(1);
  expect(error).toMatch(/192\.0\.2\.1.*: --host must be an address of this machine$/);
});

test("demo shows the tickers of a simulated market and takes everything along when it ends", async () => {
  await using demo = command(["demo", ...onFreePort], { REDIS_URL: "redis://127.0.0.1:1" });
  const redisUrl = (await demo.line("a private Redis with a simulated market: ")).split(": ")[1] ?? "";
  await using cache = await fullonCacheApi(await demo.url());
  expect(await cache.getExchanges()).toEqual(["binance", "bitmex", "kraken"]);
  await demo.line("time (UTC)  exchange  symbol");
  const moved = () =>
    demo.lines.find((line) =>
      /^ {2}\d\d:\d\d:\d\d {2}binance {3}BTC\/USDT +[▲▼] \d+\.\d\d +[+-]\d\.\d\d %$/.test(line),
    );
  await vi.waitUntil(moved, patience);
  expect(await isGone(redisUrl)).toBe(false);
  demo.end();
  expect(await demo.code).toBe(0);
  expect(await isGone(redisUrl)).toBe(true);
  expect(demo.errors).toEqual([]);
});

test("demo that asks for tokens shows what the one in the environment may see, and without one says so", async () => {
  const FULLON_CACHE_TOKEN = await token({ scope: "tickers:read" });
  await using demo = command(["demo", ...onFreePort, "--jwt-secret", secret], { FULLON_CACHE_TOKEN });
  await demo.line("time (UTC)  exchange  symbol");
  const { code, error } = await outcome(["demo", ...onFreePort, "--jwt-secret", secret]);
  expect(code).toBe(1);
  expect(error).toMatch(/401\)\. The gateway wants a token/);
});

test("demo ends also when it is told to before it has begun", async () => {
  await using demo = new Command(["demo", ...onFreePort], {}, true);
  expect(await demo.code).toBe(0);
  expect(await isGone((await demo.line("a private Redis")).split(": ")[1] ?? "")).toBe(true);
});

test("demo of a Redis that exists shows what is there and writes nothing to it", async () => {
  await using redis = await startRedis();
  await redis.replay("commands");
  const [before, calls] = [await content(redis), await redis.stats()];
  // With all rights: what keeps it from writing is the demo itself.
  await using demo = command(["demo", ...onFreePort, "--redis-url", redis.url]);
  await demo.line("the tickers of ");
  await vi.waitUntil(() => demo.lines.some((line) => /binance +BTC\/USDT +97321\.45 +\+1\.25 %$/.test(line)), patience);
  demo.end();
  expect(await demo.code).toBe(0);
  expect(await content(redis)).toEqual(before);
  const own = new Set(["keys", "dump", "info"]);
  const added = [...(await redis.stats())].filter(([name, count]) => count !== calls.get(name) && !own.has(name));
  const reads = [
    "hello",
    "auth",
    "client|setname",
    "client|tracking",
    "client|id",
    "acl|dryrun",
    "select",
    "ping",
    "scan",
    "type",
    "get",
    "mget",
    "hget",
    "hgetall",
    "llen",
    "lrange",
    "subscribe",
    "psubscribe",
    "unsubscribe",
    "punsubscribe",
  ];
  expect(added.map(([name]) => name).filter((name) => !reads.includes(name))).toEqual([]);
  expect(demo.lines.join("\n")).not.toContain("simulated");
});

test("demo of an empty Redis waits for the first ticker", async () => {
  await using redis = await startRedis();
  await using demo = command(["demo", ...onFreePort, "--redis-url", redis.gatewayUrl]);
  await demo.line("no exchange has tickers in this Redis yet");
  const tick = JSON.stringify({ symbol: "PEPE/USDT", exchange: "okx", price: 0.00002, time: Date.now() / 1000 });
  await redis.command(["HSET", "tickers:okx", "PEPE/USDT", tick]);
  await demo.line("the tickers of okx, ");
  await vi.waitUntil(() => demo.lines.some((line) => /okx {7}PEPE\/USDT +0\.000020000$/.test(line)), patience);
});

test("demo of an empty Redis ends while it waits", async () => {
  await using redis = await startRedis();
  await using demo = command(["demo", ...onFreePort, "--redis-port", `${redis.port}`]);
  await demo.line("no exchange has tickers in this Redis yet");
  demo.end();
  expect(await demo.code).toBe(0);
  expect(demo.errors).toEqual([]);
});

test("demo of a Redis that cannot be reached says so", async () => {
  const { code, error } = await outcome(["demo", ...onFreePort, "--redis-url", "redis://127.0.0.1:1"]);
  expect({ code, error }).toEqual({ code: 1, error: "Redis cannot be reached" });
});

test.concurrent("a gateway that is served says where first of all, and ends by SIGINT with exit code 0", async () => {
  await using redis = await startRedis();
  await redis.replay("commands");
  await using serve = startSource(main, ["serve", "--port", "0"], { env: { REDIS_URL: redis.gatewayUrl } });
  expect(await serve.line(/./)).toMatch(/^listening on ws:\/\/127\.0\.0\.1:\d+$/);
  await using cache = await fullonCacheApi(await urlOf(serve));
  expect(await cache.getTicker("binance", "BTC/USDT")).toMatchObject({ price: 97_321.45 });
  serve.kill("SIGINT");
  expect(await serve.ended).toEqual({ code: 0, signal: null });
  expect(serve.lines).toHaveLength(1);
  for (const line of serve.errors) expect(JSON.parse(line)).toMatchObject({ level: 30 });
});

async function urlOf(serve: Program): Promise<string> {
  return (await serve.line(/^listening on /)).slice("listening on ".length);
}

test.concurrent("a gateway takes its settings from .env, unless the environment says otherwise, and ends by SIGTERM", async () => {
  await using redis = await startRedis();
  const cwd = scratch();
  await writeFile(join(cwd, ".env"), `# ours\nPORT=0\nREDIS_URL="${redis.gatewayUrl}"\nLOG_LEVEL=loud\n`);
  await using serve = startSource(main, ["serve"], { cwd, env: { LOG_LEVEL: "silent" } });
  await using cache = await fullonCacheApi(await urlOf(serve));
  expect((await cache.getServerInfo()).redis.connected).toBe(true);
  serve.kill("SIGTERM");
  expect(await serve.ended).toEqual({ code: 0, signal: null });
  expect(serve.errors).toEqual([]);
});

/** A directory for one test. */
function scratch(): string {
  return mkdtempSync(join(elsewhere, "scratch-"));
}

/** A demo whose private Redis keeps its directory where nobody else's is; that goes when the server has gone. */
function startDemo(): { demo: Program; leftovers: () => string[] } {
  const directory = scratch();
  const demo = startSource(main, ["demo", "--port", "0"], { env: { TMPDIR: directory } });
  return { demo, leftovers: () => readdirSync(directory).filter((name) => name.startsWith("fullon-cache-api-redis-")) };
}

test.concurrent.each([
  ["SIGINT", (demo: Program) => demo.interrupt("SIGINT")],
  ["SIGTERM", (demo: Program) => demo.kill("SIGTERM")],
  ["a reader that has seen enough", (demo: Program) => demo.hangUp()],
] as const)("a demo that ends by %s leaves no process behind", async (_what, end) => {
  const { demo, leftovers } = startDemo();
  await using _demo = demo;
  await demo.line(/binance +BTC\/USDT +\d+\.\d\d/);
  expect(leftovers()).toHaveLength(1);
  end(demo);
  expect(await demo.ended).toEqual({ code: 0, signal: null });
  expect(demo.errors).toEqual([]);
  expect(leftovers()).toEqual([]);
});

test.concurrent("a demo that is told twice to end does so at once, and still leaves no process behind", async () => {
  const { demo, leftovers } = startDemo();
  await using _demo = demo;
  await demo.line(/^listening on /);
  demo.kill("SIGINT");
  demo.kill("SIGTERM");
  expect(await demo.ended).toEqual({ code: 1, signal: null });
  await vi.waitUntil(() => leftovers().length === 0, patience);
});

test("a command that is to end while it connects ends, and nothing is wrong", async () => {
  const mute = createServer().listen(0, "127.0.0.1");
  await once(mute, "listening");
  const url = `ws://127.0.0.1:${(mute.address() as AddressInfo).port}`;
  for (const words of [["top"], ["stream-bot-status"], ["record"]]) {
    const what = words[0] === "record" ? ["never.ndjson", "stream-bot-status"] : [];
    const ended = command([...words, "--for", "20ms", "--url", url, ...what]);
    expect({ words, code: await ended.code, errors: ended.errors }).toEqual({ words, code: 0, errors: [] });
  }
  mute.close();
});
