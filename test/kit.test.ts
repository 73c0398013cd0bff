import { createClient } from "redis";
import { expect, onTestFinished, test } from "vitest";
import { startProxy } from "./kit/proxy.ts";
import { startRedis } from "./kit/redis.ts";
import { Requests } from "./kit/requests.ts";

/** Connects as the gateway does: without the commands its user may not send. */
async function connect(url: string, RESP: 2 | 3 = 3) {
  const client = createClient({
    url,
    RESP,
    disableClientInfo: true,
    maintNotifications: "disabled",
    socket: { reconnectStrategy: false },
  });
  client.on("error", () => {});
  onTestFinished(() => {
    if (client.isOpen) client.destroy();
  });
  await client.connect();
  return client;
}

test("both fixtures can be replayed, again and again", async () => {
  await using redis = await startRedis();
  await redis.replay("commands");
  const size = await redis.admin.dbSize();
  const bars = await redis.admin.lLen("ohlcv:BTC/USDT:1m");
  await redis.replay("commands");
  expect([await redis.admin.dbSize(), await redis.admin.lLen("ohlcv:BTC/USDT:1m")]).toEqual([size, bars]);
  await redis.replay("corrupt");
  expect(await redis.admin.hGet("tickers:corrupt", "EMPTY/USDT")).toBe("");
  expect(await redis.admin.dbSize()).toBeGreaterThan(size);
});

test("the gateway's user reads, tracks and listens, and none of it is refused", async () => {
  await using redis = await startRedis();
  await redis.replay("commands");
  const gateway = await connect(redis.gatewayUrl);
  await gateway.sendCommand(["CLIENT", "TRACKING", "ON"]);
  expect(await gateway.hLen("tickers:binance")).toBeGreaterThan(5);
  const heard: string[] = [];
  const listener = await connect(redis.gatewayUrl);
  await listener.pSubscribe("ticker_updates:*", (message) => heard.push(message));
  await redis.command(["PUBLISH", "ticker_updates:binance:BTC/USDT", "{}"]);
  await expect.poll(() => heard).toEqual(["{}"]);
  expect(await redis.refused()).toEqual([]);
  const stats = await redis.stats();
  expect(stats.get("client|tracking")).toBe(1);
  expect(stats.get("psubscribe")).toBe(1);
  expect(stats.has("client|setinfo")).toBe(false);
});

test("the gateway's user cannot write, and the attempt fails the test that made it", async () => {
  const redis = await startRedis();
  const gateway = await connect(redis.gatewayUrl);
  await expect(gateway.hSet("tickers:binance", "BTC/USDT", "{}")).rejects.toThrow("NOPERM");
  await expect(gateway.get("something:else")).rejects.toThrow("NOPERM");
  const refused = await redis.refused();
  expect(refused.map(({ username }) => username)).toEqual(["fullon_cache_api", "fullon_cache_api"]);
  expect(refused.map(({ object }) => object).toSorted()).toEqual(["hset", "something:else"]);
  await expect(redis[Symbol.asyncDispose]()).rejects.toThrow("hset");
});

test("refusals can be what a test is about, and a restart does not forget them", async () => {
  await using redis = await startRedis({ allowRefused: true });
  const gateway = await connect(redis.gatewayUrl);
  await expect(gateway.publish("ticker_updates:binance:BTC/USDT", "{}")).rejects.toThrow("NOPERM");
  await redis.restart();
  expect(await redis.refused()).toMatchObject([{ object: "publish" }]);
});

test("a restarted server has the same address and the same user, and no data", async () => {
  await using redis = await startRedis();
  await redis.replay("commands");
  const url = redis.gatewayUrl;
  await redis.restart();
  expect(redis.gatewayUrl).toBe(url);
  expect(await redis.admin.dbSize()).toBe(0);
  const gateway = await connect(url);
  expect(await gateway.get("tickers:none")).toBeNull();
});

test("a killed server stays away until it is started", async () => {
  await using redis = await startRedis();
  await redis.kill();
  await expect(connect(redis.gatewayUrl)).rejects.toThrow("ECONNREFUSED");
  expect(await redis.refused()).toEqual([]);
  await redis.start();
  expect(await (await connect(redis.gatewayUrl)).ping()).toBe("PONG");
});

