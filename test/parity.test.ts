import { afterAll, beforeAll, expect, test } from "vitest";
import { operationsByWireName } from "../src/operations/index.ts";
import { answer, dataOf, type Snapshot, snapshot } from "./kit/answers.ts";
import { type Frame, startGateway, type TestGateway, type Wire } from "./kit/gateway.ts";
import { fixtureNowMs } from "./kit/redis.ts";
import { TestFile } from "./kit/tokens.ts";

type Json = Record<string, unknown>;

const now = fixtureNowMs / 1000;
const emoji = "Ünï 币/USDT 🚀";

let gateway: TestGateway;
let wire: Wire;
let before: Json;
const asked = new Set<string>();

beforeAll(async () => {
  gateway = await startGateway({ now: () => now });
  await gateway.redis.replay("commands");
  const { admin } = gateway.redis;
  // The same start again and again, out of order, and in other units: what fullon_cache permits, and this recording lacks.
  const start = 1_795_300_000;
  const repeated = Array.from({ length: 3_000 }, (_, at) => [start + 60 * Math.floor(at / 20), at, at, at, at, at]);
  await admin.rPush(
    "ohlcv:REPEATED/USDT:1m",
    repeated.map((bar) => JSON.stringify(bar)),
  );
  const odd = [
    [start + 120, 1],
    [(start + 60) * 1_000, 2],
    [start, 3],
    [start + 120, 4],
    [(start + 180) * 1e6, 5],
  ];
  await admin.rPush(
    "ohlcv:ODD/USDT:1m",
    odd.map(([at, n]) => JSON.stringify([at, n, n, n, n, n])),
  );
  const many = Array.from({ length: 2_500 }, (_, at) =>
    JSON.stringify({ trade_id: at, symbol: "MANY/USDT", time: at }),
  );
  await admin.rPush("trades:many:MANYUSDT", many);
  const order = (status: string, timestamp: string) => JSON.stringify({ status, timestamp });
  await admin.hSet("order_status:here", "TWICE", order("open", "2026-11-22T07:00:00+00:00"));
  await admin.hSet("order_status:there", "TWICE", order("closed", "2026-11-22T07:00:00.000001+00:00"));
  before = await everything();
  wire = await gateway.wire();
});

afterAll(() => gateway[Symbol.asyncDispose]());

/** All that Redis holds, read with all rights, and which keys will expire. */
async function everything(): Promise<Json> {
  const { admin } = gateway.redis;
  const keys = (await admin.keys("*")).sort();
  const held = keys.map(async (key): Promise<[string, unknown]> => {
    const expires = (await admin.pTTL(key)) > 0;
    const type = await admin.type(key);
    if (type === "hash") return [key, { expires, hash: Object.entries(await admin.hGetAll(key)).sort() }];
    if (type === "list") return [key, { expires, list: await admin.lRange(key, 0, -1) }];
    return [key, { expires, type, text: await admin.get(key) }];
  });
  return Object.fromEntries(await Promise.all(held));
}

function ask(operation: string, params?: object): Promise<unknown> {
  asked.add(operation);
  return answer(wire, operation, params);
}

function picture(operation: string, params: object): Promise<Snapshot> {
  asked.add(operation);
  return snapshot(wire, operation, params);
}

async function refusal(operation: string, params: object): Promise<unknown> {
  asked.add(operation);
  const { success, error_code, error } = await wire.request(operation, params);
  expect(success).toBe(false);
  return [error_code, error];
}

/** A hash in the order in which Redis gives it. */
async function fields(key: string): Promise<[string, string][]> {
  const [names, texts] = await Promise.all([gateway.redis.admin.hKeys(key), gateway.redis.admin.hVals(key)]);
  return names.map((name, at) => [name, texts[at] ?? ""]);
}

/** The same with its values parsed. */
async function hash(key: string): Promise<[string, Json][]> {
  return (await fields(key)).map(([field, text]) => [field, JSON.parse(text)]);
}

/** A list as it is, its entries parsed. */
async function list<T = Json>(key: string): Promise<T[]> {
  return (await gateway.redis.admin.lRange(key, 0, -1)).map((text) => JSON.parse(text));
}

/** Unix seconds of what Python's isoformat() gives in UTC. */
function unix(iso: string): number {
  const [, second, microseconds = "0"] = /^(.*?)(?:\.(\d+))?\+00:00$/.exec(iso) ?? [];
  return Number(`${Date.parse(`${second}Z`) / 1000}.${microseconds}`);
}

/** In an order of its own, for what has none: the fields of a hash come in any. */
function sorted(values: unknown): Json[] {
  const identity = ({ exchange, symbol, order_id, bot_id }: Json) =>
    JSON.stringify([exchange, symbol, order_id, bot_id]);
  return (values as Json[]).toSorted((a, b) => (identity(a) < identity(b) ? -1 : 1));
}

const pick = (from: Json, names: readonly string[]) => Object.fromEntries(names.map((name) => [name, from[name]]));

const exchanges = ["binance", "bitmex", "kraken"];

