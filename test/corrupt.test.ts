import { afterAll, beforeAll, expect, test } from "vitest";
import { answer, snapshot } from "./kit/answers.ts";
import { type Frame, startGateway, type TestGateway, type Wire } from "./kit/gateway.ts";
import { startProxy } from "./kit/proxy.ts";
import { fixtureNowMs } from "./kit/redis.ts";

type Json = Record<string, unknown>;

const now = fixtureNowMs / 1000;

let gateway: TestGateway;
let wire: Wire;

beforeAll(async () => {
  // Without the near cache, so that whatever is asked is read.
  gateway = await startGateway({ now: () => now, nearCacheBytes: 0 });
  await gateway.redis.replay("commands");
  await gateway.redis.replay("corrupt");
  wire = await gateway.wire();
});

afterAll(() => gateway[Symbol.asyncDispose]());

const set = (key: string, field: string, text: string) => gateway.redis.admin.hSet(key, field, text);

async function corruptValues(): Promise<number> {
  const { gateway: summary } = (await answer(wire, "get_system_health")) as { gateway: { corrupt_values: number } };
  return summary.corrupt_values;
}

/** How many values `ask` had to leave out; what the health itself leaves out does not count. */
async function leftOut(ask: () => Promise<unknown>): Promise<number> {
  const first = await corruptValues();
  const ofHealth = (await corruptValues()) - first;
  await ask();
  return (await corruptValues()) - first - 2 * ofHealth;
}

/** The lines of the log about values of a key that were left out: their fields. */
function logged(key: string): unknown[] {
  const left = gateway.lines.filter(({ msg }) => msg === "a cached value cannot be read and is left out");
  return left.filter((line) => line["key"] === key).map(({ field }) => field);
}

/** The second argument to HSET and the like: Python's JSON of one thing or another. */
const json = (value: unknown) => JSON.stringify(value);

const symbolsOf = (items: unknown) => (items as Json[]).map(({ symbol }) => symbol).sort();

const unreadable = ["BADJSON", "EMPTY", "LIST", "NULL", "STRING", "NUMBER", "TRUE", "BOOLPRICE", "BOM"].map(
  (name) => `${name}/USDT`,
);

