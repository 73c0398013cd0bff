import fc from "fast-check";
import { type TSchema, Type } from "typebox";
import { Check } from "typebox/value";
import { afterAll, beforeAll, expect, test } from "vitest";
import { operationsByWireName } from "../src/operations/index.ts";
import type { Operation } from "../src/operations/operation.ts";
import { isErrorCode } from "../src/protocol/errors.ts";
import { answer, snapshot } from "./kit/answers.ts";
import { type Frame, startGateway, type TestGateway, type Wire } from "./kit/gateway.ts";

let gateway: TestGateway;
/** One connection for all that is wrong: it must live on. */
let wire: Wire;

/** Names that mean something to a glob, a protocol, an object or a shell, and must mean nothing here. */
const nasty = [
  "*",
  "?",
  "[a-z]*",
  "[^x]",
  "\\",
  "\\*",
  "*:*",
  ":",
  "a:b",
  "%3A",
  " ",
  "\0",
  "\t\n",
  "\r\nFLUSHALL\r\n",
  "Ünï 币 🚀",
  "e\u0301",
  "__proto__",
  "constructor",
  "toString",
  "null",
  "-1",
  "{a}b",
  "$(reboot)",
  '"',
  "'",
  "../..",
  "\u2028",
  "\ufeff",
  "x".repeat(256),
];

beforeAll(async () => {
  gateway = await startGateway();
  await gateway.redis.replay("commands");
  for (const [mark, name] of nasty.entries()) await plant(name, mark);
  wire = await gateway.wire();
});

afterAll(() => gateway[Symbol.asyncDispose]());

/** Puts something of every kind under a name; whatever is read from it carries the mark. */
async function plant(name: string, mark: number): Promise<void> {
  const { admin } = gateway.redis;
  const marked = JSON.stringify({ mark, price: mark, time: 1, heartbeat: 1 });
  const symbolless = name.replaceAll("/", "");
  await Promise.all([
    admin.hSet(`tickers:${name}`, name, marked),
    admin.hSet("accounts", name, `{${JSON.stringify(name)}: ${marked}}`),
    admin.hSet("account_positions", name, `{${JSON.stringify(name)}: ${marked}}`),
    admin.hSet(`order_status:${name}`, name, JSON.stringify({ mark, status: name })),
    admin.hSet("bot_status", name, marked),
    admin.hSet("block_exchange", `${name}:${name}`, `"mark":${mark}`),
    admin.hSet("opening_position", `${name}:${name}`, `"mark":${mark}:2026-01-01T00:00:00`),
    admin.rPush(`trades:${name}:${symbolless}`, marked),
    admin.rPush(`user_trades:${name}:${name}`, marked),
    admin.set(`TRADE:STATUS:${name}`, String(mark)),
    admin.rPush(`ohlcv:${name}:${name}`, JSON.stringify([1, mark, mark, mark, mark, mark])),
    admin.hSet(`process:active:${name}`, name, ""),
    admin.hSet("process:components", name, name),
    admin.set(`process:data:${name}`, JSON.stringify({ mark, component: name, heartbeat: 1 })),
  ]);
}

