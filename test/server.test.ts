import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { CacheWebSocketServer } from "../src/server/websocket-server.ts";
import { startGateway, type TestGateway, Wire } from "./kit/gateway.ts";
import { Picture } from "./kit/picture.ts";
import { startRedis } from "./kit/redis.ts";
import { listenOnFile } from "./kit/socket-file.ts";
import { follow, pushTrades, saveOrder, setTicker } from "./kit/streams.ts";

const redis = await startRedis();
afterAll(() => redis[Symbol.asyncDispose]());

const portOf = (server: CacheWebSocketServer) => Number(new URL(server.url).port);

/** A bare TCP connection, which keeps its own half open whatever the other end does. */
async function tcp(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  return socket;
}

function upgradeTo(path: string): string {
  const headers = ["Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
  return [`GET ${path} HTTP/1.1`, ...headers, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""].join("\r\n");
}

/** The head of the answer to an upgrade. */
async function upgrade(port: number, path: string): Promise<string> {
  const socket = await tcp(port);
  socket.write(upgradeTo(path));
  const [data] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return data.toString();
}

test("a server on port 0 takes a free port, says where it is, and is gone after its block", async () => {
  let url = "";
  {
    await using server = new CacheWebSocketServer({ port: 0, redis: redis.gatewayUrl, logLevel: "silent" });
    expect(() => server.url).toThrow("no address before start()");
    expect(await server.start()).toBe(server);
    url = server.url;
    expect(url).toMatch(/^ws:\/\/127\.0\.0\.1:[1-9]\d*$/);
    const wire = await Wire.open(url);
    expect(await wire.ask("ping")).toMatchObject({ updates_sent: 0 });
    wire.close();
  }
  await expect(Wire.open(url)).rejects.toThrow("ECONNREFUSED");
});

test("Redis is given as a URL, in parts, or as settings", async () => {
  const { username, password, port } = new URL(redis.gatewayUrl);
  const parts = { host: "127.0.0.1", port: Number(port), username, password };
  const settings = {
    redisHost: "127.0.0.1",
    redisPort: Number(port),
    redisUsername: username,
    redisPassword: password,
  };
  for (const options of [{ redis: redis.gatewayUrl }, { redis: parts }, settings, { redisUrl: redis.gatewayUrl }]) {
    await using server = new CacheWebSocketServer({ port: 0, logLevel: "silent", ...options });
    await server.start();
    const wire = await Wire.open(server.url);
    expect(await wire.ask("get_server_info")).toMatchObject({ redis: { connected: true } });
    wire.close();
  }
});

test("a server on IPv6 says so in a URL that works", async () => {
  await using gateway = await startGateway({ to: redis, host: "::1" });
  expect(gateway.server.url).toMatch(/^ws:\/\/\[::1\]:\d+$/);
  expect(await (await gateway.wire()).ask("ping")).toBeDefined();
});

test("several servers live in one process, each with its own epoch and clients", async () => {
  const gateways = await Promise.all([1, 2, 3].map(() => startGateway({ to: redis })));
  const wires = await Promise.all(gateways.map((gateway) => gateway.wire()));
  const infos = (await Promise.all(wires.map((wire) => wire.ask("get_server_info")))) as { epoch: string }[];
  expect(new Set(infos.map(({ epoch }) => epoch)).size).toBe(3);
  await Promise.all(wires.map((wire) => follow(wire, "stream_orders", { exchange: "many" })));
  await gateways[0]?.[Symbol.asyncDispose]();
  await saveOrder(redis, "many", "o-1", "open");
  await Promise.all(wires.slice(1).map((wire) => wire.frame(({ type }) => type === "order_update")));
  for (const gateway of gateways.slice(1)) await gateway[Symbol.asyncDispose]();
});

test("start and stop are done once, however often they are asked for", async () => {
  const server = new CacheWebSocketServer({ port: 0, redis: redis.gatewayUrl, logLevel: "silent" });
  const [one, two] = await Promise.all([server.start(), server.start()]);
  expect([one, two]).toEqual([server, server]);
  await Promise.all([server.stop(), server.stop()]);
  await server.stop();
  expect(() => server.url).toThrow("no address");
});

test("a server that is stopped while it starts does not listen afterwards", async () => {
  const server = new CacheWebSocketServer({ port: 0, redis: redis.gatewayUrl, logLevel: "silent" });
  const started = server.start();
  await server.stop();
  await started;
  expect(() => server.url).toThrow("no address");
  const never = new CacheWebSocketServer({ port: 0, redis: redis.gatewayUrl, logLevel: "silent" });
  await never.stop();
  await expect(never.start()).rejects.toThrow("stopped");
  const connections = (await redis.admin.sendCommand(["CLIENT", "LIST"])) as string;
  expect(connections).not.toContain("fullon-cache-api");
});

test("a port that is taken is an error that says so", async () => {
  await using gateway = await startGateway({ to: redis });
  const port = portOf(gateway.server);
  await using server = new CacheWebSocketServer({ port, redis: redis.gatewayUrl, logLevel: "silent" });
  await expect(server.start()).rejects.toThrow(/EADDRINUSE/);
});

test("a plain HTTP request is told that this is a WebSocket server", async () => {
  await using gateway = await startGateway({ to: redis });
  for (const path of ["/", "/ws", "/?any=thing"]) {
    const response = await fetch(gateway.server.url.replace("ws:", "http:") + path);
    expect([response.status, response.headers.get("upgrade")]).toEqual([426, "websocket"]);
    expect(await response.text()).toContain(gateway.server.url);
  }
});

test("clients connect at / and /ws, with any query; other paths are not found", async () => {
  await using gateway = await startGateway({ to: redis });
  const port = portOf(gateway.server);
  for (const path of ["/", "/ws", "/?a=b", "/ws?token=%F0%9F%"])
    expect(await upgrade(port, path)).toMatch(/^HTTP\/1\.1 101 /);
  for (const path of ["/other", "/ws/", "//", "//ws", "/%", "http://[", "*", "/..", "/WS"])
    expect(await upgrade(port, path)).toMatch(/^HTTP\/1\.1 404 Not Found\r\n.*Content-Length: 0/s);
  expect(await (await gateway.wire()).ask("ping")).toBeDefined();
});

test("a client that is refused and resets its connection does no harm", async () => {
  await using gateway = await startGateway({ to: redis });
  const port = portOf(gateway.server);
  for (let round = 0; round < 20; round++) {
    const socket = await tcp(port);
    socket.write(upgradeTo("/nowhere"), () => socket.resetAndDestroy());
    await once(socket, "close");
  }
  expect(await (await gateway.wire()).ask("ping")).toBeDefined();
});

test("the subprotocol is confirmed to those who offer it, and is not asked of others", async () => {
  await using gateway = await startGateway({ to: redis });
  const offers: [string[], string][] = [
    [[], ""],
    [["fullon-cache.v1"], "fullon-cache.v1"],
    [["graphql", "fullon-cache.v1"], "fullon-cache.v1"],
  ];
  for (const [offered, confirmed] of offers) {
    const socket = new WebSocket(gateway.server.url, offered);
    await once(socket, "open");
    expect(socket.protocol).toBe(confirmed);
    socket.terminate();
  }
});

test("a server without a port serves through an HTTP server of yours", async () => {
  const server = new CacheWebSocketServer({ redis: redis.gatewayUrl, logLevel: "silent" });
  await server.connect();
  const http = createServer((_request, response) => response.end("mine"));
  http.on("upgrade", (request, socket, head) => server.handleUpgrade(request, socket, head));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("mine");
  const wire = await Wire.open(`ws://127.0.0.1:${port}/ws`);
  await follow(wire, "stream_orders", { exchange: "own" });
  await saveOrder(redis, "own", "o-1", "open");
  await wire.frame(({ type }) => type === "order_update");
  // It does not own the HTTP server, but drains its clients like any others.
  const closed = wire.closed();
  await server.stop();
  expect(await closed).toBe(1012);
  expect(wire.frames.at(-1)).toMatchObject({ state: "ended", error_code: "DRAINING" });
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("mine");
  expect(await upgrade(port, "/")).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n.*Retry-After: 1\r\n/s);
  http.close();
});