test.each<[string, object, string, string?]>([
  ...unreadable.map((symbol): [string, object, string, string] => [
    "get_ticker",
    { exchange: "corrupt", symbol },
    "tickers:corrupt",
    symbol,
  ]),
  ["get_ticker", { exchange: "binance", symbol: "BADJSON/USDT" }, "tickers:binance", "BADJSON/USDT"],
  ["get_ticker", { exchange: "badutf8", symbol: "BYTES/USDT" }, "tickers:badutf8", "BYTES/USDT"],
  ...["BADJSON", "LIST", "NULL", "GARBAGE_NUM"].map((order_id): [string, object, string, string] => [
    "get_order_status",
    { order_id, exchange: "corrupt" },
    "order_status:corrupt",
    order_id,
  ]),
  ["get_order_status", { order_id: "GARBAGE_NUM" }, "order_status:corrupt", "GARBAGE_NUM"],
  ...["BROKEN", "LISTBOT", "NULLBOT", "STRBOT", "DEEP"].map((bot_id): [string, object, string, string] => [
    "get_bot_status",
    { bot_id },
    "bot_status",
    bot_id,
  ]),
  ...["500", "501", "502", "503", "505"].map((user_id): [string, object, string, string] => [
    "get_balance",
    { user_id },
    "accounts",
    user_id,
  ]),
  ...["500", "504", "508"].map((user_id): [string, object, string, string] => [
    "get_positions",
    { user_id },
    "account_positions",
    user_id,
  ]),
  ...["500", "504", "508"].map((user_id): [string, object, string, string] => [
    "stream_positions",
    { user_id },
    "account_positions",
    user_id,
  ]),
  ["is_opening_position", { exchange: "binance", symbol: "WEIRD/USDT" }, "opening_position", "binance:WEIRD/USDT"],
  ["get_trade_status", { trade_key: "corrupt" }, "TRADE:STATUS:corrupt"],
  ["get_process", { process_id: "tick:badjson:1" }, "process:data:tick:badjson:1"],
  ["get_process", { process_id: "tick:list:1" }, "process:data:tick:list:1"],
  ["get_process", { process_id: "tick:null:1" }, "process:data:tick:null:1"],
  // Keys of another type than fullon_cache writes.
  ["get_ticker", { exchange: "wrongtype", symbol: "A" }, "tickers:wrongtype"],
  ["get_all_tickers", { exchange: "wrongtype" }, "tickers:wrongtype"],
  ["stream_tickers", { exchange: "wrongtype" }, "tickers:wrongtype"],
  ["stream_tickers", { exchange: "wrongtype", symbols: ["A", "B"] }, "tickers:wrongtype"],
  ["get_orders", { exchange: "wrongtype" }, "order_status:wrongtype"],
  ["get_order_status", { order_id: "A", exchange: "wrongtype" }, "order_status:wrongtype"],
  ["get_queue_length", { exchange: "wrongtype" }, "order_status:wrongtype"],
  ["stream_orders", { exchange: "wrongtype" }, "order_status:wrongtype"],
  ["stream_order_queue", { exchange: "wrongtype" }, "order_status:wrongtype"],
  ["get_trades", { symbol: "BAD/USDT", exchange: "binance" }, "trades:binance:BADUSDT"],
  ["stream_trade_updates", { symbol: "BAD/USDT", exchange: "binance" }, "trades:binance:BADUSDT"],
  ["get_user_trades", { user_id: 9, exchange: "binance" }, "user_trades:9:binance"],
  ["get_latest_ohlcv_bars", { symbol: "WRONGTYPE/USDT", timeframe: "1m" }, "ohlcv:WRONGTYPE/USDT:1m"],
  ["stream_ohlcv", { symbol: "WRONGTYPE/USDT", timeframe: "1m" }, "ohlcv:WRONGTYPE/USDT:1m"],
  ["get_active_processes", { process_type: "crawler_wrongtype" }, "process:active:crawler_wrongtype"],
])("%s %j is DATA_CORRUPT and names %s %s", async (operation, params, key, field) => {
  const { request_id: _, error, ...refused } = await wire.request(operation, params);
  expect(refused).toEqual({
    success: false,
    error_code: "DATA_CORRUPT",
    retryable: false,
    details: field === undefined ? { key } : { key, field },
  });
  expect(error).toContain(
    field === undefined ? `the value at ${key} ` : `the value at ${key} ${field} cannot be read: `,
  );
});

test("a refused stream leaves nothing behind", async () => {
  expect(await answer(wire, "list_streams")).toEqual([]);
  expect(await answer(wire, "get_system_health")).toMatchObject({ gateway: { streams: 0, topics: 0 } });
});

test("among tickers those that cannot be read are left out, counted every time and logged once", async () => {
  const all = (await gateway.redis.admin.hKeys("tickers:corrupt")).filter((symbol) => !unreadable.includes(symbol));
  const ask = async () => {
    expect(symbolsOf(await answer(wire, "get_all_tickers", { exchange: "corrupt" }))).toEqual(all.sort());
  };
  expect(await leftOut(ask)).toBe(unreadable.length);
  expect(await leftOut(ask)).toBe(unreadable.length);
  expect(
    await leftOut(async () => {
      const { items } = await snapshot(wire, "stream_tickers", { exchange: "corrupt" });
      expect(symbolsOf(items)).toEqual(all.sort());
    }),
  ).toBe(unreadable.length);
  expect(logged("tickers:corrupt").sort()).toEqual(unreadable.sort());
  const line = gateway.lines.find(({ field }) => field === "LIST/USDT");
  expect(line).toMatchObject({ level: 40, reason: expect.stringContaining("it is not an object") });
});