/** Sends a frame as it is, and gives the answer to it. */
async function reply(frame: string | Buffer | object, to = wire): Promise<Frame> {
  const from = to.frames.length;
  to.send(typeof frame === "string" || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  return to.frame((one) => "success" in one, from);
}

/** Sends several frames in one go, and gives the answers to them, in the order in which they came. */
async function replies(to: Wire, frames: readonly object[]): Promise<Frame[]> {
  const from = to.frames.length;
  for (const frame of frames) to.send(JSON.stringify(frame));
  return to.until((all) => {
    const answers = all.slice(from).filter((one) => "success" in one);
    return answers.length === frames.length && answers;
  });
}

async function expectLife(on = wire): Promise<void> {
  expect(await on.request("ping")).toMatchObject({ success: true });
}

/** The values that a parameter takes besides names: something that is right. */
function right(schema: TSchema, name: string): unknown {
  const { type, minimum = 0 } = schema as { type?: string; minimum?: number };
  if (type === "array") return [name];
  return type === "integer" || type === "number" ? Math.max(1, minimum) : name;
}

/** Parameters that are right, with one name wherever a name can be. */
function paramsOf({ params }: Operation, name: string): Record<string, unknown> {
  const given = Object.entries(params).filter(([param]) => param !== "interval_ms");
  return Object.fromEntries(given.map(([param, schema]) => [param, right(schema, name)]));
}

const ofRedis = [...operationsByWireName].filter(([, { reads }]) => reads !== "–");

test.each<[string, string | Buffer]>([
  ["nothing", ""],
  ["text", "not json"],
  ["half of JSON", '{"request_id": 1, "operation": "ping"'],
  ["Python", "{'request_id': 1, 'operation': 'ping'}"],
  ["NaN", '{"request_id": NaN, "operation": "ping"}'],
  ["a list", "[]"],
  ["a list of requests", '[{"request_id": 1, "operation": "ping"}]'],
  ["null", "null"],
  ["a number", "42"],
  ["a text", '"ping"'],
  ["true", "true"],
  ["deep lists", "[".repeat(60_000)],
  ["deep lists that close", "[".repeat(30_000) + "]".repeat(30_000)],
  ["deep objects", '{"a":'.repeat(10_000)],
  ["a byte order mark", '\ufeff{"request_id": 1, "operation": "ping"}'],
  ["a null byte", '{"request_id": 1, "operation": "ping"}\0'],
  ["bytes", Buffer.from([0, 1, 2, 0xff])],
  ["a request in bytes", Buffer.from('{"request_id": 1, "operation": "ping"}')],
])("a frame that is %s is answered without an id, and the connection stays", async (_, frame) => {
  const { error, ...rest } = await reply(frame);
  expect(rest).toEqual({
    request_id: null,
    success: false,
    error_code: "MALFORMED_MESSAGE",
    retryable: false,
    details: {},
  });
  expect(error).toMatch(Buffer.isBuffer(frame) ? "binary" : "not a JSON object");
  await expectLife();
});

test.each([
  '"request_id": null,',
  "",
  '"request_id": "",',
  `"request_id": "${"x".repeat(129)}",`,
  '"request_id": 1.5,',
  '"request_id": 9007199254740992,',
  '"request_id": -123456789012345678901234567890,',
  '"request_id": 1e400,',
  '"request_id": true,',
  '"request_id": ["a"],',
  '"request_id": {"toString": 1},',
  `"request_id": ${"[".repeat(1_000)}${"]".repeat(1_000)},`,
  '"__proto__": {"request_id": 1},',
  '"Request_Id": 1,',
])("an envelope that begins {%s is INVALID_REQUEST and is answered without an id", async (member) => {
  expect(await reply(`{${member} "operation": "ping"}`)).toEqual({
    request_id: null,
    success: false,
    error: "request_id must be text of 1–128 characters or an integer",
    error_code: "INVALID_REQUEST",
    retryable: false,
    details: { path: "request_id" },
  });
  await expectLife();
});

test.each([
  0,
  -5,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  " ",
  "1",
  "x".repeat(128),
  "🚀".repeat(64),
  "__proto__",
  "\ud800",
  '\0"\\\r\n',
  "null",
])("the request_id %j is echoed as it came", async (request_id) => {
  expect(await reply({ request_id, operation: "ping" })).toMatchObject({ request_id, success: true });
});

test.each([
  "",
  ', "operation": null',
  ', "operation": 1',
  ', "operation": true',
  ', "operation": ["ping"]',
  ', "operation": {"toString": 1}',
  ', "__proto__": {"operation": "ping"}',
])("an envelope with the operation {…%s} is INVALID_REQUEST", async (members) => {
  expect(await reply(`{"request_id": "a"${members}}`)).toEqual({
    request_id: "a",
    success: false,
    error: "operation must be the name of an operation",
    error_code: "INVALID_REQUEST",
    retryable: false,
    details: { path: "operation" },
  });
  await expectLife();
});

test.each([
  ["", 'there is no operation ""'],
  ["getTicker", 'there is no operation "getTicker": did you mean get_ticker?'],
  ["GET-TICKER", 'there is no operation "GET-TICKER": did you mean get_ticker?'],
  ["get_ticker ", 'there is no operation "get_ticker ": did you mean get_ticker?'],
  ["set_ticker", 'there is no operation "set_ticker"'],
  ["__proto__", 'there is no operation "__proto__"'],
  ["constructor", 'there is no operation "constructor"'],
  ["toString", 'there is no operation "toString"'],
  ["\ud800\r\n", 'there is no operation "\\ud800\\r\\n"'],
  ["x".repeat(60_000), `there is no operation "${"x".repeat(100)}"`],
])("the operation %.40s is INVALID_OPERATION, and the answer names those that there are", async (operation, error) => {
  expect(await reply({ request_id: 1, operation })).toEqual({
    request_id: 1,
    success: false,
    error,
    error_code: "INVALID_OPERATION",
    retryable: false,
    details: { operations: [...operationsByWireName.keys()] },
  });
});

test("members of the envelope that nobody knows are ignored", async () => {
  const more = '"jsonrpc": "2.0", "constructor": 1, "__proto__": {"params": {"a": 1}}, "": [[]], "params": {}';
  expect(await reply(`{"request_id": 1, "operation": "ping", ${more}}`)).toMatchObject({ success: true });
  expect(await reply('{"request_id": 2, "request_id": 3, "operation": "ping"}')).toMatchObject({ request_id: 3 });
});

test.each([null, [], [{}], "x", "", 1, true])(
  "params that are %j are INVALID_PARAMS of any operation",
  async (params) => {
    for (const operation of operationsByWireName.keys())
      expect(await reply({ request_id: 1, operation, params })).toMatchObject({
        error_code: "INVALID_PARAMS",
        error: "params must be an object",
        details: { path: "params" },
      });
    await expectLife();
  },
);

test.each(["a", "", "__proto__", "constructor", "toString", "Exchange", "\ud800"])(
  "the parameter %j is unknown to every operation, which names it",
  async (unknown) => {
    for (const [name, operation] of operationsByWireName) {
      const params = JSON.stringify(paramsOf(operation, "x")).slice(1, -1);
      const member = `${JSON.stringify(unknown)}: 1${params && ","}${params}`;
      const answered = await reply(`{"request_id": 1, "operation": "${name}", "params": {${member}}}`);
      expect(answered).toMatchObject({ error_code: "INVALID_PARAMS", details: { path: `params.${unknown}` } });
      expect(answered["error"]).toContain(`unknown parameter ${JSON.stringify(unknown)}: it takes `);
    }
  },
);

const wrong = [null, true, [], {}, { length: 1 }, "", "x".repeat(257), "a\ud800", "\udfff", 1.5, -1, 0, 2 ** 53, 1e300];

test.each([...operationsByWireName])(
  "%s refuses every value of a parameter that it does not allow",
  async (name, operation) => {
    for (const [param, schema] of Object.entries(operation.params)) {
      const refused = [...wrong, [wrong], [""], ["x", 1], Array(1_001).fill("x")].filter(
        (value) => !Check(schema, value),
      );
      expect(refused.length).toBeGreaterThan(5);
      for (const value of refused) {
        const answered = await reply({
          request_id: 1,
          operation: name,
          params: { ...paramsOf(operation, "x"), [param]: value },
        });
        expect(answered).toMatchObject({ success: false, error_code: "INVALID_PARAMS", retryable: false });
        expect((answered["details"] as { path: string }).path).toMatch(new RegExp(`^params\\.${param}(\\.\\d+)?$`));
        expect(answered["error"]).toContain(`parameter ${param} must be `);
      }
      if (Type.IsOptional(schema)) continue;
      const { [param]: _, ...left } = paramsOf(operation, "x");
      expect(await reply({ request_id: 1, operation: name, params: left })).toMatchObject({
        error_code: "INVALID_PARAMS",
        error: expect.stringContaining(`parameter ${param} is missing`),
        details: { path: `params.${param}` },
      });
    }
    await expectLife();
  },
);

test("large and deep parameters are refused with an answer that is small", async () => {
  const begin = '{"request_id": 1, "operation": "get_ticker", "params": ';
  const params = [
    `{"exchange": ${"[".repeat(25_000)}${"]".repeat(25_000)}}`,
    `{"${"x".repeat(60_000)}": 1}`,
    `{${Array.from({ length: 5_000 }, (_, at) => `"p${at}": 1`).join(",")}}`,
    `{"exchange": "${"x".repeat(60_000)}", "symbol": "y"}`,
  ];
  for (const one of params) {
    const answered = await reply(`${begin}${one}}`);
    expect(answered).toMatchObject({ error_code: "INVALID_PARAMS" });
    expect(JSON.stringify(answered).length).toBeLessThan(1_000);
  }
});

test("two requests with one id at the same time: the second is refused, and after the answer the id is free", async () => {
  const ask = (request_id: unknown) => ({
    request_id,
    operation: "get_ticker",
    params: { exchange: "binance", symbol: "BTC/USDT" },
  });
  const [refused, answered] = await replies(wire, [ask("twice"), { request_id: "twice", operation: "ping" }]);
  expect(refused).toMatchObject({ request_id: "twice", success: false, error_code: "DUPLICATE_REQUEST_ID" });
  expect(answered).toMatchObject({ request_id: "twice", success: true, result: { symbol: "BTC/USDT" } });
  expect(await reply(ask("twice"))).toMatchObject({ request_id: "twice", success: true });
  expect(await replies(wire, [ask(1), ask("1"), ask(-1)])).toMatchObject([
    { request_id: 1, success: true },
    { request_id: "1", success: true },
    { request_id: -1, success: true },
  ]);
  const other = await gateway.wire();
  const both = await Promise.all([reply(ask("both")), reply(ask("both"), other)]);
  expect(both).toMatchObject([{ success: true }, { success: true }]);
});

test("a frame beyond the limit ends its connection with 1009, and no other", async () => {
  await using small = await startGateway({ to: gateway.redis, maxFrameBytes: 1_024 });
  const [one, other] = [await small.wire(), await small.wire()];
  const frame = (bytes: number) => JSON.stringify({ request_id: 1, operation: "ping", x: "" }).padEnd(bytes, " ");
  expect(await reply(frame(1_024), one)).toMatchObject({ success: true });
  const closed = one.closed();
  one.send(frame(1_025));
  expect(await closed).toBe(1009);
  await expectLife(other);
  expect(await answer(other, "get_server_info")).toMatchObject({ limits: { max_frame_bytes: 1_024 } });
});

test("text that is not UTF-8 ends its connection with 1007, and no other", async () => {
  const client = await gateway.wire();
  const closed = client.closed();
  client.socket.send(Buffer.from([0xff, 0xfe]), { binary: false });
  expect(await closed).toBe(1007);
  await expectLife();
});

test("a stream that is not there cannot be ended, and neither can one of another connection", async () => {
  const other = await gateway.wire();
  const { stream } = (await other.ask("stream_bot_status", {})) as { stream: string };
  for (const name of [stream, "s0", "", "__proto__", ...nasty].filter((one) => one !== ""))
    expect(await wire.request("unsubscribe", { stream: name })).toMatchObject({
      error_code: "STREAM_NOT_FOUND",
      error: `this connection has no stream ${JSON.stringify(name)}`,
    });
  expect(await answer(other, "list_streams")).toHaveLength(1);
  expect(await answer(other, "unsubscribe", { stream })).toEqual({ stream });
  expect(await other.request("unsubscribe", { stream })).toMatchObject({ error_code: "STREAM_NOT_FOUND" });
});

const limited = (limit: number, what: string) => ({
  success: false,
  error: `at most ${limit} ${what}`,
  error_code: "LIMIT_EXCEEDED",
  retryable: false,
  details: { limit },
});

test("a connection has as many streams as it may, also when it asks for more of them at once", async () => {
  await using small = await startGateway({ to: gateway.redis, maxStreams: 2 });
  const client = await small.wire();
  const open = (request_id: number) => ({
    request_id,
    operation: "stream_orders",
    params: { exchange: `e${request_id}` },
  });
  const answers = await replies(
    client,
    Array.from({ length: 6 }, (_, at) => open(at)),
  );
  expect(answers.filter(({ success }) => success)).toHaveLength(2);
  for (const one of answers.filter(({ success }) => !success))
    expect(one).toMatchObject(limited(2, "streams on this connection"));
  const [{ stream }] = (await answer(client, "list_streams")) as [{ stream: string }];
  expect(await reply(open(7), client)).toMatchObject(limited(2, "streams on this connection"));
  await client.ask("unsubscribe", { stream });
  expect(await reply(open(8), client)).toMatchObject({ success: true });
  expect(await answer(client, "list_streams")).toHaveLength(2);
  expect(await answer(client, "get_system_health")).toMatchObject({ gateway: { streams: 2, topics: 2 } });
  expect(await reply(open(9), await small.wire())).toMatchObject({ success: true });
});

test("a connection follows as many topics as it may, and one that it follows already counts once", async () => {
  await using small = await startGateway({ to: gateway.redis, maxTopics: 3 });
  const client = await small.wire();
  const open = (request_id: number, ...symbols: string[]) => ({
    request_id,
    operation: "stream_tickers",
    params: { exchange: "binance", symbols },
  });
  expect(await reply(open(1, "a", "b", "c", "d"), client)).toMatchObject(limited(3, "topics on this connection"));
  const answers = await replies(client, [open(2, "a", "b"), open(3, "c", "d"), open(4, "a", "b", "c")]);
  expect(answers.map(({ request_id, success }) => [request_id, success]).sort()).toEqual([
    [2, true],
    [3, false],
    [4, true],
  ]);
  expect(await reply(open(5, "c", "b", "a", "a"), client)).toMatchObject({ success: true });
  expect(await reply(open(6, "e"), client)).toMatchObject(limited(3, "topics on this connection"));
  expect(await answer(client, "get_system_health")).toMatchObject({ gateway: { streams: 3, topics: 3 } });
});

test("a connection has as many requests in flight as it may", async () => {
  await using small = await startGateway({ to: gateway.redis, maxInFlight: 2 });
  const client = await small.wire();
  const ask = (request_id: number) => ({ request_id, operation: "get_orders", params: { exchange: "binance" } });
  const answers = await replies(client, [ask(1), ask(2), ask(3), ask(4)]);
  expect(answers.filter(({ success }) => success).map(({ request_id }) => request_id)).toEqual([1, 2]);
  expect(answers.slice(0, 2)).toMatchObject([
    { request_id: 3, error: "more than 2 requests in flight", error_code: "LIMIT_EXCEEDED", details: { limit: 2 } },
    { request_id: 4, error_code: "LIMIT_EXCEEDED" },
  ]);
  expect(await reply(ask(3), client)).toMatchObject({ success: true });
});

/** The marks that something carries. */
function marksIn(value: unknown): number[] {
  const text = JSON.stringify(value).replaceAll('\\"', '"');
  return [...text.matchAll(/"mark":(\d+)/g)].map(([, mark]) => Number(mark));
}

test.each(ofRedis.filter(([, { params }]) => Object.keys(params).some((name) => name !== "interval_ms")))(
  "to %s a name is only a name, whatever it looks like",
  async (operation, declared) => {
    for (const [mark, name] of nasty.entries()) {
      const params = paramsOf(declared, name);
      if (operation === "get_active_processes") params["since_minutes"] = 525_600;
      const found =
        declared.kind === "live"
          ? (await snapshot(wire, operation, params)).items
          : await answer(wire, operation, params);
      const isNumber = ["get_latest_ohlcv_bars", "stream_ohlcv", "get_trade_status"].includes(operation);
      if (operation === "get_queue_length") expect(found).toBe(1);
      else if (operation === "stream_order_queue") expect(found).toMatchObject([{ by_status: { [name]: 1 } }]);
      else if (operation === "get_active_processes") expect(found).toEqual([]);
      else if (isNumber) expect(JSON.stringify(found)).toMatch(new RegExp(`(:|,)${mark}[,}]`));
      else expect([name, ...marksIn(found)]).toEqual([name, mark]);
    }
    await expectLife();
  },
);

test("to a process a name is only a name, also among all of them", async () => {
  const processes = (await answer(wire, "get_active_processes")) as { process_id: string; mark?: number }[];
  for (const [mark, name] of nasty.entries())
    expect(processes.filter((one) => one.mark === mark).map((one) => one.process_id)).toEqual([name]);
  expect(await answer(wire, "get_exchanges")).toEqual(["binance", "bitmex", "kraken", ...nasty].sort());
});

test("an update reaches those alone who asked for exactly that name", async () => {
  const client = await gateway.wire();
  const topics: [string, string][] = [];
  for (const name of nasty) {
    const [one, all] = [{ exchange: name, symbols: [name] }, { exchange: name }];
    const opened = await Promise.all([one, all].map((params) => client.ask("stream_tickers", params)));
    topics.push(opened.flatMap((stream) => (stream as { topics: string[] }).topics) as [string, string]);
  }
  expect(new Set(topics.flat()).size).toBe(2 * nasty.length);
  await client.until((frames) => frames.filter(({ state }) => state === "live").length === 2 * nasty.length);
  const from = client.frames.length;
  for (const [mark, name] of nasty.entries()) {
    const tick = JSON.stringify({ symbol: name, exchange: name, price: 1_000 + mark, time: 2 });
    await gateway.redis.admin.hSet(`tickers:${name}`, name, tick);
    await gateway.redis.admin.publish(`ticker_updates:${name}:${name}`, tick);
  }
  const later = () => client.frames.slice(from).filter(({ type }) => type === "ticker_update");
  await client.until(() => later().length >= 2 * nasty.length);
  const prices = (topic: string) => later().flatMap((frame) => (frame["topic"] === topic ? [frame["price"]] : []));
  for (const [mark, pair] of topics.entries())
    for (const topic of pair) expect([topic, ...prices(topic)]).toEqual([topic, 1_000 + mark]);
  client.close();
});

test("two users or two exchanges never share a topic, however they are called", async () => {
  const { admin } = gateway.redis;
  await admin.rPush("trades:x:YZ", JSON.stringify({ trade_id: 1 }));
  await admin.rPush("trades:x:Y/Z:A", JSON.stringify({ trade_id: 2 }));
  const wide = await snapshot(wire, "stream_trade_updates", { exchange: "x:Y/Z" });
  const single = await snapshot(wire, "stream_trade_updates", { exchange: "x", symbol: "Y/Z" });
  expect([wide.items, single.items]).toMatchObject([[{ trade_id: 2 }], [{ trade_id: 1 }]]);
  await admin.hSet("account_positions", "1:2", JSON.stringify({ mine: { volume: 1 } }));
  const mine = await gateway.wire();
  await mine.ask("stream_positions", { user_id: "1:2" });
  const other = await snapshot(wire, "stream_positions", { user_id: "1", exchange: "2" });
  expect(other.items.map(({ symbol }) => symbol)).not.toContain("mine");
  mine.close();
});

test("an integer that JSON has rounded names nobody", async () => {
  for (const [operation, param] of [
    ["get_order_status", "order_id"],
    ["get_balance", "user_id"],
    ["get_bot_status", "bot_id"],
  ])
    expect(
      await reply(`{"request_id": 1, "operation": "${operation}", "params": {"${param}": 12345678901234567890}}`),
    ).toMatchObject({ error_code: "INVALID_PARAMS", details: { path: `params.${param}` } });
  await gateway.redis.admin.hSet("order_status:long", "12345678901234567890", "{}");
  expect(await wire.ask("get_order_status", { order_id: "12345678901234567890" })).toMatchObject({
    order_id: "12345678901234567890",
  });
});

const requestIds = fc.oneof(fc.string({ minLength: 1, maxLength: 128 }), fc.maxSafeInteger());
const anyParams = fc.dictionary(
  fc.constantFrom(
    "exchange",
    "symbol",
    "symbols",
    "user_id",
    "order_id",
    "stream",
    "count",
    "timeframe",
    "interval_ms",
  ),
  fc.oneof(fc.constantFrom(...nasty, "binance", "BTC/USDT"), fc.jsonValue(), fc.integer(), fc.array(fc.string())),
  { noNullPrototype: true },
);
const envelope = fc.record(
  {
    request_id: fc.oneof({ weight: 4, arbitrary: requestIds }, fc.jsonValue()),
    operation: fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...operationsByWireName.keys()) }, fc.jsonValue()),
    params: fc.oneof({ weight: 4, arbitrary: anyParams }, fc.jsonValue()),
    more: fc.jsonValue(),
  },
  { requiredKeys: [], noNullPrototype: true },
);

