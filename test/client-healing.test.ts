import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import type { WebSocket } from "ws";
import { CacheError, type ConnectionStatus, fullonCacheApi } from "../src/client/index.ts";
import type { CacheClient } from "../src/client/websocket-client.ts";
import { type CloseMeaning, closeCodes } from "../src/protocol/errors.ts";
import { CacheWebSocketServer } from "../src/server/websocket-server.ts";
import { freePort } from "./kit/free-port.ts";
import { type Frame, startGateway } from "./kit/gateway.ts";
import { type Peer, startPeer } from "./kit/peer.ts";
import { Reader, take } from "./kit/reader.ts";
import type { TestRedis } from "./kit/redis.ts";
import { appendBars, pushTrades, saveOrder, setPositions, setTicker } from "./kit/streams.ts";
import { until } from "./kit/until.ts";
import { startWebSocketProxy, type WebSocketProxy } from "./kit/websocket-proxy.ts";

const gateway = await startGateway();
const { redis } = gateway;
afterAll(() => gateway[Symbol.asyncDispose]());

// An exchange of its own for every test.
let exchange = "";
let tests = 0;
beforeEach(() => {
  exchange = `exchange-${++tests}`;
});

/** A client behind a network that fails on demand. */
async function behindProxy(options = {}): Promise<{ proxy: WebSocketProxy; client: CacheClient }> {
  const proxy = await startWebSocketProxy(gateway.server.url);
  const client = await gateway.client({ url: proxy.url, maxBackoffMs: 30, ...options });
  onTestFinished(async () => {
    await client.close();
    await proxy[Symbol.asyncDispose]();
  });
  return { proxy, client };
}

/** A gateway that can be stopped and started again where it was, on a Redis that stays. */
function server(port: number, options = {}): Promise<CacheWebSocketServer> {
  return new CacheWebSocketServer({
    port,
    redis: redis.gatewayUrl,
    logLevel: "silent",
    drainMs: 100,
    ...options,
  }).start();
}

/** Keeps what the connection went through. */
function historyOf(client: CacheClient): ConnectionStatus[] {
  const states: ConnectionStatus[] = [];
  void (async () => {
    for await (const status of client.status()) states.push(status);
  })();
  return states;
}

/** Waits until a connection or a stream is in a state, however short. */
async function reaches(source: { status(): AsyncIterable<{ readonly state: string }> }, wanted: string): Promise<void> {
  for await (const { state } of source.status()) if (state === wanted) return;
  throw new Error(`it ended without ever being ${wanted}`);
}

const isUpdate = (frame: Frame) => typeof frame["update_id"] === "number" && frame["type"] !== "stream_status";
const isChange = (frame: Frame) => isUpdate(frame) && frame["snapshot"] === undefined;

async function deleteOrder(from: TestRedis, orderId: string): Promise<void> {
  await from.command(["HDEL", `order_status:${exchange}`, orderId]);
}

