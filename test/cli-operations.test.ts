import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { given, helpOf } from "../src/cli/command.ts";
import { operationCommands, parametersOf } from "../src/cli/operation-command.ts";
import { operations } from "../src/operations/index.ts";
import type { Operation } from "../src/operations/operation.ts";
import { commandName, wireName } from "../src/protocol/names.ts";
import { command, inEmptyFolder, outcome } from "./kit/command.ts";
import { startGateway, type TestGateway } from "./kit/gateway.ts";
import { startSource } from "./kit/program.ts";
import { fixtureNowMs } from "./kit/redis.ts";
import { TestScreen } from "./kit/screen.ts";
import { secret, token } from "./kit/tokens.ts";

// Generous, because programs that start share two cores with the tests of other files.
vi.setConfig({ testTimeout: 60_000 });
const patience = { timeout: 30_000 };

inEmptyFolder();
let gateway: TestGateway;
let env: { readonly FULLON_CACHE_URL: string };

beforeAll(async () => {
  gateway = await startGateway({ now: () => fixtureNowMs / 1000 });
  await gateway.redis.replay("commands");
  env = { FULLON_CACHE_URL: gateway.server.url };
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
});

const parsed = (lines: readonly string[]) => lines.map((line) => JSON.parse(line));
const commands = [...operationCommands].map(([name, made]) => ({ name, made }));
const declared = new Map(
  Object.entries<Operation>(operations).map(([method, operation]) => [commandName(wireName(method)), operation]),
);

test("every operation is a command, but for those that the client does by itself", () => {
  const names = [...declared].filter(([, { method }]) => method !== false).map(([name]) => name);
  expect(commands.map(({ name }) => name)).toEqual(names);
});

test.each(commands)("$name --help has examples that are allowed, and every flag", async ({ name, made }) => {
  const { code, lines, errors } = await outcome([name, "--help"]);
  expect({ code, errors }).toEqual({ code: 0, errors: [] });
  expect(lines.join("\n")).toBe(await helpOf(name, made));
  const operation = declared.get(name) as Operation;
  const flags = Object.keys(operation.params).map(commandName);
  for (const flag of [...flags, "json", "url", "token"])
    expect(lines.join("\n")).toMatch(new RegExp(`^  --${flag} `, "m"));
  const common = ["help", "json", "url", "token", ...(operation.kind === "live" ? ["for", "count"] : [])];
  expect(flags.filter((flag) => common.includes(flag))).toEqual([]);
  const examples = await made.examples();
  expect(examples.length).toBeGreaterThan(0);
  for (const [call] of examples) {
    expect(lines).toContain(`  fullon-cache-api ${call}`);
    const [called, ...words] = call.split(" ");
    const asked = given(made, words);
    expect(called).toBe(name);
    expect(asked && operation.check(parametersOf(name, operation, asked))).toBeUndefined();
  }
});

test("an answer that is piped is one line of JSON for each of its items", async () => {
  const cache = await gateway.client();
  const one = await outcome(["get-ticker", "binance", "BTC/USDT"], env);
  expect(one).toMatchObject({ code: 0, errors: [] });
  expect(parsed(one.lines)).toEqual([await cache.getTicker("binance", "BTC/USDT")]);
  const all = await outcome(["get-all-tickers", "binance"], env);
  expect(parsed(all.lines)).toEqual(await cache.getAllTickers("binance"));
  expect((await outcome(["get-exchanges"], env)).lines).toEqual(
    (await cache.getExchanges()).map((name) => `"${name}"`),
  );
  const queue = await outcome(["get-queue-length", "binance"], env);
  expect(queue.lines).toEqual([String(await cache.getQueueLength("binance"))]);
  const bars = await outcome(["get-latest-ohlcv-bars", "BTC/USDT", "1m", "--count", "2"], env);
  expect(parsed(bars.lines)).toEqual(await cache.getLatestOhlcvBars("BTC/USDT", "1m", 2));
  expect(bars.lines).toHaveLength(2);
});