test("a server takes WebSockets that a WebSocketServer of yours accepted", async () => {
  const server = new CacheWebSocketServer({ redis: redis.gatewayUrl, logLevel: "silent", drainMs: 200 });
  await server.connect();
  const own = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: true });
  own.on("connection", (websocket, request) => server.handleClient(websocket, request));
  await once(own, "listening");
  const url = `ws://127.0.0.1:${(own.address() as AddressInfo).port}`;
  const [wire, deaf] = await Promise.all([Wire.open(url), Wire.open(url)]);
  await setTicker(redis, "accepted", "X", 5);
  expect(await wire.ask("get_ticker", { exchange: "accepted", symbol: "X" })).toMatchObject({ price: 5 });
  deaf.socket.pause();
  const closed = wire.closed();
  await server.stop();
  expect(await closed).toBe(1012);
  // Who comes too late is sent away at once, who did not listen was cut off.
  const late = await Wire.open(url);
  expect(await late.closed()).toBe(1012);
  deaf.socket.resume();
  expect(await deaf.closed()).toBe(1012);
  own.close();
});

test("a server that stops ends its streams, answers what is in flight, and closes with 1012", async () => {
  await using own = await startRedis();
  await setTicker(own, "drain", "X", 1);
  const gateway = await startGateway({ to: own, rereadMs: 0 });
  const { url } = gateway.server;
  const wire = await gateway.wire();
  await follow(wire, "stream_tickers", { exchange: "drain", symbols: ["X", "Y"] });
  const silent = await tcp(portOf(gateway.server));
  own.pause();
  const answer = wire.request("get_ticker", { exchange: "drain", symbol: "X" });
  // The request is there when the pong is.
  wire.socket.ping();
  await once(wire.socket, "pong");
  const closed = wire.closed();
  const stopped = gateway.server.stop();
  await wire.until((frames) => frames.filter(({ state }) => state === "ended").length === 2);
  const endedAt = wire.frames.length;
  for (const topic of ["ticker:drain:X", "ticker:drain:Y"])
    expect(wire.frames.filter((frame) => frame["topic"] === topic).at(-1)).toMatchObject({
      type: "stream_status",
      state: "ended",
      error_code: "DRAINING",
      epoch: expect.any(String),
    });
  for (const operation of ["ping", "stream_bot_status"])
    expect(await wire.request(operation)).toMatchObject({ error_code: "DRAINING", retryable: true });
  silent.write(upgradeTo("/"));
  expect(String((await once(silent, "data"))[0])).toMatch(/^HTTP\/1\.1 503 /);
  await expect(Wire.open(url)).rejects.toThrow("503");
  // Still open, since one answer is due; of the streams nothing comes any more.
  own.resume();
  await setTicker(own, "drain", "X", 2);
  expect(await answer).toMatchObject({ success: true, result: { symbol: "X" } });
  expect(await closed).toBe(1012);
  await stopped;
  expect(wire.frames.slice(endedAt).filter(({ topic }) => topic !== undefined)).toEqual([]);
  await gateway[Symbol.asyncDispose]();
});