test("the same `for await` goes on when the gateway was killed and started again", async () => {
  const port = await freePort();
  const start = async () => {
    const args = [
      "src/cli/main.ts",
      "serve",
      "--port",
      `${port}`,
      "--redis-url",
      redis.gatewayUrl,
      "--log-level",
      "silent",
    ];
    const child = spawn(process.execPath, ["--import", "tsx", ...args], { stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    await new Promise<void>((resolve) =>
      child.stdout.on("data", (text) => String(text).includes("listening") && resolve()),
    );
    return child;
  };
  const first = await start();
  await saveOrder(redis, exchange, "stays", "open");
  await saveOrder(redis, exchange, "goes", "open");
  await using client = await fullonCacheApi(`ws://127.0.0.1:${port}`, { maxBackoffMs: 50 });
  const history = historyOf(client);
  const reader = new Reader(client.streamOrders(exchange), "order_id");
  await until(() => expect(reader.items).toHaveLength(2));

  first.kill("SIGKILL");
  await until(() => expect(history.at(-1)?.state).not.toBe("open"));
  // By now it may have tried to come back, in vain.
  const reason = expect.stringMatching(/was closed|could not be made/);
  expect(reader.stream.state).toMatchObject({ state: "opening", reason });
  await deleteOrder(redis, "goes");
  await saveOrder(redis, exchange, "comes", "open");
  const asked = client.getQueueLength(exchange);
  await start();

  await until(() => expect(reader.items).toMatchObject([{ order_id: "comes" }, { order_id: "stays" }]));
  expect(reader.updates.filter(({ removed }) => removed)).toMatchObject([{ order_id: "goes", snapshot: true }]);
  expect(await asked).toBe(2);
  await saveOrder(redis, exchange, "stays", "closed");
  await until(() => expect(reader.items).toMatchObject([{ status: "open" }, { status: "closed" }]));
  expect(await reader.stream.return()).toEqual({ done: true, value: undefined });
});

test("many clients come back, and all of them see the same again", async () => {
  const port = await freePort();
  const symbols = Array.from({ length: 20 }, (_, n) => `S${n}`);
  for (const symbol of symbols) await setTicker(redis, exchange, symbol, 1);
  const first = await server(port);
  const url = first.url;
  const clients = await Promise.all(symbols.map(() => fullonCacheApi(url, { maxBackoffMs: 100 })));
  const readers = clients.map((client) => new Reader(client.streamTickers(exchange), "symbol"));
  await until(() => expect(readers.map(({ items }) => items.length)).toEqual(symbols.map(() => 20)));

  await first.stop();
  await redis.command(["HDEL", `tickers:${exchange}`, "S7"]);
  for (const symbol of symbols.slice(10)) await setTicker(redis, exchange, symbol, 2);
  await using second = await server(port);
  const [judge] = clients as [CacheClient];
  const expected = (await judge.getAllTickers(exchange)).sort((a, b) => (a.symbol < b.symbol ? -1 : 1));
  expect(expected).toHaveLength(19);
  for (const reader of readers) await until(() => expect(reader.items).toMatchObject(expected));
  expect(second.url).toBe(url);
  await Promise.all(clients.map((client) => client.close()));
  expect(await Promise.all(readers.map(({ ended }) => ended))).toEqual(symbols.map(() => undefined));
});

test("a question whose connection broke is asked again on the next", async () => {
  await setTicker(redis, exchange, "BTC/USDT", 5);
  const { proxy, client } = await behindProxy();
  const swallowed = proxy.swallow((frame) => frame["success"] === true);
  const asked = client.getTicker(exchange, "BTC/USDT");
  await swallowed;
  proxy.cut();
  expect(await asked).toMatchObject({ price: 5 });
  expect(proxy.operations).toEqual(["get_ticker", "get_ticker"]);
  expect(proxy.connections).toBe(2);
});

test("what is asked and opened while there is no connection waits for the next", async () => {
  await setTicker(redis, exchange, "BTC/USDT", 5);
  const { proxy, client } = await behindProxy();
  proxy.cut();
  await reaches(client, "waiting");
  const asked = client.getTicker(exchange, "BTC/USDT");
  const left = client.streamTickers(exchange);
  const opened = client.streamTickers(exchange).next();
  void left.next();
  await left.return();
  expect(await asked).toMatchObject({ price: 5 });
  expect((await opened).value).toMatchObject({ price: 5, snapshot: true });
  expect(proxy.operations).toEqual(["get_ticker", "stream_tickers"]);
});

test("a gateway that drains is left for the next one, with questions and streams", async () => {
  const answer = (socket: WebSocket, request_id: unknown, more: object) =>
    socket.send(JSON.stringify({ request_id, ...more }));
  const draining = { success: false, error: "the server is going away", error_code: "DRAINING", retryable: true };
  await using peer = await startPeer((socket, nth) =>
    socket.on("message", (data) => {
      const { request_id, operation } = JSON.parse(String(data));
      if (nth === 1) {
        answer(socket, request_id, draining);
        if (operation === "get_bots") socket.close(1012, "DRAINING");
      } else if (operation === "stream_bot_status") {
        answer(socket, request_id, { success: true, result: { stream: "s1", topics: ["bots"], epoch: "e" } });
        const state = { type: "stream_status", topic: "bots", state: "live", epoch: "e", count: 0, update_id: 0 };
        socket.send(JSON.stringify(state));
        const update = { type: "bot_status_update", topic: "bots", bot_id: "1", update_id: 1 };
        socket.send(JSON.stringify(update));
      } else answer(socket, request_id, { success: true, result: [operation] });
    }),
  );
  await using client = await fullonCacheApi(peer.url, { maxBackoffMs: 20 });
  const opened = client.streamBotStatus().next();
  const asked = [client.getExchanges(), client.getBots()];
  expect(await Promise.all(asked)).toEqual([["get_exchanges"], ["get_bots"]]);
  expect((await opened).value).toMatchObject({ bot_id: "1" });
});

test("a stream survives a gateway that drains, and one that the gateway ends throws why", async () => {
  const statuses = [
    { state: "live", count: 0, update_id: 4 },
    { state: "ended", error_code: "DRAINING" },
    { state: "stale", since: 7, error_code: "CACHE_UNAVAILABLE" },
    { state: "ended", error_code: "FORBIDDEN" },
  ];
  await using peer = await startPeer((socket) =>
    socket.on("message", (data) => {
      const { request_id } = JSON.parse(String(data));
      socket.send(
        JSON.stringify({ request_id, success: true, result: { stream: "s1", topics: ["bots"], epoch: "e" } }),
      );
      for (const status of statuses)
        socket.send(JSON.stringify({ type: "stream_status", topic: "bots", epoch: "e", ...status }));
    }),
  );
  await using client = await fullonCacheApi(peer.url);
  const stream = client.streamBotStatus();
  const states = stream.status();
  await expect(stream.next()).rejects.toMatchObject({
    code: "FORBIDDEN",
    message: "bots was ended by the gateway: The token does not allow this.",
  });
  const seen = [];
  for await (const { state } of states) seen.push(state);
  expect(seen).toEqual(["opening", "live", "stale", "ended"]);
});

test("while Redis is away a stream is stale, and live again when it is back", async () => {
  await using other = await startGateway();
  const client = await other.client();
  await saveOrder(other.redis, exchange, "lost", "open");
  const reader = new Reader(client.streamOrders(exchange), "order_id");
  await until(() => expect(reader.stream.state.state).toBe("live"));
  await other.redis.kill();
  await until(() => expect(reader.stream.state.state).toBe("stale"));
  expect(reader.stream.state).toEqual({
    state: "stale",
    topic: `orders:${exchange}`,
    since: expect.any(Number),
    reason: "CACHE_UNAVAILABLE",
  });
  expect(reader.items).toMatchObject([{ order_id: "lost" }]);
  await other.redis.start();
  await until(() => expect(reader.stream.state).toEqual({ state: "live" }));
  await until(() => expect(reader.items).toEqual([]));
  await saveOrder(other.redis, exchange, "new", "open");
  await until(() => expect(reader.items).toMatchObject([{ order_id: "new" }]));
});

test("a stream that begins while Redis is away says why it waits, and begins when it is back", async () => {
  await using other = await startGateway();
  const client = await other.client();
  await other.redis.kill();
  await until(() => expect(client.getExchanges()).rejects.toMatchObject({ code: "CACHE_UNAVAILABLE" }));
  const reader = new Reader(client.streamOrders(exchange), "order_id");
  const left = client.streamOrders(exchange);
  void left.next();
  await until(() => expect(reader.stream.state.reason).toMatch(/cannot be (reached|read)/));
  await until(() => expect(left.state.reason).toMatch(/cannot be (reached|read)/));
  await left.return();
  await other.redis.start();
  await saveOrder(other.redis, exchange, "new", "open");
  await until(() => expect(reader.items).toMatchObject([{ order_id: "new" }]));
  expect(await client.listStreams()).toHaveLength(1);
});

/** Refuses the first request for every stream on each connection, for a passing reason; closes when asked for bots. */
function startReluctant(requests: string[]): Promise<Peer> {
  return startPeer((socket, nth) =>
    socket.on("message", (data) => {
      const { request_id, operation } = JSON.parse(String(data));
      const request = `${nth} ${operation}`;
      const answer = (more: object) => socket.send(JSON.stringify({ request_id, ...more }));
      if (operation === "get_bots" && nth === 1) socket.close(1012);
      else if (requests.includes(request)) {
        answer({ success: true, result: { stream: operation, topics: [operation], epoch: "e" } });
        const state = { type: "stream_status", topic: operation, state: "live", epoch: "e", count: 0, update_id: 0 };
        socket.send(JSON.stringify(state));
      } else answer({ success: false, error: "Redis is away", error_code: "CACHE_UNAVAILABLE", retryable: true });
      requests.push(request);
    }),
  );
}

test("a stream that waits to ask once more asks no more when it is left", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.9);
  onTestFinished(() => void vi.restoreAllMocks());
  await using peer = await startReluctant([]);
  await using client = await fullonCacheApi(peer.url);
  const stream = client.streamBotStatus();
  const waiting = stream.next();
  await until(() => expect(stream.state).toEqual({ state: "opening", reason: "Redis is away" }));
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  void stream.return();
  expect(timers()).toBe(before - 1);
  expect((await waiting).done).toBe(true);
});