test("a paused server answers nothing until it is resumed", async () => {
  await using redis = await startRedis();
  const gateway = await connect(redis.gatewayUrl);
  redis.pause();
  const answers: string[] = [];
  const asked = gateway.ping().then((answer) => answers.push(answer));
  await expect(connectWithin(redis.gatewayUrl, 100)).rejects.toThrow();
  expect(answers).toEqual([]);
  redis.resume();
  await asked;
  expect(answers).toEqual(["PONG"]);
});

test("a server that is still paused at the end does not hold the test up", async () => {
  await using redis = await startRedis();
  redis.pause();
});

test("through the proxy everything works as without it", async () => {
  await using redis = await startRedis();
  await redis.replay("commands");
  await using proxy = await startProxy(redis.port);
  const gateway = await connect(proxy.through(redis.gatewayUrl));
  expect(await gateway.lRange("ohlcv:BTC/USDT:1m", 0, -1)).toEqual(
    await redis.admin.lRange("ohlcv:BTC/USDT:1m", 0, -1),
  );
  expect(proxy.connections).toBe(1);
});

test("the proxy cuts connections, and refuses new ones while it is told to", async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy(redis.port);
  const url = proxy.through(redis.gatewayUrl);
  const gateway = await connect(url);
  proxy.cut();
  await expect.poll(() => gateway.isOpen).toBe(false);
  proxy.refuse(true);
  await expect(connect(url)).rejects.toThrow();
  proxy.refuse(false);
  expect(await (await connect(url)).ping()).toBe("PONG");
});

test("the proxy swallows everything while it holds, and loses none of it", async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy(redis.port);
  const url = proxy.through(redis.gatewayUrl);
  const gateway = await connect(url);
  proxy.hold();
  const answers: string[] = [];
  const asked = Promise.all([1, 2, 3].map(async () => answers.push(await gateway.ping())));
  await expect(connectWithin(url, 100)).rejects.toThrow();
  expect(answers).toEqual([]);
  expect(gateway.isReady).toBe(true);
  proxy.release();
  await asked;
  expect(answers).toEqual(["PONG", "PONG", "PONG"]);
});

test("behind the proxy a Redis can seem older than it is, and its answers keep their order", async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy(redis.port, { unknownCommands: ["HELLO", "CLIENT TRACKING"] });
  const url = proxy.through(redis.gatewayUrl);
  await expect(connect(url)).rejects.toThrow("unknown command");
  const gateway = await connect(url, 2);
  const asked = [["PING"], ["CLIENT", "TRACKING", "ON"], ["CLIENT", "ID"], ["client", "tracking", "off"], ["PING"]];
  const answers = await Promise.all(
    asked.map((words) => gateway.sendCommand(words).catch((error: Error) => error.message)),
  );
  expect(answers).toEqual([
    "PONG",
    expect.stringMatching(/^ERR unknown command .*CLIENT-TRACKING/),
    expect.any(Number),
    expect.stringMatching(/^ERR unknown command .*CLIENT-TRACKING/),
    "PONG",
  ]);
  expect(await redis.refused()).toEqual([]);
});

test("a proxy in front of nothing closes what it accepted", async () => {
  await using redis = await startRedis();
  await using proxy = await startProxy(redis.port);
  await redis.kill();
  await expect(connect(proxy.through(redis.gatewayUrl))).rejects.toThrow();
  await expect.poll(() => proxy.connections).toBe(0);
});

test("requests are recognised wherever the network breaks them", () => {
  const stream = Buffer.from("*2\r\n$4\r\nECHO\r\n$6\r\na\r\n€\r\nPING now\r\n*1\r\n$4\r\nPING\r\n");
  for (let size = 1; size <= stream.length; size++) {
    const requests = new Requests();
    const found = [];
    for (let at = 0; at < stream.length; at += size) found.push(...requests.push(stream.subarray(at, at + size)));
    expect(found.map(({ words }) => words)).toEqual([["ECHO", "a\r\n€"], ["PING", "now"], ["PING"]]);
    expect(Buffer.concat(found.map(({ bytes }) => bytes))).toEqual(stream);
  }
});

/** Connects, or gives up: a server that is paused accepts and then says nothing. */
async function connectWithin(url: string, limitMs: number) {
  const client = createClient({
    url,
    disableClientInfo: true,
    maintNotifications: "disabled",
    socket: { reconnectStrategy: false, socketTimeout: limitMs },
  });
  client.on("error", () => {});
  try {
    await client.connect();
  } finally {
    if (client.isOpen) client.destroy();
  }
}