test("stopping takes no longer than drainMs, whatever clients do", async () => {
  const gateway = await startGateway({ to: redis, drainMs: 300 });
  const port = portOf(gateway.server);
  // One does not read, one has said nothing yet, one was refused and stays, one is in the middle of its request.
  const deaf = await gateway.wire();
  deaf.socket.pause();
  await tcp(port);
  const refused = await tcp(port);
  refused.write(upgradeTo("/nowhere"));
  await once(refused, "data");
  const slow = await tcp(port);
  slow.write("GET / HTTP/1.1\r\nHost: x\r\n");
  const began = performance.now();
  await gateway.server.stop();
  expect(performance.now() - began).toBeGreaterThan(250);
  expect(performance.now() - began).toBeLessThan(2_000);
  await gateway[Symbol.asyncDispose]();
});

test("stopping with nothing to wait for is quick", async () => {
  const gateway = await startGateway({ to: redis, drainMs: 60_000 });
  await follow(await gateway.wire(), "stream_bot_status");
  await gateway.server.stop();
  await gateway[Symbol.asyncDispose]();
});

test("a client that does not answer a ping is closed with 4408, one that does stays", async () => {
  await using gateway = await startGateway({ to: redis, pingMs: 100 });
  const [dead, alive] = await Promise.all([gateway.wire(), gateway.wire()]);
  await follow(dead, "stream_bot_status");
  let pings = 0;
  alive.socket.on("ping", () => pings++);
  dead.socket.pause();
  const closed = dead.closed();
  await expect.poll(() => gateway.lines.filter(({ msg }) => msg === "connection closed")).toHaveLength(1);
  expect(await alive.ask("get_system_health")).toMatchObject({ gateway: { connections: 1, streams: 0, topics: 0 } });
  dead.socket.resume();
  expect(await closed).toBe(4408);
  await expect.poll(() => pings).toBeGreaterThan(3);
  expect(await alive.ask("ping")).toBeDefined();
});

