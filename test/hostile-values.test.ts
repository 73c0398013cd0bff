import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { figure, scaled } from "./kit/chaos.ts";
import type { Frame, Wire } from "./kit/gateway.ts";
import { type GatewayProcess, startGatewayProcess } from "./kit/gateway-process.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { follow, setTicker } from "./kit/streams.ts";
import { until } from "./kit/until.ts";

const large = scaled(8_000_000, 50_000_000);
const many = scaled(50_000, 1_000_000);
const veryLarge = `a value of ${large / 1e6} MB`;

let redis: TestRedis;
let gateway: GatewayProcess;
/** Who asks for what is hostile. */
let wire: Wire;
/** Somebody else, who is served all the while. */
let other: Wire;
let price = 0;
let memoryAtFirst = 0;
const longestStall = new Map<string, number>();

beforeAll(async () => {
  redis = await startRedis();
  // Without the near cache, whose bounds are another matter.
  gateway = await startGatewayProcess(redis, { nearCacheBytes: 0, redisTimeoutMs: 20_000 });
  [wire, other] = [await gateway.wire(), await gateway.wire()];
  await setTicker(redis, "binance", "BTC/USDT", price);
  await follow(other, "stream_tickers", { exchange: "binance" });
  // What the first use of everything leaves behind is not what is looked for.
  await wire.ask("get_system_health");
  memoryAtFirst = (await gateway.memory()).used;
});