test("a stream that was left before it was refused stays left", async () => {
  const requests: string[] = [];
  await using peer = await startReluctant(requests);
  await using client = await fullonCacheApi(peer.url);
  const stream = client.streamBotStatus();
  void stream.next();
  await stream.return();
  await expect(client.getExchanges()).rejects.toMatchObject({ code: "CACHE_UNAVAILABLE" });
  expect(requests).toEqual(["1 stream_bot_status", "1 get_exchanges"]);
  expect(stream.state).toEqual({ state: "ended" });
});

test("a stream that is refused again and again for a passing reason asks ever more rarely", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.2);
  onTestFinished(() => void vi.restoreAllMocks());
  const asked: number[] = [];
  await using peer = await startPeer((socket) =>
    socket.on("message", (data) => {
      asked.push(performance.now());
      const { request_id } = JSON.parse(String(data));
      const answer = { success: false, error: "not now", error_code: asked.length < 4 ? "CACHE_TIMEOUT" : "FORBIDDEN" };
      socket.send(JSON.stringify({ request_id, ...answer }));
    }),
  );
  await using client = await fullonCacheApi(peer.url);
  await expect(client.streamBotStatus().next()).rejects.toMatchObject({ code: "FORBIDDEN" });
  const [first = 0, ...others] = asked;
  // 40, 80 and 160 ms; timers may be late but are never early.
  expect((others.at(-1) ?? 0) - first).toBeGreaterThan(270);
});