test("what is optional may follow in order, or be a flag", async () => {
  const cache = await gateway.client();
  const expected = await cache.getOrders("binance", "open");
  expect(expected.length).toBeGreaterThan(0);
  for (const args of [
    ["binance", "open"],
    ["binance", "--status", "open"],
    ["--status=open", "--exchange", "binance"],
    ["--exchange", "kraken", "open", "--exchange", "binance"],
  ])
    expect(parsed((await outcome(["get-orders", ...args], env)).lines)).toEqual(expected);
});

test("in a terminal an answer is a table of what is declared, and --json is still JSON", async () => {
  const screen = new TestScreen(200);
  const orders = await outcome(["get-orders", "binance", "partially_filled"], env, screen);
  const [head = "", row = ""] = orders.lines;
  expect(head.trimEnd().split(/ {2,}/)).toEqual([
    "order_id",
    "exchange",
    "symbol",
    "status",
    "side",
    "order_type",
    "volume",
    "final_volume",
    "price",
    "timestamp (UTC)",
  ]);
  expect(row).toMatch(
    /^EX_PART +binance +ETH\/USDT +partially_filled +buy +limit +2 +0\.75 +3120 +2026-11-22 07:02:37$/,
  );
  // Figures end where their head ends.
  expect(row.indexOf("0.75") + 4).toBe(head.indexOf("final_volume") + "final_volume".length);
  const narrow = await outcome(["get-orders", "binance", "partially_filled"], env, new TestScreen(40));
  expect(narrow.lines.map((line) => line.length)).toEqual([40, 40]);
  expect(narrow.lines.every((line) => line.endsWith("…"))).toBe(true);
  const one = await outcome(["get-ticker", "binance", "BTC/USDT"], env, screen);
  expect(one.lines).toContain("price            97321.45");
  expect(one.lines).toContain("timestamp (UTC)  2026-11-22 07:02:24");
  const bars = await outcome(["get-latest-ohlcv-bars", "BTC/USDT", "1m", "1"], env, screen);
  expect(bars.lines[0]?.split(/ {2,}/)).toEqual(["time (UTC)", "open", "high", "low", "close", "volume"]);
  expect((await outcome(["get-exchanges"], env, screen)).lines).toContain("binance");
  expect((await outcome(["get-orders", "nowhere"], env, screen)).lines).toEqual(["nothing"]);
  const json = await outcome(["get-ticker", "binance", "BTC/USDT", "--json"], env, screen);
  expect(parsed(json.lines)).toMatchObject([{ symbol: "BTC/USDT" }]);
});

test("text from Redis does nothing to a terminal", async () => {
  const evil = "\u001b[2J\u202eX\u0085\n";
  const tick = JSON.stringify({ price: 1, time: 1, note: evil });
  await gateway.redis.command(["HSET", "tickers:hostile", evil, tick]);
  const asked = ["get-all-tickers", "hostile"];
  const [table, json] = [await outcome(asked, env, new TestScreen()), await outcome(asked, env)];
  const missing = await outcome(["get-ticker", "hostile", `${evil}?`], env);
  for (const text of [...table.lines, ...json.lines, ...missing.errors]) expect(text).not.toMatch(/\p{C}/u);
  expect(table.lines[1]).toContain("\\u001b[2J\\u202eX\\u0085\\u000a");
  expect(parsed(json.lines)).toMatchObject([{ symbol: evil, note: evil }]);
  await gateway.redis.command(["DEL", "tickers:hostile"]);
});

test("what fails is a sentence with its code, and the exit code 1", async () => {
  expect(await outcome(["get-ticker", "binance", "NO/SUCH"], env)).toEqual({
    code: 1,
    lines: [],
    errors: ["no ticker for NO/SUCH on binance (TICKER_NOT_FOUND)"],
  });
  const twice = [...Array(1001).keys()].map((at) => `S${at}`);
  expect((await outcome(["stream-tickers", "binance", ...twice], env)).code).toBe(2);
});