test("a request that is too large closes with 1009, and the limit is told", async () => {
  await using gateway = await startGateway({ to: redis, maxFrameBytes: 2_000 });
  const wire = await gateway.wire();
  expect(await wire.ask("get_server_info")).toMatchObject({ limits: { max_frame_bytes: 2_000 } });
  const closed = wire.closed();
  wire.send("x".repeat(2_001));
  expect(await closed).toBe(1009);
});

test("streams that are asked for together do not pass the limit either", async () => {
  await using gateway = await startGateway({ to: redis, maxStreams: 3, maxTopics: 5 });
  const wire = await gateway.wire();
  const ask = (n: number) => wire.request("stream_tickers", { exchange: "limit", symbols: [`A${n}`, `B${n}`] });
  const answers = await Promise.all([1, 2, 3, 4, 5, 6].map(ask));
  expect(answers.filter(({ success }) => success)).toHaveLength(2);
  expect(answers.filter(({ error_code }) => error_code === "LIMIT_EXCEEDED")).toHaveLength(4);
  expect(await wire.ask("list_streams")).toHaveLength(2);
  // What was refused holds nothing.
  expect(await wire.ask("get_system_health")).toMatchObject({ gateway: { streams: 2, topics: 4 } });
});

/** Two clients that come over a socket file, whose buffers are small. */
async function openTwo(gateway: TestGateway): Promise<readonly [Wire, Wire]> {
  const file = await listenOnFile(gateway.server);
  onTestFinished(() => file[Symbol.dispose]());
  return [await Wire.open(file.url), await Wire.open(file.url)];
}

/** Stops a client from reading, and sends it more than all buffers on the way can hold. */
async function congest(wire: Wire, witness: Wire): Promise<void> {
  const params = { bot_id: "large" };
  await Promise.all([follow(wire, "stream_bot_status", params), follow(witness, "stream_bot_status", params)]);
  wire.socket.pause();
  await redis.admin.hSet("bot_status", "large", JSON.stringify({ padding: "x".repeat(1_500_000) }));
  await witness.frame(({ padding }) => padding !== undefined);
  await redis.admin.hDel("bot_status", "large");
  await witness.frame(({ removed, bot_id }) => removed === true && bot_id === "large");
}

test("a client that stops reading gets the latest of every item when it goes on, and is told what it was spared", async () => {
  await using gateway = await startGateway({ to: redis, congestedBytes: 1_024, rereadMs: 0 });
  const [slow, fast] = await openTwo(gateway);
  await follow(slow, "stream_orders", { exchange: "slow" });
  await follow(fast, "stream_orders", { exchange: "slow" });
  await congest(slow, fast);
  for (let volume = 1; volume <= 200; volume++) {
    await saveOrder(redis, "slow", volume % 2 ? "odd" : "even", "open", volume);
    await fast.frame((frame) => frame["volume"] === volume);
  }
  await redis.command(["HDEL", "order_status:slow", "odd"]);
  await fast.frame(({ removed, order_id }) => removed === true && order_id === "odd");
  slow.socket.resume();
  const picture = new Picture(slow, "orders:slow");
  await expect.poll(() => picture.items).toMatchObject([{ order_id: "even", volume: 200 }]);
  const skipped = slow.updates("orders:slow").map((frame) => (frame["skipped"] as number | undefined) ?? 0);
  expect(skipped.reduce((sum, one) => sum + one)).toBeGreaterThan(150);
  // And from then on it misses nothing.
  await saveOrder(redis, "slow", "even", "open", 202);
  expect(await slow.frame(({ volume }) => volume === 202)).not.toHaveProperty("skipped");
});

