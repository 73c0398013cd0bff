import { getEventListeners, once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import { WebSocket as WsWebSocket } from "ws";
import { generatedFiles } from "../scripts/generated-files.ts";
import { CacheError, type WebSocketClass } from "../src/client/index.ts";
import { signatures } from "../src/client/operations.ts";
import { type CacheClient, type ClientOptions, fullonCacheApi } from "../src/client/websocket-client.ts";
import { operations } from "../src/operations/index.ts";
import type { Operation } from "../src/operations/operation.ts";
import { methodName, wireName } from "../src/protocol/names.ts";
import { freePort } from "./kit/free-port.ts";
import { type Frame, startGateway } from "./kit/gateway.ts";
import { type Peer, startPeer } from "./kit/peer.ts";
import { setTicker } from "./kit/streams.ts";
import { until } from "./kit/until.ts";
import { startWebSocketProxy } from "./kit/websocket-proxy.ts";

const gateway = await startGateway();
const { redis } = gateway;
await setTicker(redis, "binance", "BTC/USDT", 47_000.5);
const cache = await gateway.client();
afterAll(() => gateway[Symbol.asyncDispose]());

const declared = Object.entries<Operation>(operations);
const withMethod = declared.filter(([, { method }]) => method !== false);

/** The parameters of an operation that are arguments of its method. */
const argumentsOf = (operation: Operation) => Object.keys(operation.params).filter((name) => name !== "interval_ms");

async function connect(peer: Peer, options: ClientOptions = {}): Promise<CacheClient> {
  const client = await fullonCacheApi(peer.url, { maxBackoffMs: 20, ...options });
  onTestFinished(() => client.close());
  return client;
}

/** Answers every request with the request. */
function startEcho(port?: number): Promise<Peer> {
  return startPeer(
    (socket) =>
      socket.on("message", (data) => {
        const request = JSON.parse(String(data)) as Frame;
        socket.send(JSON.stringify({ request_id: request["request_id"], success: true, result: request }));
      }),
    port,
  );
}

/** What an attempt that must fail fails with. */
async function failure(attempt: Promise<unknown>): Promise<CacheError> {
  const error = await attempt.then(
    (value) => new Error(`it did not fail but gave ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof CacheError)) throw error;
  return error;
}

const firstLine = (error: Error) => error.stack?.split("\n")[1] ?? "";

test("the client's methods are up to date with the declarations; if not: npm run generate", async () => {
  for (const [path, text] of await generatedFiles())
    if (path.startsWith("src/")) expect(readFileSync(path, "utf8"), path).toBe(text);
});

test("every operation has a method, with the parameters of its declaration in their order", () => {
  expect(Object.keys(signatures)).toEqual(withMethod.map(([name]) => name));
  for (const [name, operation] of withMethod) {
    expect(cache, name).toHaveProperty(name, expect.any(Function));
    const { params, identity, retain } = signatures[name as keyof typeof signatures] as Record<string, unknown>;
    const live = operation.kind === "live" ? operation : undefined;
    expect({ params, identity, retain }, name).toEqual({
      params: argumentsOf(operation),
      identity: live?.identity,
      retain: live?.retain,
    });
  }
  expect(cache).not.toHaveProperty("unsubscribe");
});

test("arguments reach the gateway under their names on the wire, by position or by name", async () => {
  await using peer = await startEcho();
  const client = (await connect(peer)) as unknown as Record<string, (...given: unknown[]) => Promise<Frame>>;
  for (const [name, operation] of withMethod.filter(([, { kind }]) => kind === "query")) {
    const names = argumentsOf(operation);
    const params = Object.fromEntries(names.map((param, at) => [param, `value ${at}`]));
    for (let count = 0; count <= names.length; count++) {
      const positional = names.slice(0, count).map((param) => params[param]);
      const named = Object.fromEntries(names.slice(count).map((param) => [methodName(param), params[param]]));
      const request = await client[name]?.(...positional, { ...named, timeoutMs: 5_000 });
      expect(request, `${name} with ${count} by position`).toMatchObject({ operation: wireName(name) });
      expect(request?.["params"]).toEqual(params);
    }
  }
});

test("an argument that is left undefined can still be given by name", async () => {
  await using peer = await startEcho();
  const client = (await connect(peer)) as unknown as Record<string, (...given: unknown[]) => Promise<Frame>>;
  const request = await client["getBalance"]?.(1001, undefined, { currency: "USDT", exchange: "kraken" });
  expect(request?.["params"]).toEqual({ user_id: 1001, exchange: "kraken", currency: "USDT" });
  const short = await client["getBalance"]?.(1001, undefined, undefined, undefined);
  expect(short?.["params"]).toEqual({ user_id: 1001 });
});

test("a stream's arguments reach the gateway in the same way, its interval with them", async () => {
  await using proxy = await startWebSocketProxy(gateway.server.url);
  const client = await gateway.client({ url: proxy.url });
  void client.streamTickers("kraken", ["BTC/USD"], { intervalMs: 250 }).next();
  void client.streamTickers("kraken", { symbols: ["BTC/USD"], intervalMs: 0 }).next();
  void client.streamBotStatus().next();
  await until(() => expect(proxy.requests).toHaveLength(3));
  expect(proxy.requests).toMatchObject([
    { operation: "stream_tickers", params: { exchange: "kraken", symbols: ["BTC/USD"], interval_ms: 250 } },
    { operation: "stream_tickers", params: { exchange: "kraken", symbols: ["BTC/USD"], interval_ms: 0 } },
    { operation: "stream_bot_status", params: {} },
  ]);
});

test("a question is answered with what the cache holds", async () => {
  expect(await cache.getTicker("binance", "BTC/USDT")).toMatchObject({ symbol: "BTC/USDT", price: 47_000.5 });
  expect(await cache.getExchanges()).toEqual(["binance"]);
  expect(await cache.getQueueLength("binance")).toBe(0);
  expect(await cache.ping()).toEqual({ server_time: expect.any(Number), updates_sent: 0 });
});

test("many questions at once each get their own answer", async () => {
  await using peer = await startPeer((socket) => {
    const waiting: string[] = [];
    socket.on("message", (data) => {
      const { request_id, params } = JSON.parse(String(data));
      waiting.push(JSON.stringify({ request_id, success: true, result: params.symbol }));
      // Out of order, as answers may be.
      if (waiting.length === 50) for (const answer of waiting.reverse()) socket.send(answer);
    });
  });
  const client = await connect(peer);
  const symbols = Array.from({ length: 50 }, (_, n) => `S${n}`);
  expect(await Promise.all(symbols.map((symbol) => client.getTicker("x", symbol)))).toEqual(symbols);
});

test("what the gateway refuses is a CacheError with code, details and the advice whether to try again", async () => {
  const missing = await failure(cache.getTicker("binance", "NO/SUCH"));
  expect(missing).toMatchObject({ name: "CacheError", code: "TICKER_NOT_FOUND", details: {}, retryable: false });
  expect(missing.message).toBe("no ticker for NO/SUCH on binance");

  const wrong = await failure(cache.getTicker("binance", 7 as unknown as string));
  expect(wrong).toMatchObject({ code: "INVALID_PARAMS", details: { path: "params.symbol" } });
});

test("an option that no operation knows is refused by the gateway, not dropped", async () => {
  const error = await failure(cache.getTrades("BTC/USDT", "binance", { limt: 5 } as object));
  expect(error.code).toBe("INVALID_PARAMS");
  expect(error.message).toContain("limt");
});

test("an error code that this client does not know yet is an INTERNAL_ERROR with the gateway's words", async () => {
  await using peer = await startPeer((socket) =>
    socket.on("message", (data) => {
      const { request_id } = JSON.parse(String(data));
      const answer = { success: false, error: "the moon is wrong", error_code: "WRONG_MOON", retryable: false };
      socket.send(JSON.stringify({ request_id, ...answer }));
    }),
  );
  const error = await failure((await connect(peer)).getExchanges());
  expect(error).toMatchObject({ code: "INTERNAL_ERROR", message: "the moon is wrong" });
});

test("frames that make no sense are passed over", async () => {
  await using peer = await startPeer((socket) => {
    for (const frame of ["no JSON", "null", "7", "{}", '{"type":"new_kind"}', '{"request_id":null,"success":false}'])
      socket.send(frame);
    socket.send(Buffer.from("binary"));
    socket.on("message", (data) => {
      const { request_id } = JSON.parse(String(data));
      socket.send(JSON.stringify({ request_id: "somebody else's", success: true, result: 1 }));
      socket.send(JSON.stringify({ request_id, success: true, result: [] }));
    });
  });
  expect(await (await connect(peer)).getExchanges()).toEqual([]);
});

test("a failure points at the line that asked", async () => {
  const errors = [
    await failure(cache.getTicker("binance", "NO/SUCH")),
    await failure(cache.streamTickers("", ["BTC/USDT"]).next()),
    await failure(fullonCacheApi("ws://127.0.0.1:1")),
    await failure(fullonCacheApi("nonsense")),
  ];
  for (const error of errors) {
    expect(error.stack?.split("\n")[0]).toBe(`CacheError: ${error.message}`);
    expect(firstLine(error)).toContain("client-calls.test.ts");
  }
});

test("callers that fail together each get an error of their own, with their own line", async () => {
  await using peer = await startPeer(() => {});
  const client = await connect(peer);
  const one = failure(client.getExchanges());
  const other = failure(client.getBots());
  await client.close();
  const lines = [firstLine(await one), firstLine(await other)];
  for (const line of lines) expect(line).toContain("client-calls.test.ts");
  expect(lines[0]).not.toBe(lines[1]);
});

test("an answer that does not come in time is a REQUEST_TIMEOUT, for the client or for one call", async () => {
  await using proxy = await startWebSocketProxy(gateway.server.url);
  const client = await gateway.client({ url: proxy.url, timeoutMs: 80 });
  expect(await client.getExchanges()).toEqual(["binance"]);
  proxy.hold();
  const errors = [await failure(client.getExchanges()), await failure(client.getExchanges({ timeoutMs: 20 }))];
  expect(errors).toMatchObject([
    { code: "REQUEST_TIMEOUT", message: "get_exchanges: no answer within 80 ms", retryable: true },
    { code: "REQUEST_TIMEOUT", message: "get_exchanges: no answer within 20 ms" },
  ]);
  const patient = client.getExchanges({ timeoutMs: Number.POSITIVE_INFINITY });
  proxy.release();
  expect(await patient).toEqual(["binance"]);
});

test("a Redis that stands still is told by the gateway, before the client runs out of patience", async () => {
  await using stuck = await startGateway({ redisTimeoutMs: 60 });
  const client = await stuck.client();
  stuck.redis.pause();
  expect(await failure(client.getExchanges())).toMatchObject({ code: "CACHE_TIMEOUT", retryable: true });
  stuck.redis.resume();
  await until(async () => expect(await client.getExchanges()).toEqual([]));
});

test("a call can be given up before it is asked and while it waits, and its signal is let go", async () => {
  await using proxy = await startWebSocketProxy(gateway.server.url);
  const client = await gateway.client({ url: proxy.url });
  await expect(client.getExchanges({ signal: AbortSignal.abort(new Error("too early")) })).rejects.toThrow("too early");
  expect(proxy.requests).toEqual([]);

  proxy.hold();
  const abort = new AbortController();
  const waiting = client.getExchanges({ signal: abort.signal });
  expect(getEventListeners(abort.signal, "abort")).toHaveLength(1);
  abort.abort();
  await expect(waiting).rejects.toThrow(abort.signal.reason);
  expect(getEventListeners(abort.signal, "abort")).toHaveLength(0);
  proxy.release();

  const unused = new AbortController();
  await client.getExchanges({ signal: unused.signal });
  await failure(client.getTicker("binance", "NO/SUCH", { signal: unused.signal }));
  expect(getEventListeners(unused.signal, "abort")).toHaveLength(0);
});

test("more questions at once than a gateway takes wait for their turn, also when the connection breaks", async () => {
  await using narrow = await startGateway({ maxInFlight: 300, to: redis });
  await using proxy = await startWebSocketProxy(narrow.server.url);
  const client = await narrow.client({ url: proxy.url, maxBackoffMs: 20 });
  const answers = Array.from({ length: 1_000 }, () => client.getTicker("binance", "BTC/USDT"));
  const streams = Array.from({ length: 400 }, (_, n) => client.streamTickers("binance", { intervalMs: n }));
  const updates = streams.map((stream) => stream.next());
  const given = new AbortController();
  const givenUp = client.getExchanges({ signal: given.signal });
  given.abort();
  await expect(givenUp).rejects.toThrow("aborted");
  await until(() => expect(proxy.requests.length).toBeGreaterThan(500));
  proxy.cut();
  expect((await Promise.all(answers)).every(({ price }) => price === 47_000.5)).toBe(true);
  await until(() => expect(new Set(streams.map(({ state }) => state.state))).toEqual(new Set(["live"])));
  expect((await Promise.all(updates)).every(({ value }) => value?.symbol === "BTC/USDT")).toBe(true);
  await client.close();
});

test("options that are endless never come true, instead of at once", async () => {
  const forever = Number.POSITIVE_INFINITY;
  await using proxy = await startWebSocketProxy(gateway.server.url);
  const endless = { timeoutMs: forever, connectTimeoutMs: forever, silenceMs: forever, maxBackoffMs: forever };
  const client = await gateway.client({ url: proxy.url, ...endless });
  for (let times = 0; times < 10; times++) expect(await client.getExchanges()).toEqual(["binance"]);
  expect(new Set(proxy.operations)).toEqual(new Set(["get_exchanges"]));
  await client.close();
});

test("arguments that no JSON can say fail at once and leave nothing behind", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  await expect(cache.getTicker("binance", 7n as unknown as string)).rejects.toThrow("BigInt");
  expect(timers()).toBe(before);
});

test("close() fails what waits and whatever is asked later with CONNECTION_CLOSED, and may be called again", async () => {
  await using peer = await startPeer(() => {});
  const client = await connect(peer);
  const waiting = failure(client.getExchanges());
  await client.close();
  await client.close();
  expect(await waiting).toMatchObject({ code: "CONNECTION_CLOSED", retryable: false });
  expect(await failure(client.getExchanges())).toMatchObject({ code: "CONNECTION_CLOSED" });
  expect(await failure(client.streamTickers("binance").next())).toMatchObject({ code: "CONNECTION_CLOSED" });
  expect(await client.closed()).toBeUndefined();
});

test("`await using` closes the connection", async () => {
  let left: Promise<unknown> = Promise.resolve();
  await using peer = await startPeer((socket) => {
    left = once(socket, "close");
  });
  {
    await using client = await fullonCacheApi(peer.url);
    expect(client.url).toBe(peer.url);
  }
  expect(((await left) as unknown[])[0]).toBe(1000);
});

test("a gateway that cannot be reached is CONNECTION_FAILED, with its address and what to do", async () => {
  // The WebSocket of the ws package, since that of newer Node versions does not say why.
  const error = await failure(
    fullonCacheApi("ws://127.0.0.1:1", { WebSocket: WsWebSocket as unknown as WebSocketClass }),
  );
  expect(error).toMatchObject({ code: "CONNECTION_FAILED", retryable: true });
  expect(error.message).toMatch(/ws:\/\/127\.0\.0\.1:1 .*ECONNREFUSED.* npx fullon-cache-api serve/);
  expect(error.cause).toBeInstanceOf(Error);
});

test("a URL that is none fails at once, also for those who would wait", async () => {
  for (const url of ["nonsense", "ws://", "ws://host:99999", "redis://127.0.0.1"]) {
    const error = await failure(fullonCacheApi(url, { waitOnFirstConnect: true }));
    expect(error).toMatchObject({ code: "CONNECTION_FAILED" });
    expect(error.message).toMatch(/^no connection can be made to .*: .*(url|protocol)/i);
    expect(error.message).toContain(url);
  }
});

test("a server that accepts and never speaks WebSocket is given up in time", async () => {
  const mute = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void mute.close());
  await once(mute, "listening");
  const { port } = mute.address() as AddressInfo;
  const error = await failure(fullonCacheApi(`ws://127.0.0.1:${port}`, { connectTimeoutMs: 40 }));
  expect(error).toMatchObject({ code: "CONNECTION_FAILED" });
  expect(error.message).toContain("no connection within 40 ms");
});

test("waitOnFirstConnect keeps trying until the gateway is there", async () => {
  const port = await freePort();
  const connecting = fullonCacheApi(`ws://127.0.0.1:${port}`, { waitOnFirstConnect: true, maxBackoffMs: 20 });
  const impatient = await failure(fullonCacheApi(`ws://127.0.0.1:${port}`));
  expect(impatient.code).toBe("CONNECTION_FAILED");
  await using late = await startEcho(port);
  const client = await connecting;
  expect(await client.getExchanges()).toMatchObject({ operation: "get_exchanges" });
  await client.close();
  expect(late.connections).toBe(1);
});

test("connecting can be given up, and the signal has no say afterwards", async () => {
  const early = AbortSignal.abort(new Error("not today"));
  await expect(fullonCacheApi(gateway.server.url, { signal: early })).rejects.toThrow("not today");

  const during = new AbortController();
  const connecting = fullonCacheApi("ws://127.0.0.1:1", { waitOnFirstConnect: true, signal: during.signal });
  during.abort(new Error("enough"));
  await expect(connecting).rejects.toThrow("enough");
  expect(getEventListeners(during.signal, "abort")).toHaveLength(0);

  const after = new AbortController();
  const client = await gateway.client({ signal: after.signal });
  expect(getEventListeners(after.signal, "abort")).toHaveLength(0);
  after.abort();
  expect(await client.getExchanges()).toEqual(["binance"]);
});

test.each([
  ["Node is only played, as in Bun,", { versions: { ...process.versions, bun: "1.0.0" } }],
  ["Node is only played, as in Deno,", { versions: { ...process.versions, deno: "2.0.0" } }],
  ["there is no Node", undefined],
])("where %s the WebSocket that is there is used", async (_, process) => {
  let made = 0;
  class Own extends WsWebSocket {
    constructor(url: string, protocols?: string[]) {
      super(url, protocols);
      made++;
    }
  }
  // Which class it is has been decided before anything is waited for.
  const connected = (stubs: Readonly<Record<string, unknown>>) => {
    for (const [name, value] of Object.entries(stubs)) vi.stubGlobal(name, value);
    const client = fullonCacheApi(gateway.server.url);
    vi.unstubAllGlobals();
    return client;
  };
  await using own = await connected({ process, WebSocket: Own });
  await own.ping();
  expect(made).toBe(1);
  await using node = await connected({ WebSocket: Own });
  await node.ping();
  expect(made).toBe(1);
});