async function tickersOf(exchange: string): Promise<Json[]> {
  return (await hash(`tickers:${exchange}`)).map(([symbol, { time, ...stored }]) => ({
    ...stored,
    exchange,
    symbol,
    timestamp: time,
  }));
}

test("exchanges are those that have tickers", async () => {
  expect(await ask("get_exchanges")).toEqual(exchanges);
});

test.each(exchanges)("every ticker of %s is what Redis holds, alone and among all", async (exchange) => {
  const expected = await tickersOf(exchange);
  expect(expected).toHaveLength(12);
  expect(sorted(await ask("get_all_tickers", { exchange }))).toEqual(sorted(expected));
  for (const ticker of expected)
    expect(await ask("get_ticker", { exchange, symbol: ticker["symbol"] })).toEqual(ticker);
});

test("an exchange or a symbol that has no ticker is told apart from one that has", async () => {
  expect(await ask("get_all_tickers", { exchange: "oldex" })).toEqual([]);
  expect(await refusal("get_ticker", { exchange: "binance", symbol: "AAA/USD" })).toEqual([
    "TICKER_NOT_FOUND",
    "no ticker for AAA/USD on binance",
  ]);
  expect(await refusal("get_ticker", { exchange: "Binance", symbol: "BTC/USDT" })).toEqual([
    "TICKER_NOT_FOUND",
    "no ticker for BTC/USDT on Binance",
  ]);
});

test.each(exchanges)(
  "a stream of the tickers of %s begins with what the queries answer, either way",
  async (exchange) => {
    const expected = (await ask("get_all_tickers", { exchange })) as Json[];
    const whole = await picture("stream_tickers", { exchange });
    expect(whole.topics).toEqual([`tickers:${exchange}`]);
    expect(sorted(whole.items)).toEqual(sorted(expected));
    const symbols = expected.map(({ symbol }) => symbol as string);
    const single = await picture("stream_tickers", { exchange, symbols: [...symbols, ...symbols, "NOT/THERE"] });
    expect(single.topics).toHaveLength(13);
    expect(sorted(single.items)).toEqual(sorted(expected));
  },
);

const positionTime = (value: unknown) => (typeof value === "string" ? unix(value) : value);

async function positionsOf(exId: string, userId = exId, exchange: string | null = null): Promise<Json[]> {
  const stored = (await hash("account_positions")).find(([field]) => field === exId)?.[1] ?? {};
  return Object.entries(stored)
    .filter(([symbol]) => symbol !== "timestamp")
    .map(([symbol, value]) => ({
      ...(value as Json),
      user_id: userId,
      exchange,
      symbol,
      timestamp: positionTime((value as Json)["timestamp"]),
    }));
}

test.each(["1", "2", "3", "abc"])(
  "the positions of account %s are what Redis holds, asked once or streamed",
  async (id) => {
    const expected = await positionsOf(id);
    expect(expected.length).toBeGreaterThan(0);
    expect(await ask("get_positions", { user_id: id })).toEqual(expected);
    expect(await ask("get_positions", { user_id: "anybody", exchange: id })).toEqual(
      id === "abc" ? [] : expected.map((one) => ({ ...one, user_id: "anybody", exchange: id })),
    );
    const { items, topics } = await picture("stream_positions", { user_id: id, exchange: "binance" });
    expect(topics).toEqual([`position:${id}:binance`]);
    expect(sorted(items)).toEqual(sorted(expected.map((one) => ({ ...one, exchange: "binance" }))));
  },
);

test("an account without positions has none; positions of no volume stay", async () => {
  expect(await ask("get_positions", { user_id: "99" })).toEqual([]);
  expect((await picture("stream_positions", { user_id: "99" })).items).toEqual([]);
  expect(await ask("get_positions", { user_id: 1 })).toContainEqual(
    expect.objectContaining({ symbol: "ADA/USDT", volume: 0, price: 0, user_id: "1" }),
  );
  expect(await ask("get_positions", { user_id: "1" })).toContainEqual(
    expect.objectContaining({ symbol: emoji, cost: 10 }),
  );
});