test.each<[string, Json]>([
  ["NAN/USDT", { price: null, volume: null, bid: 0.9, timestamp: 1795328000.5 }],
  ["INF/USDT", { price: null, volume: null, bid: null, ask: 1.1 }],
  ["NOPRICE/USDT", { price: null, volume: 1 }],
  ["NOTIME/USDT", { price: 2, timestamp: null }],
  ["NULLPRICE/USDT", { price: null, bid: 0.9 }],
  ["NULLTIME/USDT", { price: 1, timestamp: null }],
  ["NULLBID/USDT", { bid: null, ask: null, last: 1 }],
  ["STRPRICE/USDT", { price: 50000.5 }],
  ["STRVOL/USDT", { volume: 12.5, bid: 0.9, ask: 1.1 }],
  ["NEGPRICE/USDT", { price: -5 }],
  ["ISOTIME/USDT", { timestamp: 1795327200 }],
  ["MISMATCH/USDT", { exchange: "corrupt", symbol: "MISMATCH/USDT" }],
  ["EXTRA/USDT", { change_24h: 3.5, high: 9, surprise: { a: [1] } }],
  ["HUGEINT/USDT", { price: 1.2345678901234568e29, volume: null, timestamp: 1 }],
  ["DUPKEY/USDT", { price: 2 }],
  ["LONE\\uD800/USDT", { note: "\ud800 lone surrogate" }],
  ["NUL\0BYTE", { price: 1 }],
  ["__proto__", { symbol: "__proto__", price: 1 }],
  ["constructor", { symbol: "constructor", price: 1 }],
])("the odd ticker %j is read as far as it can be", async (symbol, expected) => {
  const ticker = await answer(wire, "get_ticker", { exchange: "corrupt", symbol });
  expect(ticker).toMatchObject(expected);
  expect((await snapshot(wire, "stream_tickers", { exchange: "corrupt", symbols: [symbol] })).items).toEqual([ticker]);
});

test("exchanges are those whose tickers are a hash", async () => {
  expect(await answer(wire, "get_exchanges")).toEqual(["badutf8", "binance", "bitmex", "corrupt", "kraken"]);
});

test.each<[string, Json]>([
  [
    "STRNUM",
    { volume: 1.5, final_volume: 0.5, price: 10.25, timestamp: 1795327200.123456, stored_exchange: "binance" },
  ],
  ["BADTS", { timestamp: null, status: "open" }],
  ["NUMTS", { timestamp: 1795328000.5 }],
  ["SPACETS", { timestamp: 1795327200.123 }],
  ["ZTS", { timestamp: 1795327200 }],
  ["NAN", { volume: null, price: null }],
  ["NOID", { order_id: "NOID", exchange: "corrupt", status: null, side: null, volume: 1 }],
  ["__proto__", { order_id: "__proto__" }],
  ["HUGE", { order_id: "HUGE", status: "open" }],
])("the odd order %j is read as far as it can be", async (order_id, expected) => {
  expect(await answer(wire, "get_order_status", { order_id })).toMatchObject(expected);
});

test("among orders those that cannot be read are left out and counted, also in the queue", async () => {
  const there = ["BADTS", "FINE", "HUGE", "NAN", "NOID", "NUMTS", "SPACETS", "STRNUM", "ZTS", "__proto__"];
  const queue = { queue_length: 10, total: 10, by_status: { open: 9, unknown: 1 } };
  const ids = (orders: unknown) => (orders as Json[]).map(({ order_id }) => order_id).sort();
  const exchange = "corrupt";
  expect(await leftOut(async () => expect(ids(await answer(wire, "get_orders", { exchange }))).toEqual(there))).toBe(4);
  expect(await leftOut(async () => expect(await answer(wire, "get_queue_length", { exchange })).toBe(10))).toBe(4);
  expect(ids((await snapshot(wire, "stream_orders", { exchange })).items)).toEqual(there);
  expect((await snapshot(wire, "stream_order_queue", { exchange })).items).toMatchObject([queue]);
  expect(logged("order_status:corrupt").sort()).toEqual(["BADJSON", "GARBAGE_NUM", "LIST", "NULL"]);
});

test("among bots those that cannot be read are left out and counted; names are only names", async () => {
  const found = (await answer(wire, "get_bots")) as Json[];
  expect(await leftOut(() => answer(wire, "get_bots"))).toBe(5);
  const odd = ["", "NANBOT", "PROTOFEED", "__proto__", "constructor"];
  expect(found.map(({ bot_id }) => bot_id).sort()).toEqual(
    ["", "1", "2", "3", "4", "5", "6", "BOT_X", ...odd.slice(1)].sort(),
  );
  expect(await answer(wire, "get_bot_status", { bot_id: "NANBOT" })).toMatchObject({
    feeds: { feed_1: { status: "running", pnl: null, max: null } },
  });
  for (const bot_id of ["__proto__", "constructor"])
    expect(await answer(wire, "get_bot_status", { bot_id })).toMatchObject({ bot_id, status: "running" });
  const { feeds, status } = (await answer(wire, "get_bot_status", { bot_id: "PROTOFEED" })) as {
    feeds: Json;
    status: string;
  };
  expect(Object.entries(feeds)).toEqual([
    ["__proto__", { status: "running" }],
    ["toString", { status: "x" }],
  ]);
  expect(status).toBe("running");
});