test("a stream that waits to ask once more when the connection breaks asks only on the next", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.9);
  onTestFinished(() => void vi.restoreAllMocks());
  const requests: string[] = [];
  await using peer = await startReluctant(requests);
  await using client = await fullonCacheApi(peer.url, { maxBackoffMs: 20 });
  const bots = client.streamBotStatus();
  void bots.next();
  await until(() => expect(bots.state.reason).toBe("Redis is away"));
  client.getBots().catch(() => {});
  await until(() => expect(bots.state).toEqual({ state: "live" }));
  // This one waits as long as the first would have.
  const orders = client.streamOrders(exchange);
  void orders.next();
  await until(() => expect(orders.state).toEqual({ state: "live" }));
  const ofBots = requests.filter((request) => request.includes("stream_bot_status"));
  expect(ofBots).toEqual(["1 stream_bot_status", "2 stream_bot_status", "2 stream_bot_status"]);
});

test.each<[string, (frame: Frame) => boolean]>([
  ["a change", (frame) => isChange(frame) && frame["price"] === 2],
  ["the first change", (frame) => isChange(frame) && frame["price"] === 1],
])("%s that was swallowed on the way is noticed with the next, and the picture is right again", async (_, fits) => {
  const { proxy, client } = await behindProxy();
  const reader = new Reader(client.streamTickers(exchange), "symbol");
  await until(() => expect(reader.stream.state.state).toBe("live"));
  const swallowed = proxy.swallow(fits);
  await setTicker(redis, exchange, "A", 1);
  await setTicker(redis, exchange, "B", 2);
  await setTicker(redis, exchange, "C", 3);
  await swallowed;
  await until(() => expect(reader.items).toMatchObject([{ price: 1 }, { price: 2 }, { price: 3 }]));
  expect(proxy.operations.filter((operation) => operation === "stream_tickers")).toHaveLength(2);
  expect(await client.listStreams()).toHaveLength(1);
  expect(proxy.connections).toBe(1);
});