test("balances have one shape, whichever a writer chose", async () => {
  const first = {
    user_id: "1",
    exchange: null,
    balances: {
      USDT: { total: 10000, available: 8500, reserved: 1500 },
      BTC: { total: 0.5, available: 0.5, reserved: 0 },
      ETH: { total: 0, available: 0, reserved: 0 },
    },
    timestamp: unix("2026-11-22T07:02:36.797154+00:00"),
  };
  expect(await ask("get_balance", { user_id: "1" })).toEqual(first);
  expect(await ask("get_balance", { user_id: 1 })).toEqual(first);
  expect(await ask("get_balance", { user_id: 1, exchange: "kraken" })).toEqual({ ...first, exchange: "kraken" });
  expect(await ask("get_balance", { user_id: "x", exchange: "1" })).toEqual({ ...first, user_id: "x", exchange: "1" });
  expect(await ask("get_balance", { user_id: "2" })).toMatchObject({
    balances: {
      BTC: { total: 1.5, available: 1.2, reserved: 0.3 },
      USDT: { total: 10000, available: 8500, reserved: 1500 },
    },
  });
  expect(await ask("get_balance", { user_id: "3" })).toMatchObject({
    balances: {
      ETH: { total: 20, available: null, reserved: null },
      NEG: { total: 5, available: 7, reserved: 0 },
      EMPTY: { total: null, available: null, reserved: null },
      STR: { total: 1000.5, available: 900.25, reserved: 100.25 },
      BOTH: { total: 42, available: 40, reserved: 2 },
      NULLS: { total: null, available: null, reserved: null },
      FULL: { total: 12.5, available: 10, reserved: 2.5, currency: "FULL", timestamp: 1795330956.810854 },
    },
  });
  expect(await ask("get_balance", { user_id: "5" })).toEqual({
    user_id: "5",
    exchange: null,
    balances: {},
    timestamp: unix("2026-11-22T07:02:36.851954+00:00"),
  });
  expect(await ask("get_balance", { user_id: "7" })).toMatchObject({ timestamp: unix("2024-01-15T10:30:00+00:00") });
});

test("one currency is that one alone, also where another of the account cannot be read", async () => {
  expect(await ask("get_balance", { user_id: "1", currency: "BTC" })).toMatchObject({
    balances: { BTC: { total: 0.5, available: 0.5, reserved: 0 } },
    timestamp: unix("2026-11-22T07:02:36.797154+00:00"),
  });
  expect(await ask("get_balance", { user_id: "4", currency: "XRP" })).toMatchObject({
    balances: { XRP: { total: 12.5, available: null, reserved: null } },
  });
  expect(await ask("get_balance", { user_id: "4", currency: "DOGE" })).toMatchObject({
    balances: { DOGE: { total: 7 } },
  });
  expect(await wire.request("get_balance", { user_id: "4" })).toMatchObject({
    error_code: "DATA_CORRUPT",
    details: { key: "accounts", field: "4" },
  });
  for (const currency of ["EUR", "date", "usdt", "__proto__"])
    expect(await refusal("get_balance", { user_id: "1", exchange: "binance", currency })).toEqual([
      "BALANCE_NOT_FOUND",
      `user 1 holds no ${currency} on binance`,
    ]);
  expect(await refusal("get_balance", { user_id: "6" })).toEqual(["BALANCE_NOT_FOUND", "no balance for user 6"]);
});

test("with a map, users have the accounts that it names and no others", async () => {
  const map = { 1001: { binance: 1, kraken: "2" }, 1002: { bitmex: 3 } };
  const accountsFile = new TestFile("accounts.json", map).path;
  await using mapped = await startGateway({ to: gateway.redis, accountsFile, now: () => now });
  const client = await mapped.wire();
  expect(await answer(client, "get_balance", { user_id: "1001", exchange: "kraken" })).toMatchObject({
    user_id: "1001",
    exchange: "kraken",
    balances: { BTC: { total: 1.5 } },
  });
  expect(await answer(client, "get_balance", { user_id: 1002 })).toMatchObject({ exchange: "bitmex" });
  expect(await client.request("get_balance", { user_id: "1001" })).toMatchObject({
    error_code: "INVALID_PARAMS",
    error: "user 1001 has accounts on binance, kraken: say which exchange",
    details: { path: "params.exchange" },
  });
  const both = [...(await positionsOf("1", "1001", "binance")), ...(await positionsOf("2", "1001", "kraken"))];
  expect(await answer(client, "get_positions", { user_id: "1001" })).toEqual(both);
  const { items, topics } = await snapshot(client, "stream_positions", { user_id: "1001" });
  expect(topics).toEqual(["position:1001:binance", "position:1001:kraken"]);
  expect(sorted(items)).toEqual(sorted(both));
  for (const params of [{ user_id: "1" }, { user_id: "1002", exchange: "binance" }, { user_id: "1001", exchange: "1" }])
    for (const operation of ["get_balance", "get_positions", "stream_positions"])
      expect(await client.request(operation, params)).toMatchObject({ error_code: "ACCOUNT_NOT_FOUND" });
});

async function ordersOf(exchange: string): Promise<Json[]> {
  return (await hash(`order_status:${exchange}`)).map(([id, { order_id, exchange: own, ...stored }]) => ({
    ...stored,
    order_id: id,
    exchange,
    timestamp: unix(stored["timestamp"] as string),
    ...(order_id !== id && { stored_order_id: order_id }),
    ...(own !== exchange && own !== null && { stored_exchange: own }),
  }));
}

const orderExchanges = ["binance", "kraken", "bitmex", "1"];
const final = ["closed", "filled", "canceled"];