test("blocks whose field says neither exchange nor symbol are left out, and an empty bot blocks nothing", async () => {
  const blocks = (await answer(wire, "get_blocks")) as Json[];
  expect(blocks).toHaveLength(6);
  expect(await leftOut(() => answer(wire, "get_blocks"))).toBe(1);
  expect(logged("block_exchange")).toEqual(["nocolon"]);
  expect(await answer(wire, "is_blocked", { exchange: "binance", symbol: "EMPTY/USDT" })).toMatchObject({
    is_blocked: false,
    blocked_by: null,
  });
});

test("balances that are no numbers are null, and a currency may be called anything", async () => {
  expect(await answer(wire, "get_balance", { user_id: 504 })).toMatchObject({
    balances: { USDT: { total: null, available: null, reserved: null } },
    timestamp: null,
  });
  for (const params of [{ user_id: 506 }, { user_id: 506, currency: "__proto__" }]) {
    const { balances } = (await answer(wire, "get_balance", params)) as { balances: Json };
    expect(Object.entries(balances)).toEqual([["__proto__", { total: 1, available: 1, reserved: 0 }]]);
  }
});

test("what a balance does not say is worked out from what it says", async () => {
  const stored = {
    USED: { total: 5, used: 2 },
    RESERVED: { balance: 5, reserved: 1 },
    FREE: { free: 3 },
    MORE: { total: 1, available: 1.5 },
    NONE: null,
  };
  await set("accounts", "700", json(stored));
  expect(await answer(wire, "get_balance", { user_id: 700 })).toMatchObject({
    balances: {
      USED: { total: 5, available: 3, reserved: 2 },
      RESERVED: { total: 5, available: 4, reserved: 1 },
      FREE: { total: null, available: 3, reserved: null },
      MORE: { total: 1, available: 1.5, reserved: 0 },
      NONE: { total: null, available: null, reserved: null },
    },
  });
});

test.each([
  ["idle", { a: { status: "idle" }, b: { status: "idle" } }],
  ["mixed", { a: { status: "idle" }, b: { status: "paused" } }],
  ["mixed", { a: { status: "idle" }, b: {} }],
  ["running", { a: { status: "idle" }, b: { status: "running" } }],
  ["error", { a: { status: "running" }, b: { status: "error" } }],
  ["unknown", { a: {}, b: { status: 7 } }],
  ["unknown", { a: 1 }],
  ["resting", { status: "resting", a: { status: "error" } }],
])("a bot is %s that says %j", async (status, stored) => {
  await set("bot_status", "ASKED", json(stored));
  expect(await answer(wire, "get_bot_status", { bot_id: "ASKED" })).toMatchObject({ status });
  await gateway.redis.admin.hDel("bot_status", "ASKED");
});

test("of an order on several exchanges one whose time can be read goes before one whose cannot", async () => {
  const order = (timestamp: unknown) => json({ status: "open", timestamp });
  await set("order_status:several-1", "SEVERAL", order("not a date"));
  await set("order_status:several-2", "SEVERAL", order("2026-11-22T07:00:00+00:00"));
  await set("order_status:several-3", "SEVERAL", order(null));
  expect(await answer(wire, "get_order_status", { order_id: "SEVERAL" })).toMatchObject({ exchange: "several-2" });
});

test("a process of which only the id is known is of the type that the id begins with", async () => {
  const types: unknown[] = [];
  for (const process_id of ["tick:a:b:1", "tick", ":1"]) {
    await gateway.redis.admin.set(`process:data:${process_id}`, "{}");
    types.push(await answer(wire, "get_process", { process_id }));
  }
  expect(types).toMatchObject([{ process_type: "tick" }, { process_type: null }, { process_type: null }]);
});