test("a client that is only a little behind is not forgotten either", async () => {
  // A socket file: its buffers are small.
  const path = join(tmpdir(), `fullon-cache-api-${randomUUID()}.sock`);
  await using server = new CacheWebSocketServer({
    redis: redis.gatewayUrl,
    logLevel: "silent",
    congestedBytes: 1_024,
    rereadMs: 0,
  });
  await server.connect();
  const http = createServer().on("upgrade", (request, socket, head) => server.handleUpgrade(request, socket, head));
  await once(http.listen(path), "listening");
  onTestFinished(() => void http.close());
  const [slow, fast] = await Promise.all([1, 2].map(() => Wire.open(`ws+unix:${path}:/`)));
  if (!slow || !fast) throw new Error("not open");
  for (const wire of [slow, fast]) await follow(wire, "stream_tickers", { exchange: "little", symbols: ["X"] });
  slow.socket.pause();
  // One at a time, so that what waits stays below what the socket itself calls much.
  const note = "x".repeat(3_000);
  const publish = (price: number) => {
    const tick = JSON.stringify({ exchange: "little", symbol: "X", price, time: 1, note });
    return Promise.all([
      redis.admin.hSet("tickers:little", "X", tick),
      redis.admin.publish("ticker_updates:little:X", tick),
    ]);
  };
  for (let price = 1; price <= 300; price++) {
    await publish(price);
    await fast.frame((frame) => frame["price"] === price);
  }
  slow.socket.resume();
  await slow.frame(({ price }) => price === 300);
  await publish(301);
  await slow.frame(({ price }) => price === 301);
  expect(new Picture(slow, "ticker:little:X").items).toMatchObject([{ price: 301 }]);
  expect(slow.updates("ticker:little:X").some(({ skipped }) => skipped !== undefined)).toBe(true);
  for (const wire of [slow, fast]) wire.close();
});

test("also with very many items a client that stopped reading ends up with all of them", async () => {
  await using gateway = await startGateway({ to: redis, congestedBytes: 1_024, rereadMs: 0 });
  const [slow, fast] = await openTwo(gateway);
  const write = (volume: number) => {
    const orders = Array.from({ length: 10_500 }, (_, at) => [`o-${at}`, JSON.stringify({ volume })]);
    return redis.command(["HSET", "order_status:crowd", ...orders.flat()]);
  };
  await write(1);
  await follow(slow, "stream_orders", { exchange: "crowd" });
  await congest(slow, fast);
  // The first change after its picture passes at once, and with it all others are on their way or wait.
  await follow(fast, "stream_orders", { exchange: "crowd", interval_ms: 3_600_000 });
  await write(2);
  await fast.frame(({ volume }) => volume === 2);
  slow.socket.resume();
  const picture = new Picture(slow, "orders:crowd");
  const done = () => picture.items.filter(({ volume }) => volume === 2).length;
  await expect.poll(done, { timeout: 10_000 }).toBe(10_500);
});

test("of events a client that stopped reading gets the last ten thousand, and the number of those before", async () => {
  await using gateway = await startGateway({ to: redis, congestedBytes: 1_024, rereadMs: 0 });
  const [slow, fast] = await openTwo(gateway);
  const params = { exchange: "lagging", symbol: "X" };
  await follow(slow, "stream_trade_updates", params);
  await congest(slow, fast);
  await follow(fast, "stream_trade_updates", params);
  for (let first = 1; first <= 12_000; first += 4_000) {
    await pushTrades(
      redis,
      "lagging",
      "X",
      Array.from({ length: 4_000 }, (_, at) => first + at),
    );
    await fast.frame(({ trade_id }) => trade_id === first + 3_999);
  }
  slow.socket.resume();
  await slow.frame(({ trade_id }) => trade_id === 12_000);
  const [oldest, ...others] = slow.updates("trade:lagging:X");
  expect(oldest).toMatchObject({ trade_id: 2_001, skipped: 2_000 });
  expect(others).toHaveLength(9_999);
  expect(new Picture(slow, "trade:lagging:X").items).toHaveLength(10_000);
});