test.each(orderExchanges)("every order of %s is what Redis holds, asked once or streamed", async (exchange) => {
  const expected = await ordersOf(exchange);
  expect(expected.length).toBeGreaterThan(0);
  expect(sorted(await ask("get_orders", { exchange }))).toEqual(sorted(expected));
  for (const order of expected) {
    expect(await ask("get_order_status", { order_id: order["order_id"], exchange })).toEqual(order);
    expect(await ask("get_order_status", { order_id: order["order_id"] })).toEqual(order);
  }
  for (const status of new Set(expected.map((order) => order["status"])))
    if (typeof status === "string")
      expect(sorted(await ask("get_orders", { exchange, status }))).toEqual(
        sorted(expected.filter((one) => one["status"] === status)),
      );
  const { items } = await picture("stream_orders", { exchange });
  expect(sorted(items)).toEqual(sorted(expected));
});

test.each(orderExchanges)(
  "the queue of %s counts the orders that are not final, asked once or streamed",
  async (exchange) => {
    const statuses = (await ordersOf(exchange)).map(({ status }) => (status ?? "unknown") as string);
    const waiting = statuses.filter((status) => !final.includes(status)).length;
    expect(await ask("get_queue_length", { exchange })).toBe(waiting);
    const byStatus: Record<string, number> = {};
    for (const status of statuses) byStatus[status] = (byStatus[status] ?? 0) + 1;
    expect((await picture("stream_order_queue", { exchange })).items).toEqual([
      { exchange, queue_length: waiting, total: statuses.length, by_status: byStatus, timestamp: now },
    ]);
  },
);

test("an order is known by the id that Redis keeps it under, and what it calls itself is passed on", async () => {
  const updated = {
    order_id: "EX_UPD",
    stored_order_id: 1008,
    status: "closed",
    final_volume: 0.1,
    exchange: "binance",
  };
  expect(await ask("get_order_status", { order_id: "EX_UPD", exchange: "binance" })).toMatchObject(updated);
  expect(await refusal("get_order_status", { order_id: "1008", exchange: "binance" })).toEqual([
    "ORDER_NOT_FOUND",
    "no order 1008 on binance",
  ]);
  const plain = (await ask("get_order_status", { order_id: 456, exchange: "binance" })) as Json;
  expect(plain).toMatchObject({ order_id: "456", ex_order_id: null, volume: 1500 });
  expect(plain).not.toHaveProperty("stored_order_id");
  expect(await ask("get_order_status", { order_id: "BY-EX-ID" })).toMatchObject({
    exchange: "1",
    stored_exchange: "binance",
  });
  expect(await ask("get_order_status", { order_id: emoji })).toMatchObject({ order_id: emoji, exchange: "binance" });
  expect(await ask("get_order_status", { order_id: "EX_MARKET" })).toMatchObject({ price: null, order_type: "market" });
  expect(await ask("get_order_status", { order_id: "EX_MINIMAL" })).toMatchObject({ status: null, symbol: null });
});

test("of an order that is on two exchanges the one that moved last is meant", async () => {
  expect(await ask("get_order_status", { order_id: "TWICE" })).toMatchObject({ exchange: "there", status: "closed" });
  expect(await ask("get_order_status", { order_id: "TWICE", exchange: "here" })).toMatchObject({ status: "open" });
  expect(await refusal("get_order_status", { order_id: "NOWHERE" })).toEqual([
    "ORDER_NOT_FOUND",
    "no order NOWHERE on any exchange",
  ]);
});

test("an exchange without orders has an empty queue", async () => {
  expect(await ask("get_orders", { exchange: "nowhere" })).toEqual([]);
  expect(await ask("get_orders", { exchange: "kraken", status: "new" })).toEqual([]);
  expect(await ask("get_queue_length", { exchange: "nowhere" })).toBe(0);
  expect((await picture("stream_order_queue", { exchange: "nowhere" })).items).toMatchObject([
    { queue_length: 0, total: 0, by_status: {} },
  ]);
  expect((await picture("stream_orders", { exchange: "nowhere" })).items).toEqual([]);
});

const botStatus: Record<string, string> = {
  "1": "running",
  "2": "running",
  "3": "running",
  "4": "running",
  "5": "unknown",
  "6": "running",
  BOT_X: "error",
};

async function allBots(): Promise<Json[]> {
  return (await hash("bot_status")).map(([id, stored]) => {
    const isFeed = (value: unknown): value is Json =>
      typeof value === "object" && value !== null && !Array.isArray(value);
    const members = Object.entries(stored);
    const feeds = members.flatMap(([name, value]): [string, Json][] =>
      isFeed(value) ? [[name, { ...value, timestamp: unix(value["timestamp"] as string) }]] : [],
    );
    const times = feeds.map(([, feed]) => feed["timestamp"] as number);
    return {
      ...Object.fromEntries(members.filter(([, value]) => !isFeed(value))),
      bot_id: id,
      status: botStatus[id],
      feeds: Object.fromEntries(feeds),
      timestamp: times.length === 0 ? null : Math.max(...times),
    };
  });
}