test.each<[string, (frame: Frame) => boolean]>([
  ["part of a snapshot", (frame) => frame["snapshot"] === true && frame["symbol"] === "B"],
  ["the end of a snapshot", (frame) => frame["state"] === "live"],
])("%s that was swallowed on the way is noticed, and the picture is right again", async (_, fits) => {
  for (const symbol of ["A", "B", "C"]) await setTicker(redis, exchange, symbol, 1);
  const { proxy, client } = await behindProxy();
  const swallowed = proxy.swallow(fits);
  const reader = new Reader(client.streamTickers(exchange), "symbol");
  await swallowed;
  await setTicker(redis, exchange, "C", 2);
  await until(() => expect(reader.items).toMatchObject([{ price: 1 }, { price: 1 }, { price: 2 }]));
  await until(() => expect(reader.stream.state).toEqual({ state: "live" }));
});

test("a swallowed change that no other follows is noticed with the next sign of life", async () => {
  await saveOrder(redis, exchange, "o-1", "open");
  const { proxy, client } = await behindProxy({ silenceMs: 200 });
  const reader = new Reader(client.streamOrders(exchange), "order_id");
  await until(() => expect(reader.items).toHaveLength(1));
  // What is counted is what came on this connection.
  proxy.cut();
  await until(() => expect(reader.updates).toHaveLength(2));
  const swallowed = proxy.swallow(isChange);
  await deleteOrder(redis, "o-1");
  await swallowed;
  await until(() => expect(reader.items).toEqual([]));
  const [first] = reader.updates;
  const gone = { exchange, order_id: "o-1", removed: true, snapshot: true, epoch: first?.epoch };
  expect(reader.updates.at(-1)).toEqual({
    type: "order_update",
    topic: `orders:${exchange}`,
    update_id: expect.any(Number),
    ...gone,
  });
  const asked = (what: string) => proxy.operations.filter((operation) => operation === what).length;
  const pings = asked("ping");
  await until(() => expect(asked("ping")).toBeGreaterThan(pings + 2));
  expect(asked("stream_orders")).toBe(proxy.connections + 1);
});

test("a lost update is repaired also where the gateway allows no further stream", async () => {
  await using full = await startGateway({ maxStreams: 1, to: redis });
  await using proxy = await startWebSocketProxy(full.server.url);
  const client = await full.client({ url: proxy.url });
  const reader = new Reader(client.streamTickers(exchange), "symbol");
  await until(() => expect(reader.stream.state.state).toBe("live"));
  const swallowed = proxy.swallow(isChange);
  await setTicker(redis, exchange, "A", 1);
  await setTicker(redis, exchange, "B", 2);
  await swallowed;
  await until(() => expect(reader.items).toMatchObject([{ price: 1 }, { price: 2 }]));
  await client.close();
});

test("streams that share a topic are repaired together, each with one snapshot", async () => {
  const { proxy, client } = await behindProxy();
  const readers = [1, 2, 3].map(() => new Reader(client.streamTickers(exchange), "symbol"));
  await until(() => expect(readers.map(({ stream }) => stream.state.state)).toEqual(["live", "live", "live"]));
  const swallowed = proxy.swallow(isChange);
  await setTicker(redis, exchange, "A", 1);
  await setTicker(redis, exchange, "B", 2);
  await swallowed;
  for (const reader of readers) {
    await until(() => expect(reader.items).toMatchObject([{ price: 1 }, { price: 2 }]));
    await until(() => expect(reader.stream.state.state).toBe("live"));
    expect(reader.updates).toMatchObject([{ snapshot: true }, { snapshot: true }]);
  }
  expect(await client.listStreams()).toHaveLength(3);
});