const isRequestId = (id: unknown) =>
  typeof id === "string" ? id.length > 0 && id.length <= 128 : typeof id === "number" && Number.isSafeInteger(id);

test("every frame is answered once, with its id if it has one, whatever it holds", async () => {
  const client = await gateway.wire();
  const frames = fc.oneof(
    { weight: 6, arbitrary: envelope.map((frame) => JSON.stringify(frame)) },
    fc.json(),
    fc.string({ unit: "binary" }).map((text) => text.replace(/[\ud800-\udfff]/g, "")),
  );
  await fc.assert(
    fc.asyncProperty(frames, async (frame) => {
      const answered = await reply(frame, client);
      let id: unknown;
      try {
        id = JSON.parse(frame)?.request_id;
      } catch {}
      expect(answered["request_id"]).toBe(isRequestId(id) ? (id === 0 ? 0 : id) : null);
      if (answered["success"] === true) {
        const { stream } = Object(answered["result"]) as { stream?: string };
        if (stream !== undefined) await client.request("unsubscribe", { stream });
        return;
      }
      expect(isErrorCode(answered["error_code"])).toBe(true);
      expect(answered["error_code"]).not.toBe("INTERNAL_ERROR");
      expect(answered["error"]).toEqual(expect.any(String));
    }),
    { numRuns: 250 },
  );
  const answers = client.frames.filter((one) => "success" in one).length;
  await expectLife(client);
  expect(client.frames.filter((one) => "success" in one)).toHaveLength(answers + 1);
  expect(await answer(client, "list_streams")).toEqual([]);
  client.close();
});