afterAll(async () => {
  for (const [what, ms] of longestStall)
    figure(`hostile values: longest wait of somebody else for a ping: ${what}, in ms`, ms.toFixed(0));
  await gateway[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

// Nothing of it was a bug, nothing stays, and somebody else's streams go on.
afterEach(async () => {
  wire.close();
  await redis.command(["FLUSHALL"]);
  const from = other.frames.length;
  await setTicker(redis, "binance", "BTC/USDT", ++price);
  await other.frame((frame) => frame["price"] === price, from);
  other.frames.length = 0;
  wire = await gateway.wire();
  await until(async () =>
    expect((await wire.ask("get_system_health")) as Frame).toMatchObject({ gateway: { connections: 2, streams: 1 } }),
  );
  await until(async () => expect((await gateway.memory()).used - memoryAtFirst).toBeLessThan(50_000_000));
  expect(gateway.faults).toEqual([]);
});

/** Runs a script in Redis, which makes there what is too large to be sent. */
function script(lines: string, ...keys: string[]): Promise<unknown> {
  return redis.command(["EVAL", lines, String(keys.length), ...keys]);
}

/** Does something while somebody else asks one ping after another; gives what it gives. */
async function whilePinging<T>(what: string, act: () => Promise<T>): Promise<T> {
  let isOver = false;
  let longest = longestStall.get(what) ?? 0;
  const pinging = (async () => {
    while (!isOver) {
      const asked = performance.now();
      await other.ask("ping");
      other.frames.length = 0;
      longest = Math.max(longest, performance.now() - asked);
    }
  })();
  try {
    return await act();
  } finally {
    isOver = true;
    await pinging;
    longestStall.set(what, longest);
  }
}

/** Where a value of each family lives: how it is written, and the question that reads it alone. */
interface Family {
  readonly name: string;
  readonly key: string;
  /** The field, where the key is a hash; `list` and `string` are the other kinds. */
  readonly place: { readonly field: string } | "list" | "string";
  readonly operation: string;
  readonly params: object;
  /** What a list of many answers where its entry is left out; else the answer is DATA_CORRUPT. */
  readonly without?: unknown;
  /** Any text is a value. */
  readonly isText?: true;
}

const of = (field: string) => ({ field });
const pair = { exchange: "x", symbol: "A" };

const families: readonly Family[] = [
  { name: "ticker", key: "tickers:x", place: of("A"), operation: "get_ticker", params: pair },
  { name: "balance", key: "accounts", place: of("7"), operation: "get_balance", params: { user_id: 7 } },
  { name: "positions", key: "account_positions", place: of("7"), operation: "get_positions", params: { user_id: 7 } },
  {
    name: "order",
    key: "order_status:x",
    place: of("A"),
    operation: "get_order_status",
    params: { order_id: "A", exchange: "x" },
  },
  { name: "bot", key: "bot_status", place: of("A"), operation: "get_bot_status", params: { bot_id: "A" } },
  { name: "block", key: "block_exchange", place: of("x:A"), operation: "is_blocked", params: pair, isText: true },
  { name: "opening", key: "opening_position", place: of("x:A"), operation: "is_opening_position", params: pair },
  { name: "trade", key: "trades:x:A", place: "list", operation: "get_trades", params: pair, without: [] },
  {
    name: "user's trade",
    key: "user_trades:7:x",
    place: "list",
    operation: "get_user_trades",
    params: { user_id: 7, exchange: "x" },
    without: [],
  },
  {
    name: "trade status",
    key: "TRADE:STATUS:x",
    place: "string",
    operation: "get_trade_status",
    params: { trade_key: "x" },
  },
  {
    name: "bar",
    key: "ohlcv:A:1m",
    place: "list",
    operation: "get_latest_ohlcv_bars",
    params: { symbol: "A", timeframe: "1m" },
    without: "OHLCV_NOT_FOUND",
  },
  { name: "process", key: "process:data:x", place: "string", operation: "get_process", params: { process_id: "x" } },
  {
    name: "component",
    key: "process:components",
    place: of("A"),
    operation: "get_component_status",
    params: { component: "A" },
    isText: true,
  },
];

/** Writes what a script of Redis makes where a value of this family belongs. */
function write({ key, place }: Family, made: string): Promise<unknown> {
  if (place === "list") return script(`redis.call('RPUSH', KEYS[1], ${made})`, key);
  if (place === "string") return script(`redis.call('SET', KEYS[1], ${made})`, key);
  return script(`redis.call('HSET', KEYS[1], '${place.field}', ${made})`, key);
}

function expectCorrupt({ name, key, place, without }: Family, answer: Frame): void {
  if (typeof without === "string") expect(answer, name).toMatchObject({ error_code: without });
  else if (without) expect(answer, name).toMatchObject({ success: true, result: without });
  else {
    const details = { key, ...(typeof place === "object" && { field: place.field }) };
    expect(answer, name).toMatchObject({ error_code: "DATA_CORRUPT", details });
  }
  expect(JSON.stringify(answer).length, name).toBeLessThan(1_000);
}

test("a very large value is not read, and nobody waits for it", async () => {
  for (const family of families) {
    // What takes longest to read: a word that JSON does not know, again and again.
    await write(family, `'[' .. string.rep('NaN,', ${large / 4}) .. '1]'`);
    expectCorrupt(family, await whilePinging(veryLarge, () => wire.request(family.operation, family.params)));
    await redis.command(["DEL", family.key]);
  }
  // Generous, for a machine that has other things to do; fifty million characters that are parsed take seven seconds.
  expect(longestStall.get(veryLarge)).toBeLessThan(2_500);
}, 60_000);

const empty = `''`;
const notUtf8 = `'{"price": "\\255\\254", "status": \\192}'`;
const cut = `'{"price": 1, "time": '`;

test("a value that is nested 100,000 deep, empty, cut or no text at all is not read", async () => {
  const deep = [`string.rep('[', 100000)`, `string.rep('{"a":', 100000)`];
  for (const family of families.filter(({ isText }) => !isText))
    for (const made of [...deep, empty, notUtf8, cut]) {
      await write(family, made);
      const ask = () => wire.request(family.operation, family.params);
      expectCorrupt(family, await whilePinging("a value that cannot be read", ask));
      await redis.command(["DEL", family.key]);
    }
});

test("a key of another type than it should be is DATA_CORRUPT", async () => {
  for (const { name, key, place, operation, params } of families) {
    const others: string[][] = [
      ["SADD", key, "a"],
      ["ZADD", key, "1", "a"],
      ["XADD", key, "*", "a", "b"],
      place === "list" ? ["HSET", key, "A", "{}"] : ["RPUSH", key, "{}"],
      place === "string" ? ["HSET", key, "A", "{}"] : ["SET", key, "{}"],
    ];
    for (const command of others) {
      await redis.command(command);
      const answer = await wire.request(operation, params);
      expect(answer, `${name} after ${command[0]}`).toMatchObject({ error_code: "DATA_CORRUPT", details: { key } });
      await redis.command(["DEL", key]);
    }
  }
});

/** Names that could be taken for something else. */
const oddNames = [
  "__proto__",
  "constructor",
  "toString",
  "a\nb",
  "\u001b[2J\u001b]0;x\u0007",
  "\0",
  "",
  " ",
  "*",
  "x".repeat(256),
  "\u2028",
];
/** Values that are odd, and can be read. */
const oddValues = [
  '{"price": 1e400, "volume": -1e400, "time": 1e308}',
  '{"price": 123456789012345678901234567890, "time": 1e-400}',
  '{"price": NaN, "volume": -Infinity, "time": null}',
  '{"price": 1, "price": 2, "time": 1, "time": 2}',
  '{"__proto__": {"price": 1}, "constructor": {"prototype": {"polluted": 1}}, "toString": 1}',
  '{"price": "\\u001b[2J\\n", "status": "\\ud800", "price": "1"}',
  "{}",
];

test("streams go on for all others, whatever stands among them, and it is counted", async () => {
  const streams: [string, object, string][] = [
    ["stream_tickers", { exchange: "x" }, "tickers:x"],
    ["stream_orders", { exchange: "x" }, "order_status:x"],
    ["stream_bot_status", {}, "bot_status"],
  ];
  for (const [operation, params, key] of streams) {
    const from = wire.frames.length;
    await follow(wire, operation, params);
    const before = await corruptValues();
    const odd = oddNames.flatMap((name, at) => [name, oddValues[at % oddValues.length] as string]);
    await redis.command(["HSET", key, "good", '{"price": 1, "time": 1}', ...odd]);
    const unreadable = [`string.rep('[', 100000)`, `string.rep('x', 3000000)`, empty, notUtf8, cut];
    for (const [at, made] of unreadable.entries())
      await script(`redis.call('HSET', KEYS[1], 'bad${at}', ${made})`, key);
    await redis.command(["HSET", key, "last", '{"price": 3, "time": 1}']);
    const isItem = (frame: Frame) => frame["update_id"] !== undefined && frame["type"] !== "stream_status";
    await wire.frame((frame) => isItem(frame) && frame["price"] === 3, from);
    const found = wire.frames.slice(from).filter(isItem);
    const id = operation === "stream_tickers" ? "symbol" : operation === "stream_orders" ? "order_id" : "bot_id";
    expect(new Set(found.map((frame) => frame[id]))).toEqual(new Set(["good", "last", ...oddNames]));
    expect(wire.frames.slice(from).filter(({ state }) => state === "stale")).toEqual([]);
    expect(await corruptValues()).toBeGreaterThanOrEqual(before + unreadable.length);
  }
  expect(({} as Frame)["polluted"]).toBeUndefined();
});

async function corruptValues(): Promise<number> {
  const { gateway } = (await other.ask("get_system_health")) as { gateway: { corrupt_values: number } };
  return gateway.corrupt_values;
}

/** Fills a key with so many entries, each made of its number `i`. */
async function fill(command: "HSET" | "RPUSH", key: string, count: number, made: string): Promise<void> {
  const one = command === "HSET" ? `'f' .. i, ${made}` : made;
  for (let at = 0; at < count; at += 10_000)
    await script(`for i = ${at}, ${at + 9_999} do redis.call('${command}', KEYS[1], ${one}) end`, key);
}

test("a hash of very many fields is read, one field and all of them, and nobody is lost over it", async () => {
  await fill("HSET", "order_status:x", many, `'{"status":"open","timestamp":1}'`);
  const one = { order_id: "f7", exchange: "x" };
  const found = await whilePinging("one field of very many", () => wire.ask("get_order_status", one));
  expect(found).toMatchObject({ order_id: "f7", status: "open" });
  expect(longestStall.get("one field of very many")).toBeLessThan(1_000);
  const what = `a hash of ${many} fields`;
  expect(await whilePinging(what, () => wire.ask("get_queue_length", { exchange: "x" }))).toBe(many);
  await redis.command(["DEL", "order_status:x"]);
  await fill("HSET", "order_status:y", 50_000, `'{"status":"open","timestamp":1}'`);
  const from = wire.frames.length;
  await whilePinging("a stream of a hash of 50000 fields", () => follow(wire, "stream_order_queue", { exchange: "y" }));
  expect(wire.frames.slice(from)).toContainEqual(expect.objectContaining({ exchange: "y", total: 50_000 }));
}, 90_000);

test("more processes are read than a command has room for", async () => {
  const count = 150_000;
  await fill("HSET", "process:active:x", count, "'1'");
  await redis.command(["SET", "process:data:f7", '{"status": "running"}']);
  const what = `${count} processes`;
  expect(await whilePinging(what, () => wire.ask("get_active_processes"))).toMatchObject([{ process_id: "f7" }]);
}, 60_000);

test("a list to which very many entries are pushed at once is followed on, and of a long one the end is read", async () => {
  await follow(wire, "stream_trade_updates", { exchange: "x", symbol: "A" });
  await follow(wire, "stream_ohlcv", { symbol: "A", timeframe: "1m" });
  const pushed = 200_000;
  await redis.command(["RPUSH", "trades:x:A", '{"trade_id":-1}']);
  await wire.frame((frame) => frame["trade_id"] === -1);
  const push = (made: string) => `for i = 1, ${pushed} do redis.call('RPUSH', KEYS[1], ${made}) end`;
  await whilePinging(`${pushed} trades pushed at once`, async () => {
    await script(push(`'{"trade_id":' .. i .. '}'`), "trades:x:A");
    // The last alone: to look through all of them at each would take longer than to send them.
    await wire.until((all) => all.at(-1)?.["trade_id"] === pushed);
  });
  await script(push(`'[' .. i .. ',1,1,1,1,1]'`), "ohlcv:A:1m");
  await wire.frame((frame) => frame["type"] === "ohlcv_update" && frame["timestamp"] === pushed);
  await fill("RPUSH", "trades:y:A", many, `'{"trade_id":' .. i .. '}'`);
  const what = `the end of a list of ${many} entries`;
  const last = await whilePinging(what, () => wire.ask("get_trades", { exchange: "y", symbol: "A", limit: 10_000 }));
  expect((last as Frame[]).map(({ trade_id: id }) => id)).toEqual(
    Array.from({ length: 10_000 }, (_, at) => many - 10_000 + at),
  );
}, 60_000);