test.each<[string, Json[]]>([
  ["501", []],
  ["502", [{ symbol: "BTC/USDT", volume: -0.5, cost: -10, timestamp: 1795328000.5 }]],
  ["503", [{ symbol: "BTC/USDT", volume: 1, cost: null, timestamp: null }]],
  ["505", [{ symbol: "BTC/USDT", volume: null, price: null, cost: 1, timestamp: null }]],
  ["506", [{ symbol: "BTC/USDT", volume: null, price: null, cost: null, timestamp: null }]],
  ["507", [{ symbol: "__proto__", volume: 1, timestamp: 1 }]],
])("the odd positions of account %s are read as far as they can be", async (user_id, expected) => {
  const positions = (await answer(wire, "get_positions", { user_id })) as Json[];
  expect(positions).toHaveLength(expected.length);
  expect(positions).toMatchObject(expected);
  expect((await snapshot(wire, "stream_positions", { user_id })).items).toEqual(positions);
});

test("among positions one that cannot be read is left out and counted", async () => {
  expect(await leftOut(() => answer(wire, "get_positions", { user_id: "501" }))).toBe(1);
  expect(logged("account_positions")).toEqual(["501"]);
});

test("among trades those that cannot be read are left out and counted, alone and among all of an exchange", async () => {
  const params = { symbol: "MIXED/USDT", exchange: "binance" };
  const trades = (await answer(wire, "get_trades", params)) as Json[];
  expect(trades).toMatchObject([
    { trade_id: 1, volume: 1, price: 2, timestamp: 1795328000.25 },
    { trade_id: 2, volume: null },
    { trade_id: 3, volume: null, price: null, timestamp: 1795328001 },
    { trade_id: null, symbol: "MIXED/USDT", volume: null, timestamp: null },
  ]);
  expect(await leftOut(() => answer(wire, "get_trades", params))).toBe(3);
  expect((await snapshot(wire, "stream_trade_updates", params)).items).toEqual(trades);
  const { items } = await snapshot(wire, "stream_trade_updates", { exchange: "binance" });
  expect(items.filter((item) => item["symbol"] === "MIXED/USDT")).toEqual(trades.slice(0, 3));
  expect(items).toHaveLength(61 + 4);
});

test("among bars those that cannot be read are left out and counted", async () => {
  const symbol = "CORRUPT/USDT";
  const bars = await answer(wire, "get_latest_ohlcv_bars", { symbol, timeframe: "1m" });
  expect(bars).toEqual([
    [1795327800, 1, 2, 0.5, 1.5, 10],
    [1795327860, 1, 2, 0.5, 1.5, 10],
    [1795327920, null, 2, 0.5, 1.5, 10],
    [1795327980, null, null, 0.5, 1.5, 10],
    [1795328040, 1, 2, 0.5, 1.5, 10],
    [1795328160, 1.1, 2.1, 0.6, 1.6, 11],
  ]);
  expect(await leftOut(() => answer(wire, "get_latest_ohlcv_bars", { symbol, timeframe: "1m" }))).toBe(5);
  const { items } = await snapshot(wire, "stream_ohlcv", { symbol, timeframe: "1m" });
  expect(items.map((bar) => ["timestamp", "open", "high", "low", "close", "volume"].map((name) => bar[name]))).toEqual(
    bars,
  );
  expect(await answer(wire, "get_latest_ohlcv_bars", { symbol: "LASTBAD/USDT", timeframe: "1m", count: 1 })).toEqual([
    [1795327800, 1, 2, 0.5, 1.5, 10],
  ]);
});

test("processes without readable times are stale, those without data are none, and corrupt ones are left out", async () => {
  const before = await corruptValues();
  const processes = (await answer(wire, "get_active_processes")) as Json[];
  expect(processes).toHaveLength(23);
  expect(processes.slice(-2)).toMatchObject([
    { process_id: "bot:badts:1", stale: true, heartbeat_age: null, timestamp: null, status: "running" },
    { process_id: "tick:nostatus:1", stale: true, process_type: "tick", component: null, status: null },
  ]);
  expect(await corruptValues()).toBe(before + 2 * 3);
  expect(await answer(wire, "get_active_processes", { process_type: "tick", since_minutes: 5 })).toHaveLength(5);
  const health = (await answer(wire, "get_system_health")) as Json;
  expect(health).toMatchObject({ total_processes: 23, stale_processes: 5, by_status: { unknown: 1 } });
  const { redis: _, gateway: __, ...ofProcesses } = health;
  expect((await snapshot(wire, "stream_process_health", {})).items).toEqual([ofProcesses]);
  expect(await wire.request("get_component_status", { component: "dangling" })).toMatchObject({
    error_code: "PROCESS_NOT_FOUND",
  });
});