test("a connection that looks open and is dead is noticed within twice silenceMs", async () => {
  const { proxy, client } = await behindProxy({ silenceMs: 200, connectTimeoutMs: 100 });
  const history = historyOf(client);
  const reader = new Reader(client.streamTickers(exchange), "symbol");
  await until(() => expect(reader.stream.state.state).toBe("live"));
  // Alive, it stays as long as anybody answers.
  await until(() => expect(proxy.operations.filter((operation) => operation === "ping").length).toBeGreaterThan(2));
  expect(history.map(({ state }) => state)).toEqual(["open"]);
  const died = performance.now();
  proxy.hold();
  await until(() => expect(history.at(-1)?.state).not.toBe("open"));
  expect(performance.now() - died).toBeLessThan(2 * 200 + 100);
  expect(history[1]).toMatchObject({ state: "waiting", reason: { code: "CONNECTION_FAILED" } });
  proxy.release();
  await until(() => expect(reader.stream.state.state).toBe("live"));
  await setTicker(redis, exchange, "A", 1);
  await until(() => expect(reader.items).toMatchObject([{ price: 1 }]));
});

test("a process that stood still does not take its connection for dead", async () => {
  const { proxy, client } = await behindProxy({ silenceMs: 50 });
  const history = historyOf(client);
  await until(() => expect(proxy.operations).toContain("ping"));
  for (let times = 0; times < 3; times++) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 170);
    const pings = proxy.operations.length;
    await until(() => expect(proxy.operations.length).toBeGreaterThan(pings + 1));
  }
  expect(history.map(({ state }) => state)).toEqual(["open"]);
});

const codes = Object.entries<CloseMeaning>(closeCodes).map(
  ([code, { reconnect }]) => [Number(code), reconnect] as const,
);
const final = codes.filter(([, comesBack]) => !comesBack).map(([code]) => code);
const passing = codes.filter(([, comesBack]) => comesBack).map(([code]) => code);

test.each<[number, string]>([...final.map((code): [number, string] => [code, "FORBIDDEN"]), [4999, ""]])(
  "after close code %i a client does not come back, and says why",
  async (code, reason) => {
    await using peer = await startPeer((socket) => socket.once("message", () => socket.close(code, reason)));
    await using client = await fullonCacheApi(peer.url, { maxBackoffMs: 10 });
    const history = historyOf(client);
    const stream = client.streamTickers(exchange).next();
    const call = client.getExchanges();
    const expected = {
      code: "CONNECTION_CLOSED",
      message: expect.stringContaining(`code ${code}${reason && `, ${reason}`}`),
      details: { close_code: code, ...(reason && { reason }) },
    };
    await expect(stream).rejects.toMatchObject(expected);
    await expect(call).rejects.toMatchObject(expected);
    expect(await client.closed()).toMatchObject(expected);
    await expect(client.getBots()).rejects.toMatchObject(expected);
    await expect(client.streamBotStatus().next()).rejects.toBeInstanceOf(CacheError);
    expect(history.map(({ state }) => state)).toEqual(["open", "closed"]);
    expect(peer.connections).toBe(1);
  },
);

test.each([...passing, 4499])("after close code %i a client comes back", async (code) => {
  await using peer = await startPeer((socket, nth) => {
    if (nth === 1) socket.close(code);
  });
  await using client = await fullonCacheApi(peer.url, { maxBackoffMs: 10 });
  const history = historyOf(client);
  await until(() => expect(history.map(({ state }) => state)).toEqual(["open", "waiting", "connecting", "open"]));
  expect(peer.connections).toBe(2);
});