test("every bot is what Redis holds, asked alone, among all, or streamed", async () => {
  const expected = await allBots();
  expect(expected.map(({ bot_id }) => bot_id).sort()).toEqual(Object.keys(botStatus).sort());
  expect(sorted(await ask("get_bots"))).toEqual(sorted(expected));
  expect(sorted((await picture("stream_bot_status", {})).items)).toEqual(sorted(expected));
  for (const bot of expected) {
    const { bot_id } = bot;
    expect(await ask("get_bot_status", { bot_id })).toEqual(bot);
    expect((await picture("stream_bot_status", { bot_id })).items).toEqual([bot]);
  }
  expect(await ask("get_bot_status", { bot_id: 4 })).toMatchObject({
    feed_2: "invalid_value",
    feed_4: null,
    feed_5: [1, 2],
  });
  expect(await refusal("get_bot_status", { bot_id: 7 })).toEqual(["BOT_NOT_FOUND", "no bot 7"]);
  expect((await picture("stream_bot_status", { bot_id: 7 })).items).toEqual([]);
});

test("what is blocked is blocked by the bot that Redis names", async () => {
  const stored = await fields("block_exchange");
  expect(stored).toHaveLength(6);
  const expected = stored.map(([field, blocked_by]) => {
    const [exchange, ...symbol] = field.split(":");
    return { exchange, symbol: symbol.join(":"), is_blocked: true, blocked_by };
  });
  expect(sorted(await ask("get_blocks"))).toEqual(sorted(expected));
  for (const block of expected)
    expect(await ask("is_blocked", { exchange: block.exchange, symbol: block.symbol })).toEqual(block);
  expect(await ask("is_blocked", { exchange: "kraken", symbol: "SOL-USD" })).toEqual({
    exchange: "kraken",
    symbol: "SOL-USD",
    is_blocked: false,
    blocked_by: null,
  });
});

test.each([
  ["binance", "BTC/USDT", "1", "2026-11-22T07:02:37.372554+00:00"],
  ["bitmex", "BTC/USD:BTC", "6", "2026-11-22T07:02:37.386254+00:00"],
  ["2", "ETH/EUR", "BOT_X", "2026-11-22T07:02:37.399954+00:00"],
])("on %s %s the position is being opened by bot %s", async (exchange, symbol, bot_id, since) => {
  expect(await ask("is_opening_position", { exchange, symbol })).toEqual({
    exchange,
    symbol,
    is_opening: true,
    bot_id,
    since: unix(since),
  });
});

test("where no position is being opened, nobody opens it", async () => {
  expect(await ask("is_opening_position", { exchange: "binance", symbol: "ETH/USDT" })).toEqual({
    exchange: "binance",
    symbol: "ETH/USDT",
    is_opening: false,
    bot_id: null,
    since: null,
  });
});

function asTrade(exchange: string, { time, ...stored }: Json): Json {
  return { ...stored, exchange, timestamp: typeof time === "string" ? unix(time) : time };
}

const traded = [
  ["binance", "BTC/USDT", 40],
  ["binance", "ETH/USDT", 20],
  ["binance", emoji, 1],
  ["kraken", "BTC/USD", 6],
  ["kraken", "XBT.M/USD", 1],
  ["kraken", "DOT/USD", 1],
  ["bitmex", "BTC/USD:BTC", 2],
  ["bitmex", "ETH/USD:BTC", 1],
] as const;

test.each(traded)("the trades of %s %s are what Redis holds, and stay there", async (exchange, symbol, length) => {
  const key = `trades:${exchange}:${symbol.replaceAll("/", "")}`;
  const expected = (await list(key)).map((stored) => asTrade(exchange, stored));
  expect(expected).toHaveLength(length);
  expect(await ask("get_trades", { symbol, exchange })).toEqual(expected);
  expect(await ask("get_trades", { symbol, exchange, limit: 1 })).toEqual(expected.slice(-1));
  expect((await picture("stream_trade_updates", { exchange, symbol })).items).toEqual(expected);
  expect(await gateway.redis.admin.lLen(key)).toBe(length);
});

test.each(exchanges)(
  "a stream of all trades of %s begins with those of each symbol, in their order",
  async (exchange) => {
    const { items, topics } = await picture("stream_trade_updates", { exchange });
    expect(topics).toEqual([`trades:${exchange}`]);
    const symbols = traded.filter(([name]) => name === exchange).map(([, symbol]) => symbol);
    expect(new Set(items.map(({ symbol }) => symbol))).toEqual(new Set(symbols));
    for (const symbol of symbols)
      expect(items.filter((item) => item["symbol"] === symbol)).toEqual(await ask("get_trades", { symbol, exchange }));
  },
);

test("symbols that differ by slashes alone share their trades, each with the symbol that it names", async () => {
  const expected = await ask("get_trades", { exchange: "binance", symbol: "BTC/USDT" });
  expect(expected).toContainEqual(expect.objectContaining({ symbol: "BTC/USDT" }));
  for (const symbol of ["BTCUSDT", "B/TC/USDT", "/BTCUSDT/"]) {
    expect(await ask("get_trades", { exchange: "binance", symbol })).toEqual(expected);
    expect((await picture("stream_trade_updates", { exchange: "binance", symbol })).items).toEqual(expected);
  }
});