/** Opens a stream of its own connection, and gives its later updates. */
async function follow(operation: string, params: object) {
  const client = await gateway.wire();
  const { topics } = (await client.ask(operation, params)) as { topics: [string] };
  const [topic] = topics;
  await client.frame((frame) => frame["type"] === "stream_status" && frame["topic"] === topic);
  const from = client.frames.length;
  const later = () => client.frames.slice(from).filter((frame) => frame["topic"] === topic);
  return { client, later, next: (fits: (frame: Frame) => boolean) => client.frame(fits, from) };
}

test.each<[string, object, string, string, object]>([
  ["stream_tickers", { exchange: "mended" }, "tickers:mended", "A/B", { exchange: "mended", symbol: "A/B" }],
  [
    "stream_tickers",
    { exchange: "mend", symbols: ["A/B"] },
    "tickers:mend",
    "A/B",
    { exchange: "mend", symbol: "A/B" },
  ],
  ["stream_bot_status", {}, "bot_status", "MENDED", { bot_id: "MENDED" }],
  ["stream_bot_status", { bot_id: "MEND" }, "bot_status", "MEND", { bot_id: "MEND" }],
  ["stream_orders", { exchange: "mended" }, "order_status:mended", "O-1", { exchange: "mended", order_id: "O-1" }],
])(
  "in %s %j a value that becomes corrupt is removed, and comes back when it is mended",
  async (operation, params, key, field, id) => {
    await set(key, field, json({ status: "open", price: 1 }));
    const { later, next } = await follow(operation, params);
    await set(key, field, '{"status": ');
    const gone = await next((frame) => frame["removed"] === true);
    expect(gone).toEqual({
      type: gone["type"],
      topic: gone["topic"],
      ...id,
      removed: true,
      update_id: gone["update_id"],
    });
    await set(key, field, json({ status: "open", price: 2 }));
    await next((frame) => frame["update_id"] === (gone["update_id"] as number) + 1);
    const [first, second, ...more] = later();
    expect([first, more]).toEqual([gone, []]);
    expect(second).toMatchObject({ ...id, price: 2 });
    expect(second).not.toHaveProperty("removed");
    expect(logged(key)).toContain(field);
  },
);

test("positions that cannot be read at all make their stream stale, not empty, until they are mended", async () => {
  const position = (volume: number) => ({ volume, price: 1, timestamp: 1 });
  await set("account_positions", "600", json({ "A/B": position(1), "C/D": position(1) }));
  const { later, next } = await follow("stream_positions", { user_id: "600" });
  await set("account_positions", "600", json({ "A/B": 5, "C/D": position(1) }));
  expect(await next((frame) => frame["removed"] === true)).toMatchObject({ symbol: "A/B" });
  await set("account_positions", "600", "not json");
  expect(await next((frame) => frame["state"] === "stale")).toMatchObject({ error_code: "DATA_CORRUPT", since: now });
  await set("account_positions", "600", json({ "A/B": position(2), "C/D": position(1) }));
  await next((frame) => frame["state"] === "live");
  expect(later().map(({ symbol, volume, removed, state }) => [state ?? symbol, removed ?? volume])).toEqual([
    ["A/B", true],
    ["stale", undefined],
    ["A/B", 2],
    ["live", undefined],
  ]);
});

test("the time of the whole account does not make a position another", async () => {
  const positions = (date: string, volume: number) =>
    json({ "A/B": { volume: 1, timestamp: 5 }, "C/D": { volume }, timestamp: date });
  await set("account_positions", "601", positions("2026-11-22T07:00:00+00:00", 1));
  const { later, next } = await follow("stream_positions", { user_id: "601" });
  await set("account_positions", "601", positions("2026-11-22T07:00:01+00:00", 2));
  expect(await next((frame) => frame["volume"] === 2)).toMatchObject({ symbol: "C/D", timestamp: 1795330801 });
  expect(later()).toHaveLength(1);
});