test("close() while a client waits to come back ends it", async () => {
  await using peer = await startPeer((socket) => socket.terminate());
  const client = await fullonCacheApi(peer.url);
  await reaches(client, "waiting");
  const { connections } = peer;
  await client.close();
  expect(await client.closed()).toBeUndefined();
  const late = [];
  for await (const status of client.status()) late.push(status);
  expect(late).toEqual([{ state: "closed" }]);
  expect(peer.connections).toBe(connections);
});

test("events come again as a snapshot after a break, and then go on", async () => {
  const { proxy, client } = await behindProxy();
  await pushTrades(redis, exchange, "BTC/USDT", [1, 2]);
  const stream = client.streamTradeUpdates(exchange, "BTC/USDT");
  const ids = async (count: number) =>
    (await take(stream, count)).map(({ trade_id, snapshot }) => (snapshot ? `old ${trade_id}` : trade_id));
  expect(await ids(2)).toEqual(["old 1", "old 2"]);
  proxy.cut();
  await reaches(stream, "opening");
  await pushTrades(redis, exchange, "BTC/USDT", [3]);
  expect(await ids(3)).toEqual(["old 1", "old 2", "old 3"]);
  await pushTrades(redis, exchange, "BTC/USDT", [4]);
  expect(await ids(1)).toEqual([4]);
});

test("bars that left a full picture during a break are not called removed", async () => {
  const { proxy, client } = await behindProxy();
  const bars = (from: number, count: number) =>
    appendBars(
      redis,
      exchange,
      Array.from({ length: count }, (_, n) => [from + n, 1] as const),
    );
  await bars(0, 100);
  const reader = new Reader(client.streamOhlcv(exchange, "1m"), "timestamp");
  await until(() => expect(reader.updates).toHaveLength(100));
  proxy.cut();
  await reaches(reader.stream, "opening");
  await bars(100, 5);
  await until(() => expect(reader.updates).toHaveLength(200));
  await until(() => expect(reader.stream.state.state).toBe("live"));
  expect(reader.updates.filter(({ removed }) => removed)).toEqual([]);
  await redis.command(["DEL", `ohlcv:${exchange}:1m`]);
  await until(() => expect(reader.updates.filter(({ removed }) => removed)).toHaveLength(100));
});

test("an item that half a snapshot told of, and that is gone in the next, is told as removed", async () => {
  const { proxy, client } = await behindProxy();
  await saveOrder(redis, exchange, "a", "open");
  await saveOrder(redis, exchange, "b", "open");
  const swallowed = proxy.swallow((frame) => frame["state"] === "live");
  const reader = new Reader(client.streamOrders(exchange), "order_id");
  await swallowed;
  await until(() => expect(reader.items).toHaveLength(2));
  proxy.cut();
  await deleteOrder(redis, "a");
  await until(() => expect(reader.items).toMatchObject([{ order_id: "b" }]));
});

test("the items of an account that a user no longer has are told as removed", async () => {
  const directory = await mkdtemp(join(tmpdir(), "fullon-cache-api-accounts-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const accountsFile = join(directory, "accounts.json");
  const port = await freePort();
  await setPositions(redis, "8812", { A: 1 });
  await setPositions(redis, "8813", { B: 1, C: 1 });
  await writeFile(accountsFile, JSON.stringify({ 1001: { binance: 8812, kraken: 8813 } }));
  const first = await server(port, { accountsFile });
  await using client = await fullonCacheApi(first.url, { maxBackoffMs: 20 });
  const reader = new Reader(client.streamPositions("1001"), "exchange", "symbol");
  await until(() => expect(reader.items).toHaveLength(3));
  await first.stop();
  await writeFile(accountsFile, JSON.stringify({ 1001: { binance: 8812 } }));
  await using _second = await server(port, { accountsFile });
  await until(() => expect(reader.items).toMatchObject([{ exchange: "binance", symbol: "A" }]));
  const gone = reader.updates.filter(({ removed }) => removed);
  expect(gone).toMatchObject([
    { exchange: "kraken", symbol: "B" },
    { exchange: "kraken", symbol: "C" },
  ]);
  expect(gone[0]).not.toHaveProperty("volume");
});