test("trades keep their ids, their nulls, and a time of any form", async () => {
  expect(await ask("get_trades", { exchange: "kraken", symbol: "XBT.M/USD" })).toMatchObject([
    { trade_id: "TX-STRING-ID" },
  ]);
  expect(await ask("get_trades", { exchange: "kraken", symbol: "DOT/USD" })).toMatchObject([
    { trade_id: 71, ex_trade_id: null, timestamp: null },
  ]);
  expect(await ask("get_trades", { exchange: "bitmex", symbol: "BTC/USD:BTC", limit: 1 })).toMatchObject([
    { timestamp: 1795330958, volume: 100 },
  ]);
});

test("of many trades the newest thousand come, unless more are asked for", async () => {
  const all = (await list("trades:many:MANYUSDT")).map((stored) => asTrade("many", stored));
  const partly = all.map((trade) => expect.objectContaining(trade));
  const params = { symbol: "MANY/USDT", exchange: "many" };
  expect(await ask("get_trades", params)).toEqual(partly.slice(-1_000));
  expect(await ask("get_trades", { ...params, limit: 10_000 })).toEqual(partly);
  expect((await picture("stream_trade_updates", params)).items).toEqual(partly.slice(-1_000));
  expect((await picture("stream_trade_updates", { exchange: "many" })).items).toEqual(partly.slice(-1_000));
});

test("an exchange or a symbol without trades has none", async () => {
  expect(await ask("get_trades", { exchange: "binance", symbol: "BNB/USDT" })).toEqual([]);
  expect((await picture("stream_trade_updates", { exchange: "nowhere" })).items).toEqual([]);
  expect((await picture("stream_trade_updates", { exchange: "nowhere", symbol: "A/B" })).items).toEqual([]);
});

test("trades were last pushed when Redis says so", async () => {
  for (const trade_key of exchanges) {
    const iso = await gateway.redis.admin.get(`TRADE:STATUS:${trade_key}`);
    expect(await ask("get_trade_status", { trade_key })).toEqual({ trade_key, timestamp: unix(iso as string) });
  }
  expect(await refusal("get_trade_status", { trade_key: "nowhere" })).toEqual([
    "TRADE_STATUS_NOT_FOUND",
    "no trade status for nowhere",
  ]);
});

test.each([
  ["1", "binance", 4],
  ["1", "kraken", 1],
  ["user_123", "bitmex", 1],
] as const)("the trades of user %s on %s are what Redis holds, and stay there", async (user_id, exchange, length) => {
  const key = `user_trades:${user_id}:${exchange}`;
  const expected = (await list(key)).map((stored) => asTrade(exchange, stored));
  expect(await ask("get_user_trades", { user_id, exchange })).toEqual(expected);
  expect(await ask("get_user_trades", { user_id, exchange, limit: 2 })).toEqual(expected.slice(-2));
  expect(await gateway.redis.admin.lLen(key)).toBe(length);
});

test("a user may be named by a number, and one without trades has none", async () => {
  expect(await ask("get_user_trades", { user_id: 1, exchange: "kraken" })).toHaveLength(1);
  expect(await ask("get_user_trades", { user_id: 2, exchange: "kraken" })).toEqual([]);
});

type Bar = [number, number, number, number, number, number];

/** The different bars of a list by their start; `unit`: what a second is in it. */
async function barsOf(key: string, unit: number): Promise<Bar[]> {
  return (await list<Bar>(key)).map(([at, ...rest]) => [at / unit, ...rest].slice(0, 6) as Bar);
}

const asUpdate =
  (symbol: string, timeframe: string) =>
  ([timestamp, open, high, low, close, volume]: Bar) => ({
    symbol,
    timeframe,
    timestamp,
    open,
    high,
    low,
    close,
    volume,
  });

test.each([
  ["BTC/USDT", "1m", 500, 1],
  ["BTC/USDT", "5m", 500, 1],
  ["BTC/USDT", "1h", 500, 1_000],
  ["BTC/USDT", "1d", 2, 1],
  ["BTCUSD", "1m", 500, 1],
  ["BTCUSD", "5m", 500, 1],
  ["BTCUSD", "1h", 500, 1_000],
  [emoji, "1m", 1, 1],
  ["PEPE/USDT", "1m", 1, 1],
])(
  "the bars of %s %s are what Redis holds, in seconds, asked once or streamed",
  async (symbol, timeframe, size, unit) => {
    const expected = await barsOf(`ohlcv:${symbol}:${timeframe}`, unit);
    expect(expected).toHaveLength(size);
    expect(await ask("get_latest_ohlcv_bars", { symbol, timeframe, count: 10_000 })).toEqual(expected);
    expect(await ask("get_latest_ohlcv_bars", { symbol, timeframe, count: 1 })).toEqual(expected.slice(-1));
    expect(await ask("get_latest_ohlcv_bars", { symbol, timeframe })).toEqual(expected.slice(-100));
    expect((await picture("stream_ohlcv", { symbol, timeframe })).items).toEqual(
      expected.slice(-100).map(asUpdate(symbol, timeframe)),
    );
  },
);

