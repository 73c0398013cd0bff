import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { startSource } from "./kit/program.ts";

// Each is a program with a Redis, a market and a gateway: more of them at a time only get in each other's way.
vi.setConfig({ maxConcurrency: 3, testTimeout: 60_000 });

const directory = new URL("../examples/", import.meta.url);
// Where the private servers keep their directories, which go when the servers have gone.
const scratch = mkdtempSync(join(tmpdir(), "fullon-cache-api-examples-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const names = readdirSync(directory)
  .filter((file) => file.endsWith(".ts") && file !== "run-all.ts" && file !== "demo-server.ts")
  .map((file) => file.slice(0, -".ts".length))
  .sort();

/** Runs an example to its end. */
async function outcome(name: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
  await using program = startSource(`examples/${name}.ts`, args, { env: { TMPDIR: scratch, ...env } });
  const { code } = await program.ended;
  return { code, out: program.lines.join("\n"), error: program.errors.join("\n") };
}

/** What each example is to say, line by line where lines matter, in this order. */
const sayings: Readonly<Record<string, readonly RegExp[]>> = {
  accounts: [
    /^USDT {2}\d+\.\d+, of which \d+\.\d+ can be used$/,
    /^cash: \d+\.\d+ USDT$/,
    /^BTC\/USDT: \d\S* for \d\S* in all$/,
    /^nobody: no balance for user nobody$/,
    /^holds \d\S* BTC\/USDT, at \d+/,
    /^now \d\S* (BTC|ETH)\/USDT, at \d+/,
  ],
  "basic-usage": [
    /^connected to fullon-cache-api \d\S*, whose Redis is there$/,
    /^BTC\/USDT costs \d+/,
    /^3 bots$/,
    /^TICKER_NOT_FOUND: no ticker for NO\/SUCH on binance$/,
    /^now \d+/,
    /^then \d+/,
    /^first from (tickers: tickers:kraken|queue: order_queue:binance)$/,
  ],
  bots: [
    /^bot \d is running, feeds: feed_1$/,
    /^BTC\/USDT on binance belongs to bot 1$/,
    /^SOL\/USDT on binance is free$/,
    /^(bot 1 is|nobody is) opening a position$/,
    /^no-such-bot: no bot no-such-bot$/,
    /^bot 1: \{"pnl":-?\d.*\}$/,
  ],
  ohlcv: [
    /^\d\d:\d\d open \d\S* high \d\S* low \d\S* close \d\S*$/,
    /^the highest price of the last 60 minutes: \d+/,
    /^BTC\/USDT 3w: no 3w bars for BTC\/USDT$/,
    /^\d\d:\d\d closes at \d\S* for now; \d+ bars are known$/,
  ],
  orders: [
    /^\d+ orders are in the queue of binance$/,
    /^\d+ orders in all, \d+ filled$/,
    /^BINANCE-\d+: (buy|sell) \d\S* (BTC|ETH)\/USDT, \w+$/,
    /^NO-SUCH-ORDER: no order NO-SUCH-ORDER on binance$/,
    /^queue: \d+ of \d+ \{.*"filled":\d+/,
    /^order: BINANCE-\d+ is \w+$/,
  ],
  processes: [
    /^healthy: 7 processes$/,
    /^Redis is there, 1 client\(s\) connected$/,
    /^bot_\d is running, last heard \d+\.\d s ago: trading /,
    /^newest heartbeat: \w+:\w+:\d/,
    /^no-such-component: no process for component no-such-component$/,
    /^all is well: \{"account":2,"bot":3,"ohlcv":1,"tick":1\}$/,
  ],
  tickers: [
    /^exchanges: binance, bitmex, kraken$/,
    /^BTC\/USDT on binance: \d\S*, bid \d\S*, ask \d\S*$/,
    /^kraken has 6 tickers; \S+ gained most: -?\d\S* %$/,
    /^NO\/SUCH on binance: no ticker$/,
    /^BTC\/USDT \d\S*$/,
    /^BTC\/USDT \d\S* \(was \d\S*\)$/,
  ],
  trades: [
    /^BTC\/USDT: (buy|sell) \d\S* at \d\S*$/,
    /^user 1 made \d+ trades on binance, the last one in (BTC|ETH)\/USDT$/,
    /^the last trades of binance came \d+\.\d s ago$/,
    /^no-such-exchange: no trade status for no-such-exchange$/,
    /^\d+ trades were there already$/,
    /^new: (buy|sell) \d\S* at \d\S*$/,
  ],
  "trading-application": [
    /^\d\S* \(average \d+\.\d\d\), \d\S* held, queue \d+: would (buy|sell|wait): /,
    /^stopped after 5 decisions; nothing was written$/,
  ],
};

/** Which of the sayings, in their order, the text lacks. */
function missing(text: string, expected: readonly RegExp[]): RegExp[] {
  const lines = text.split("\n");
  let at = 0;
  return expected.filter((saying) => {
    const found = lines.findIndex((line, index) => index >= at && saying.test(line));
    if (found >= 0) at = found + 1;
    return found < 0;
  });
}

test.concurrent.each(names)("the example %s runs by itself and says what it shows", async (name) => {
  const { code, out, error } = await outcome(name);
  expect({ code, error }).toEqual({ code: 0, error: "" });
  expect(missing(out, sayings[name] ?? []), out).toEqual([]);
});

test.concurrent("run-all runs what is asked for and tells how long it took", async () => {
  const { code, out, error } = await outcome("run-all", ["--only=processes"]);
  expect({ code, error }).toEqual({ code: 0, error: "" });
  expect(out).toMatch(/^processes +ok +\d+\.\d s\n1 of 1 examples ran$/);
});

test.concurrent("run-all says which failed and why, with the exit code 1", async () => {
  const { code, out, error } = await outcome("run-all", ["--only", "tickers,bots", "ws://127.0.0.1:1"]);
  expect({ code, error }).toEqual({ code: 1, error: "" });
  expect(out).toMatch(/^tickers +FAILED +\d+\.\d s$.*^bots +FAILED +\d+\.\d s$.*^0 of 2 examples ran$/ms);
  expect(out).toContain("CacheError: the connection to ws://127.0.0.1:1 could not be made");
  expect(out).toContain("examples/bots.ts:6:");
});

test.concurrent("the gateway can be named by CACHE_URL, and its absence points at the line that connects", async () => {
  const { code, error } = await outcome("orders", [], { CACHE_URL: "ws://127.0.0.1:2" });
  expect(code).toBe(1);
  expect(error).toMatch(
    /CacheError: the connection to ws:\/\/127\.0\.0\.1:2 could not be made .*\n +at .*examples\/orders\.ts:6:/,
  );
});

test.concurrent("run-all --list names every example with what it shows", async () => {
  const { code, out, error } = await outcome("run-all", ["--list"]);
  expect({ code, error }).toEqual({ code: 0, error: "" });
  const listed = out.split("\n").map((line) => line.split(/ {2,}/));
  expect(listed.map(([name]) => name)).toEqual(names);
  for (const [, about] of listed) expect(about).toMatch(/^[A-Z].*\.$/);
});

test.concurrent("run-all refuses what it does not know and says what there is", async () => {
  expect(await outcome("run-all", ["--only", "tickers,prices"])).toEqual({
    code: 2,
    out: "",
    error: `run-all: there is no example prices; there are ${names.join(", ")}`,
  });
});

test("the README lists every example with the operations it uses", () => {
  const readme = readFileSync(new URL("README.md", directory), "utf8");
  const rows = readme.matchAll(/^\| \[([\w-]+)\.ts\]\(\1\.ts\) .*\| (`.*`) *\|$/gm);
  const listed = [...rows].map(([, name = "", operations = ""]) => [name, operations.match(/\w+/g)?.sort()]);
  const used = names.map((name) => {
    const source = readFileSync(new URL(`${name}.ts`, directory), "utf8");
    return [name, [...new Set([...source.matchAll(/\bcache\.(\w+)\(/g)].map(([, operation]) => operation))].sort()];
  });
  expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(used));
  expect(Object.keys(sayings)).toEqual(names);
});

test("none of them leaves a server behind", () => {
  expect(readdirSync(scratch).filter((name) => name.startsWith("fullon-cache-api-redis-"))).toEqual([]);
});