test("rubbish on a ticker's channel is nothing that a subscriber notices", async () => {
  const key = "tickers:binance";
  const channel = "ticker_updates:binance:BTC/USDT";
  const { admin } = gateway.redis;
  const one = await follow("stream_tickers", { exchange: "binance", symbols: ["BTC/USDT"] });
  const all = await follow("stream_tickers", { exchange: "binance" });
  const good = JSON.parse((await admin.hGet(key, "BTC/USDT")) as string);
  const rubbish = ["not json", "", "null", "[1, 2]", "42", '{"price": 1}', json({ ...good, price: null })];
  const wrong = [{ symbol: "OTHER/EUR" }, { exchange: "kraken" }, { time: "never" }, { price: "abc" }, { price: {} }];
  const nan = json(good).replace(/"price":[\d.]+/, '"price": NaN');
  for (const text of [...rubbish, nan, ...wrong.map((odd) => json({ ...good, ...odd }))])
    await admin.publish(channel, text);
  await admin.publish("ticker_updates:", json(good));
  await admin.publish("ticker_updates:binance", json(good));
  await set(key, "BTC/USDT", json({ ...good, price: 1 }));
  await admin.publish(channel, json({ ...good, price: 1 }));
  for (const { later, next } of [one, all]) {
    await next(({ price }) => price === 1);
    expect(later().map(({ symbol, price }) => [symbol, price])).toEqual([["BTC/USDT", 1]]);
  }
});

test("a published ticker that was never written gives way to what Redis holds", async () => {
  const key = "tickers:binance";
  const one = await follow("stream_tickers", { exchange: "binance", symbols: ["ETH/USDT"] });
  const all = await follow("stream_tickers", { exchange: "binance" });
  const good = JSON.parse((await gateway.redis.admin.hGet(key, "ETH/USDT")) as string);
  await gateway.redis.admin.publish("ticker_updates:binance:ETH/USDT", json({ ...good, price: 4 }));
  for (const { client, later } of [one, all])
    await client.until(() => later().length >= 2 && later().at(-1)?.["price"] === good.price);
});

test("a key of the wrong type among many is left out of a stream of them all, which stays live", async () => {
  const { admin } = gateway.redis;
  await admin.rPush("trades:many:AUSDT", json({ trade_id: 1 }));
  await admin.hSet("process:active:many", "many:1:1", "x");
  await admin.set("process:data:many:1:1", json({ status: "running", heartbeat: now }));
  const trades = await follow("stream_trade_updates", { exchange: "many" });
  const health = await follow("stream_process_health", {});
  await admin.set("trades:many:BUSDT", "a string");
  await admin.set("trades:many:AUSDT", "a string");
  await admin.rPush("trades:many:CUSDT", json({ trade_id: 2 }));
  expect(await trades.next(({ trade_id }) => trade_id !== undefined)).toMatchObject({ symbol: "CUSDT", trade_id: 2 });
  await admin.set("process:active:many", "a string");
  const { by_type } = (await health.next(({ by_type: types }) => types !== undefined)) as { by_type: Json };
  expect(by_type).not.toHaveProperty("many");
  await expect.poll(() => logged("trades:many:AUSDT")).toEqual([undefined]);
  expect(logged("process:active:many")).toEqual([undefined]);
  for (const { later } of [trades, health]) expect(later().filter(({ type }) => type === "stream_status")).toEqual([]);
  await admin.del(["trades:many:AUSDT", "process:active:many"]);
});

test("where Redis cannot say which keys have the right type, those of the wrong one are left out all the same", async () => {
  await using proxy = await startProxy(gateway.redis.port, { unknownCommands: ["HELLO", "CLIENT TRACKING"] });
  const address = proxy.through(gateway.redis.gatewayUrl);
  await using old = await startGateway({ to: gateway.redis, redis: address, now: () => now, pollMs: 20 });
  const client = await old.wire();
  expect(await answer(client, "get_server_info")).toMatchObject({ redis: { change_detection: "timed" } });
  expect(await answer(client, "get_order_status", { order_id: "FINE" })).toMatchObject({ exchange: "corrupt" });
  expect(await answer(client, "get_system_health")).toMatchObject({ total_processes: 23 });
  expect((await snapshot(client, "stream_trade_updates", { exchange: "binance" })).items).toHaveLength(61 + 4);
  expect((await snapshot(client, "stream_process_health", {})).items).toMatchObject([{ total_processes: 23 }]);
  const left = new Set(old.lines.map((line) => line["key"]));
  for (const key of ["order_status:wrongtype", "process:active:crawler_wrongtype", "trades:binance:BADUSDT"])
    expect(left).toContain(key);
});

test("nothing of all that was a bug", () => {
  expect(gateway.lines.filter(({ level }) => (level as number) >= 50)).toEqual([]);
  expect(({} as Json)["status"]).toBeUndefined();
});