test.each([
  [["get-ticker", "binance"], "parameter symbol is missing: it must be text of 1–256 characters"],
  [["get-ticker"], "parameter exchange is missing"],
  [["get-ticker", "binance", "BTC/USDT", "more"], 'unexpected argument "more": it takes <exchange> <symbol>'],
  [["ping", "more"], "Unexpected argument 'more'; --help lists the flags"],
  [["get-trades", "BTC/USDT", "binance", "many"], "parameter limit must be an integer 1–10000"],
  [["get-trades", "BTC/USDT", "binance", "--limit", "-1"], "parameter limit must be an integer 1–10000"],
  [["get-ticker", "--symbool", "BTC/USDT"], "Unknown option '--symbool'"],
  [["stream-tickers", "binance", "--count", "0"], '--count: "0" is not allowed; it must be an integer from 1'],
  [["stream-tickers", "binance", "--for", "soon"], '--for: "soon" is not allowed; it must be a time like 500ms, 10s'],
  [
    ["ping", "--url", "localhost:8765"],
    '--url: "localhost:8765" is not allowed; it must be ws://host[:port] or wss://…',
  ],
  [["ping", "--url", "http://localhost"], '--url: "http://localhost" is not allowed'],
  [["get-ticker", "binance", "BTC/USDT", "--count", "1"], "Unknown option '--count'"],
] as const)("%j is asked wrongly: %s", async (args, message) => {
  const { code, lines, errors } = await outcome(args, env);
  expect({ code, lines, count: errors.length }).toEqual({ code: 2, lines: [], count: 1 });
  expect(errors[0]?.slice(0, message.length)).toBe(message);
});

test.each(["get-ticker", "stream-tickers"])(
  "%s says with exit code 3 that nothing can be connected to",
  async (name) => {
    const { code, lines, errors } = await outcome([name, "binance", "BTC/USDT", "--url", "ws://127.0.0.1:1"], env);
    expect({ code, lines }).toEqual({ code: 3, lines: [] });
    expect(errors).toEqual([expect.stringContaining("the connection to ws://127.0.0.1:1 could not be made")]);
  },
);

test("a token comes from the environment or a flag; without one the exit code is 3", async () => {
  await using closed = await startGateway({ to: gateway.redis, jwtSecret: secret });
  const [good, url] = [await token({ sub: "1", scope: "tickers:read" }), closed.server.url];
  const args = ["get-exchanges", "--url", url];
  expect(await outcome(args)).toMatchObject({ code: 3, lines: [] });
  expect(await outcome(args, { FULLON_CACHE_TOKEN: "wrong" })).toMatchObject({ code: 3, lines: [] });
  expect(await outcome(args, { FULLON_CACHE_TOKEN: good })).toMatchObject({ code: 0, errors: [] });
  expect(await outcome([...args, "--token", good], { FULLON_CACHE_TOKEN: "wrong" })).toMatchObject({ code: 0 });
  const refused = await outcome(["get-bots", "--url", url], { FULLON_CACHE_TOKEN: good });
  expect(refused).toEqual({ code: 1, lines: [], errors: ["this needs the scope bots:read (FORBIDDEN)"] });
});

test("a stream ends after --count updates", async () => {
  const args = ["stream-tickers", "binance", "BTC/USDT", "ETH/USDT", "--count", "2"];
  const { code, lines, errors } = await outcome(args, env);
  expect({ code, errors }).toEqual({ code: 0, errors: [] });
  expect(parsed(lines).map(({ symbol, snapshot }) => [symbol, snapshot])).toEqual([
    ["BTC/USDT", true],
    ["ETH/USDT", true],
  ]);
});

test("a stream ends after --for, even if nothing ever comes", async () => {
  expect(await outcome(["stream-tickers", "nowhere", "--for", "300ms"], env)).toEqual({
    code: 0,
    lines: [],
    errors: [],
  });
});