test("of bars with the same start the last one counts, however often they were written", async () => {
  const symbol = "REPEATED/USDT";
  const all = [...new Map((await barsOf(`ohlcv:${symbol}:1m`, 1)).map((bar) => [bar[0], bar])).values()];
  expect(all).toHaveLength(150);
  expect(await ask("get_latest_ohlcv_bars", { symbol, timeframe: "1m", count: 1_000 })).toEqual(all);
  for (const count of [1, 99, 100, 149])
    expect(await ask("get_latest_ohlcv_bars", { symbol, timeframe: "1m", count })).toEqual(all.slice(-count));
  expect((await picture("stream_ohlcv", { symbol, timeframe: "1m" })).items).toEqual(
    all.slice(-100).map(asUpdate(symbol, "1m")),
  );
});

test("bars come oldest first, whatever their order and unit", async () => {
  const start = 1_795_300_000;
  const expected = [
    [start, 3, 3, 3, 3, 3],
    [start + 60, 2, 2, 2, 2, 2],
    [start + 120, 4, 4, 4, 4, 4],
    [start + 180, 5, 5, 5, 5, 5],
  ] as Bar[];
  expect(await ask("get_latest_ohlcv_bars", { symbol: "ODD/USDT", timeframe: "1m" })).toEqual(expected);
  expect((await picture("stream_ohlcv", { symbol: "ODD/USDT", timeframe: "1m" })).items).toEqual(
    expected.map(asUpdate("ODD/USDT", "1m")),
  );
});

test("a series is another with another symbol or timeframe", async () => {
  for (const [symbol, timeframe] of [
    ["BTCUSDT", "1m"],
    ["BTC/USDT", "1M"],
    ["BTC/USD", "1m"],
  ] as const) {
    expect(await refusal("get_latest_ohlcv_bars", { symbol, timeframe })).toEqual([
      "OHLCV_NOT_FOUND",
      `no ${timeframe} bars for ${symbol}`,
    ]);
    expect((await picture("stream_ohlcv", { symbol, timeframe })).items).toEqual([]);
  }
});

async function processesOf(...types: string[]): Promise<Json[]> {
  const { admin } = gateway.redis;
  const ids = await Promise.all(types.map(async (type) => Object.keys(await admin.hGetAll(`process:active:${type}`))));
  const found = await Promise.all(ids.flat().map(oneProcess));
  return found
    .filter((one) => one !== undefined)
    .sort((a, b) => (b["timestamp"] as number) - (a["timestamp"] as number));
}

async function oneProcess(id: string): Promise<Json | undefined> {
  const text = await gateway.redis.admin.get(`process:data:${id}`);
  if (text === null) return undefined;
  const stored = JSON.parse(text);
  const timestamp = unix(stored.heartbeat);
  const age = now - timestamp;
  return { ...stored, heartbeat_age: age, stale: age > 300, timestamp };
}

const types = ["account", "bot", "bot_status_service", "crawler", "ohlcv", "order", "tick", "user_trades_service"];

test("the active processes are those whose data is still there, newest heartbeat first", async () => {
  const expected = await processesOf(...types);
  expect(expected).toHaveLength(21);
  expect(await ask("get_active_processes")).toEqual(expected);
  for (const process_type of types)
    expect(await ask("get_active_processes", { process_type })).toEqual(await processesOf(process_type));
  expect(await ask("get_active_processes", { process_type: "unheard_of" })).toEqual([]);
  expect(await ask("get_active_processes", { component: "binance:BTC/USDT" })).toEqual(
    expected.filter(({ component }) => component === "binance:BTC/USDT"),
  );
  expect(await ask("get_active_processes", { process_type: "tick", component: `binance:${emoji}` })).toHaveLength(1);
  expect(await ask("get_active_processes", { since_minutes: 5 })).toEqual(expected.filter(({ stale }) => !stale));
  expect(await ask("get_active_processes", { since_minutes: 60 })).toHaveLength(expected.length - 1);
  expect(await ask("get_active_processes", { since_minutes: 0 })).toEqual([]);
});

test("a process is judged by its heartbeat, not by its last word, and to the microsecond", async () => {
  const stale = "bot:bot_stale_heartbeat:1795328559.824856";
  expect(await ask("get_process", { process_id: stale })).toMatchObject({
    stale: true,
    updated_at: "2026-11-22T07:02:39.824856+00:00",
    timestamp: unix("2026-11-22T06:22:39.824856+00:00"),
    heartbeat_age: now - unix("2026-11-22T06:22:39.824856+00:00"),
  });
  const exact = await ask("get_process", { process_id: "user_trades_service:exact_second:1795330960.0" });
  expect(exact).toMatchObject({ stale: false, timestamp: 1795330960, heartbeat_age: now - 1795330960 });
  const [newest] = (await ask("get_active_processes")) as Json[];
  expect(newest).toEqual(exact);
});