test("a client that asks and never reads is cut off, which is logged and counted once", async () => {
  const limits = { maxBacklogBytes: 65_536, congestedBytes: 1_024, slowMs: 100 };
  await using gateway = await startGateway({ to: redis, ...limits });
  await redis.command([
    "HSET",
    "bot_status",
    ...Array.from({ length: 200 }, (_, at) => [`big-${at}`, JSON.stringify({ text: "x".repeat(5_000) })]).flat(),
  ]);
  const wire = await gateway.wire();
  wire.socket.pause();
  for (let n = 0; n < 100; n++) wire.send(JSON.stringify({ request_id: n, operation: "get_bots" }));
  const warnings = () => gateway.lines.filter(({ level }) => level === 40);
  const isClosed = () => gateway.lines.some(({ msg }) => msg === "connection closed");
  await expect.poll(isClosed, { timeout: 8_000 }).toBe(true);
  expect(warnings()).toMatchObject([{ msg: "connection takes too little: closed", backlog: expect.any(Number) }]);
  await redis.command(["DEL", "bot_status"]);
  const other = await gateway.wire();
  expect(await other.ask("get_system_health")).toMatchObject({
    gateway: { connections: 1, refusals: { SLOW_CONSUMER: 1 } },
  });
});

test("a connection is logged when it opens and when it closes, and not in between", async () => {
  await using gateway = await startGateway({ to: redis });
  const wire = await gateway.wire();
  await follow(wire, "stream_orders", { exchange: "logged" });
  await saveOrder(redis, "logged", "o-1", "open");
  await wire.frame(({ type }) => type === "order_update");
  await wire.request("get_ticker", { exchange: "none", symbol: "none" });
  await wire.request("no_such_operation");
  wire.send("not json");
  await wire.frame(({ error_code }) => error_code === "MALFORMED_MESSAGE");
  const lines = () =>
    gateway.lines.filter(({ level, connection }) => (level as number) >= 30 && connection !== undefined);
  expect(lines()).toEqual([
    { level: 30, time: expect.any(Number), msg: "connection opened", connection: 1, peer: "127.0.0.1" },
  ]);
  wire.socket.close(4321);
  await wire.closed();
  await expect
    .poll(lines)
    .toMatchObject([
      { msg: "connection opened" },
      { msg: "connection closed", connection: 1, code: 4321, seconds: expect.any(Number) },
    ]);
});

test("clients that go away in the middle of anything leave nothing behind", async () => {
  await using gateway = await startGateway({ to: redis });
  const witness = await gateway.wire();
  for (let round = 0; round < 30; round++) {
    const wire = await gateway.wire();
    const ids = ["stream_orders", "stream_tickers", "get_orders", "stream_trade_updates"].entries();
    for (const [at, operation] of ids)
      wire.send(JSON.stringify({ request_id: at, operation, params: { exchange: `gone-${round % 3}` } }));
    if (round % 3 === 0) wire.socket.close();
    else if (round % 3 === 1) wire.socket.terminate();
    else {
      await wire.frame(({ success }) => success === true);
      wire.socket.close();
      wire.send(JSON.stringify({ request_id: "late", operation: "ping" }));
    }
  }
  await expect
    .poll(() => witness.ask("get_system_health"))
    .toMatchObject({ gateway: { connections: 1, streams: 0, topics: 0 } });
  expect(gateway.lines.filter(({ level }) => (level as number) >= 40)).toEqual([]);
});

test("a server whose HTTP head is broken answers the next client all the same", async () => {
  await using gateway = await startGateway({ to: redis });
  const port = portOf(gateway.server);
  const socket = await tcp(port);
  socket.write("\x16\x03\x01\x02\x00rubbish\r\n\r\n");
  expect(String((await once(socket, "data"))[0])).toMatch(/^HTTP\/1\.1 400 /);
  // A handshake that is no WebSocket handshake.
  const answered = new Promise<IncomingMessage>((resolve) => {
    httpRequest({ port, host: "127.0.0.1", headers: { Connection: "Upgrade", Upgrade: "h2c" } }, resolve).end();
  });
  expect((await answered).statusCode).toBe(400);
  expect(await (await gateway.wire()).ask("ping")).toBeDefined();
});