test("what fails for a reason that is a bug is logged with the request, and says nothing of the reason", async () => {
  let isBroken = true;
  const now = () => {
    if (isBroken) throw new RangeError("the secret of /etc/shadow");
    return 1;
  };
  await using broken = await startGateway({ to: gateway.redis, now });
  const client = await broken.wire();
  const stream = { operation: "stream_order_queue", params: { exchange: "binance" } };
  for (const request of [{ operation: "ping" }, { operation: "get_system_health" }, stream]) {
    const request_id = `why ${request.operation}`;
    expect(await reply({ request_id, ...request }, client)).toEqual({
      request_id,
      success: false,
      error: "the gateway failed: its log says why",
      error_code: "INTERNAL_ERROR",
      retryable: true,
      details: {},
    });
    const line = broken.lines.find((one) => one["request_id"] === request_id);
    expect(line).toMatchObject({
      level: 50,
      request: expect.stringContaining(`"operation":"${request.operation}"`),
      connection: 1,
      err: { type: "RangeError", message: "the secret of /etc/shadow", stack: expect.stringContaining("at ") },
    });
  }
  expect(await answer(client, "list_streams")).toEqual([]);
  isBroken = false;
  expect(await answer(client, "ping")).toEqual({ server_time: 1, updates_sent: 0 });
  expect(await answer(client, "get_system_health")).toMatchObject({ gateway: { streams: 0, topics: 0 } });
  expect(await reply({ request_id: 1, ...stream }, client)).toMatchObject({ success: true });
});

test("nothing of all that was a bug, and nothing was left behind", async () => {
  expect(gateway.lines.filter(({ level }) => (level as number) >= 40)).toEqual([]);
  expect(await answer(wire, "list_streams")).toEqual([]);
  expect(wire.socket.readyState).toBe(wire.socket.OPEN);
});