test("a process is found by its id, active or not, and by the component that it registered for", async () => {
  const keys = (await gateway.redis.admin.keys("process:data:*")).map((key) => key.slice("process:data:".length));
  expect(keys).toHaveLength(29);
  for (const process_id of keys) expect(await ask("get_process", { process_id })).toEqual(await oneProcess(process_id));
  const components = Object.entries(await gateway.redis.admin.hGetAll("process:components"));
  const found = components.filter(([component]) => component !== "orphan_without_data");
  for (const [component, id] of found)
    expect(await ask("get_component_status", { component })).toEqual(await oneProcess(id));
  expect(await ask("get_component_status", { component: "binance:BTC/USDT" })).toMatchObject({ process_type: "ohlcv" });
});

test("an orphan in the list of active processes is no process", async () => {
  const id = "bot_status_service:orphan_without_data:1795330959.865956";
  expect(await gateway.redis.admin.hExists("process:active:bot_status_service", id)).toBe(1);
  expect(await refusal("get_process", { process_id: id })).toEqual(["PROCESS_NOT_FOUND", `no process ${id}`]);
  expect(await refusal("get_component_status", { component: "orphan_without_data" })).toEqual([
    "PROCESS_NOT_FOUND",
    "no process for component orphan_without_data",
  ]);
  expect(await refusal("get_component_status", { component: "tick_tmp" })).toEqual([
    "PROCESS_NOT_FOUND",
    "no process for component tick_tmp",
  ]);
  expect(await ask("get_process", { process_id: "tick:tick_tmp:1795330958.619255" })).toMatchObject({
    status: "stopped",
  });
});

test("the health of the system is that of its processes, asked once or streamed", async () => {
  const processes = await processesOf(...types);
  const count = (name: string) => {
    const counts: Record<string, number> = {};
    for (const one of processes) counts[one[name] as string] = (counts[one[name] as string] ?? 0) + 1;
    return counts;
  };
  const unwell = processes.filter((one) => one["stale"] || one["status"] === "error");
  const expected = {
    healthy: false,
    total_processes: 21,
    by_type: count("process_type"),
    by_status: count("status"),
    stale_processes: 3,
    error_processes: 2,
    problems: unwell
      .map((one) => pick(one, ["process_id", "component", "status", "stale"]))
      .sort((a, b) => (String(a["process_id"]) < String(b["process_id"]) ? -1 : 1)),
    timestamp: now,
  };
  expect(unwell.map(({ component }) => component).sort()).toEqual([
    "account_2h_old",
    "account_main",
    "bot_stale_heartbeat",
    "crawler_40min_old",
    "order_binance",
  ]);
  const { redis, gateway: summary, ...health } = (await ask("get_system_health")) as Json;
  expect(health).toEqual(expected);
  expect(redis).toEqual({ connected: true, change_detection: "tracking", read_only: null });
  expect(summary).toMatchObject({ connections: 1, streams: 0, topics: 0, corrupt_values: 0 });
  const { items, topics } = await picture("stream_process_health", {});
  expect([topics, items]).toEqual([["process_health"], [expected]]);
});

test("the gateway says who it is, what it allows, and what this connection follows", async () => {
  const info = (await ask("get_server_info")) as Json;
  expect(info).toMatchObject({
    name: "fullon-cache-api",
    protocol: 1,
    limits: { max_frame_bytes: 1_048_576, max_in_flight: 1_000, max_streams: 1_000, max_topics: 10_000 },
    redis: { connected: true, change_detection: "tracking", read_only: null },
  });
  expect(info["version"]).toMatch(/^\d+\.\d+\.\d+/);
  expect(await ask("list_streams")).toEqual([]);
  const params = { exchange: "binance", symbols: ["BTC/USDT"], interval_ms: 100 };
  const opened = (await wire.ask("stream_tickers", params)) as Json;
  expect(opened).toEqual({ stream: expect.any(String), topics: ["ticker:binance:BTC/USDT"], epoch: info["epoch"] });
  const { stream, topics } = opened;
  expect(await ask("list_streams")).toEqual([{ stream, operation: "stream_tickers", params, topics }]);
  expect(await ask("unsubscribe", { stream })).toEqual({ stream });
  expect(await ask("list_streams")).toEqual([]);
  expect(await ask("authenticate", { token: "nobody needs one" })).toMatchObject({ user_id: null, expires_at: null });
  const updates = wire.frames.filter(({ type }) => String(type).endsWith("_update")).length;
  expect(await ask("ping")).toEqual({ server_time: now, updates_sent: updates });
});

test("an update is its data and the envelope, with nothing in between", async () => {
  const { frames } = await picture("stream_tickers", { exchange: "binance", symbols: [emoji] });
  const [frame] = frames as [Frame];
  expect(Object.keys(frame).filter((name) => !(name in dataOf(frame)))).toEqual([
    "type",
    "topic",
    "snapshot",
    "epoch",
    "update_id",
  ]);
  expect(frame).toMatchObject({ type: "ticker_update", topic: `ticker:binance:${emoji}`, symbol: emoji });
});

test("every operation has been asked, and Redis holds exactly what it held", async () => {
  expect([...asked].sort()).toEqual([...operationsByWireName.keys()].sort());
  expect(await everything()).toEqual(before);
});