test("a stream shows every change until it is told to end, and in a terminal under one head", async () => {
  const symbol = "LIVE/USDT";
  const move = (price: number) => {
    const tick = JSON.stringify({ symbol, exchange: "binance", price, time: 1 });
    return gateway.redis.command(["HSET", "tickers:live", symbol, tick]);
  };
  await move(1);
  const screen = new TestScreen();
  await using json = command(["stream-tickers", "live"], env);
  await using table = command(["stream-tickers", "--exchange", "live", "--symbols", symbol], env, screen);
  for (const price of [2, 3]) {
    await vi.waitUntil(() => json.lines.length === price - 1 && table.lines.length === price, patience);
    await move(price);
  }
  await vi.waitUntil(() => json.lines.length === 3 && table.lines.length === 4, patience);
  await gateway.redis.command(["HDEL", "tickers:live", symbol]);
  await vi.waitUntil(() => json.lines.length === 4 && table.lines.length === 5, patience);
  for (const one of [json, table]) {
    one.end();
    expect(await one.code).toBe(0);
    expect(one.errors).toEqual([]);
  }
  expect(parsed(json.lines).map(({ price, removed }) => removed ?? price)).toEqual([1, 2, 3, true]);
  const [head, ...rows] = table.lines;
  expect(head).toMatch(/^exchange +symbol +price +volume +timestamp \(UTC\)$/);
  expect(rows.map((row) => row.split(/ {2,}/)[2])).toEqual(["1", "2", "3", "–"]);
  expect(rows.at(-1)).toMatch(/gone$/);
});

test("a stream says when what it shows may be out of date, and when it no longer is", async () => {
  await using own = await startGateway();
  await own.redis.command(["HSET", "tickers:one", "A", JSON.stringify({ price: 1, time: 1 })]);
  await using stream = command(["stream-tickers", "one", "--url", own.server.url]);
  await vi.waitUntil(() => stream.lines.length === 1, patience);
  await own.redis.restart();
  await vi.waitUntil(() => stream.errors.includes("live again"), patience);
  expect(stream.errors[0]).toBe("stale: tickers:one: CACHE_UNAVAILABLE");
  stream.end();
  expect(await stream.code).toBe(0);
});

test("a question that is given up ends with exit code 1 and no word", async () => {
  await using own = await startGateway({ redisTimeoutMs: 60_000 });
  own.redis.pause();
  await using asked = command(["get-ticker", "binance", "BTC/USDT", "--url", own.server.url]);
  await vi.waitUntil(() => own.lines.some(({ msg }) => msg === "connection opened"), patience);
  asked.end();
  expect(await asked.code).toBe(1);
  expect(asked.errors).toEqual([]);
  own.redis.resume();
});

const main = "src/cli/main.ts";

test("a program ends by Ctrl-C and by a closed pipe with exit code 0, and says nothing", async () => {
  const args = ["stream-tickers", "binance"];
  await using first = startSource(main, args, { env });
  await using second = startSource(main, args, { env });
  await first.line(/^\{"type":"ticker_update"/);
  first.interrupt("SIGINT");
  expect(await first.ended).toEqual({ code: 0, signal: null });
  await second.line(/^\{"type":"ticker_update"/);
  second.hangUp();
  let ended = false;
  const written = vi.waitUntil(async () => {
    const tick = { symbol: "BTC/USDT", exchange: "binance", price: Math.random(), time: 1 };
    await gateway.redis.command(["HSET", "tickers:binance", "BTC/USDT", JSON.stringify(tick)]);
    return ended;
  }, patience);
  expect(await second.ended).toEqual({ code: 0, signal: null });
  ended = true;
  await written;
  expect([...first.errors, ...second.errors]).toEqual([]);
});

test("a program says with its exit code how it ended", async () => {
  const code = async (...args: string[]) => {
    await using program = startSource(main, args, { env });
    return (await program.ended).code;
  };
  const codes = [
    code("get-ticker", "binance", "BTC/USDT"),
    code("get-ticker", "binance", "NO/SUCH"),
    code("get-ticker"),
    code("get-ticker", "binance", "BTC/USDT", "--url", "ws://127.0.0.1:1"),
  ];
  expect(await Promise.all(codes)).toEqual([0, 1, 2, 3]);
});
