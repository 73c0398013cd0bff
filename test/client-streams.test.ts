import { getEventListeners } from "node:events";
import { afterAll, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { CacheError, fullonCacheApi } from "../src/client/index.ts";
import type { CacheClient } from "../src/client/websocket-client.ts";
import { startGateway } from "./kit/gateway.ts";
import { startPeer } from "./kit/peer.ts";
import { checkIds, Reader, take } from "./kit/reader.ts";
import { appendBars, pushTrades, saveOrder, setPositions, setTicker } from "./kit/streams.ts";
import { until } from "./kit/until.ts";
import { startWebSocketProxy } from "./kit/websocket-proxy.ts";

const gateway = await startGateway();
const { redis } = gateway;
const cache = await gateway.client();
afterAll(() => gateway[Symbol.asyncDispose]());

// An exchange of its own for every test.
let exchange = "";
let tests = 0;
beforeEach(() => {
  exchange = `exchange-${++tests}`;
});

/** How many streams and topics the gateway has. */
async function load(): Promise<{ streams: number; topics: number }> {
  const { streams, topics } = (await cache.getSystemHealth()).gateway;
  return { streams, topics };
}

const untilIdle = () => until(async () => expect(await load()).toEqual({ streams: 0, topics: 0 }));

/** Waits until a client got so many more updates than `before`. */
const untilReceived = (client: CacheClient, count: number) =>
  until(() => expect(client.updatesReceived).toBeGreaterThanOrEqual(count));

test("a stream brings the picture first and then every change", async () => {
  await setTicker(redis, exchange, "BTC/USDT", 1);
  const stream = cache.streamTickers(exchange);
  const [first] = await take(stream, 1);
  expect(first).toMatchObject({ type: "ticker_update", snapshot: true, exchange, symbol: "BTC/USDT", price: 1 });
  await setTicker(redis, exchange, "BTC/USDT", 2);
  await setTicker(redis, exchange, "ETH/USDT", 3);
  const [second, third] = await take(stream, 2);
  expect(second).toMatchObject({ symbol: "BTC/USDT", price: 2, update_id: (first?.update_id ?? 0) + 1 });
  expect(third).toMatchObject({ symbol: "ETH/USDT", price: 3, update_id: (first?.update_id ?? 0) + 2 });
  expect([second?.snapshot, third?.snapshot]).toEqual([undefined, undefined]);
  await stream.return();
});

test("what vanishes comes as its identity and `removed`", async () => {
  await saveOrder(redis, exchange, "o-1", "open");
  const stream = cache.streamOrders(exchange);
  await take(stream, 1);
  await redis.command(["HDEL", `order_status:${exchange}`, "o-1"]);
  const [gone] = await take(stream, 1);
  expect(gone).toMatchObject({ removed: true, exchange, order_id: "o-1" });
  expect(gone).not.toHaveProperty("status");
  await stream.return();
});

test("a stream asks for nothing before somebody takes from it", async () => {
  await using proxy = await startWebSocketProxy(gateway.server.url);
  const client = await gateway.client({ url: proxy.url });
  const stream = client.streamTickers(exchange);
  const unused = client.streamTickers(exchange);
  await unused.return();
  await client.getExchanges();
  expect(proxy.operations).toEqual(["get_exchanges"]);
  void stream.next();
  await until(() => expect(proxy.operations).toEqual(["get_exchanges", "stream_tickers"]));
  await stream.return();
});

test("streams on one connection do not get into each other's way", async () => {
  await setTicker(redis, exchange, "BTC/USDT", 1);
  await saveOrder(redis, exchange, "o-1", "open");
  const readers = [
    new Reader(cache.streamTickers(exchange), "symbol"),
    new Reader(cache.streamTickers(exchange, ["BTC/USDT"]), "symbol"),
    new Reader(cache.streamOrders(exchange), "order_id"),
    new Reader(cache.streamOrderQueue(exchange)),
  ] as const;
  await until(() => expect(readers.map(({ updates }) => updates.length)).toEqual([1, 1, 1, 1]));
  await setTicker(redis, exchange, "BTC/USDT", 2);
  await saveOrder(redis, exchange, "o-2", "open");
  await until(() => expect(readers.map(({ updates }) => updates.length)).toEqual([2, 2, 2, 2]));
  const topics = [
    `tickers:${exchange}`,
    `ticker:${exchange}:BTC/USDT`,
    `orders:${exchange}`,
    `order_queue:${exchange}`,
  ];
  for (const [at, { updates }] of readers.entries())
    expect(new Set(updates.map(({ topic }) => topic))).toEqual(new Set([topics[at]]));
  for (const { stream } of readers) await stream.return();
});

test.each(["full", "empty"])("streams that share a topic each see every update once; at first it is %s", async (at) => {
  if (at === "full") await setTicker(redis, exchange, "BTC/USDT", 1);
  const client = await gateway.client();
  const one = new Reader(client.streamTickers(exchange), "symbol");
  await until(() => expect(one.stream.state.state).toBe("live"));
  await setTicker(redis, exchange, "BTC/USDT", 2);
  await until(() => expect(one.items).toMatchObject([{ price: 2 }]));
  const seen = one.updates.length;
  const other = new Reader(client.streamTickers(exchange), "symbol");
  await until(() => expect(other.items).toMatchObject([{ price: 2, snapshot: true }]));
  const { updates_sent: before } = await client.ping();
  await setTicker(redis, exchange, "BTC/USDT", 3);
  await setTicker(redis, exchange, "BTC/USDT", 4);
  await until(() => {
    expect(one.items).toMatchObject([{ price: 4 }]);
    expect(other.items).toMatchObject([{ price: 4 }]);
  });
  expect(one.updates.slice(seen)).toMatchObject([{ price: 3 }, { price: 4 }]);
  expect(other.updates).toMatchObject([{ price: 2 }, { price: 3 }, { price: 4 }]);
  expect((await client.ping()).updates_sent).toBe(before + 2);

  await one.stream.return();
  await setTicker(redis, exchange, "BTC/USDT", 5);
  await until(() => expect(other.items).toMatchObject([{ price: 5 }]));
  expect(one.items).toMatchObject([{ price: 4 }]);
  await client.close();
});

test("`break` ends a stream at the gateway", async () => {
  await setTicker(redis, exchange, "BTC/USDT", 1);
  for await (const update of cache.streamTickers(exchange, ["BTC/USDT"])) {
    expect(await load()).toEqual({ streams: 1, topics: 1 });
    expect(update).toMatchObject({ price: 1 });
    break;
  }
  await untilIdle();
});

test("an error thrown in the loop ends a stream at the gateway", async () => {
  await setTicker(redis, exchange, "BTC/USDT", 1);
  const failing = async () => {
    for await (const { update_id } of cache.streamTickers(exchange)) throw new Error(`no use for ${update_id}`);
  };
  await expect(failing()).rejects.toThrow("no use for");
  await untilIdle();
});

test("return() from outside ends a stream while its next() waits", async () => {
  const stream = cache.streamTickers(exchange);
  const waiting = [stream.next(), stream.next()];
  await until(() => expect(stream.state.state).toBe("live"));
  expect(await load()).toEqual({ streams: 1, topics: 1 });
  await stream.return();
  expect(await Promise.all(waiting)).toEqual(Array(2).fill({ done: true, value: undefined }));
  expect(await stream.next()).toEqual({ done: true, value: undefined });
  await untilIdle();
});

test("a stream that is left before it is open does not stay open at the gateway", async () => {
  await using proxy = await startWebSocketProxy(gateway.server.url);
  const client = await gateway.client({ url: proxy.url });
  const stream = client.streamTickers(exchange);
  proxy.hold();
  const waiting = stream.next();
  await stream.return();
  expect(await waiting).toEqual({ done: true, value: undefined });
  proxy.release();
  await until(() => expect(proxy.operations).toEqual(["stream_tickers", "unsubscribe"]));
  expect(await client.listStreams()).toEqual([]);
});

test("`await using` ends a stream at the end of its block", async () => {
  {
    await using stream = cache.streamTickers(exchange);
    void stream.next();
    await until(() => expect(stream.state.state).toBe("live"));
    expect(stream[Symbol.asyncIterator]()).toBe(stream);
  }
  await untilIdle();
});

test("a stream can be aborted before it begins, while it opens, while it waits, and while values wait", async () => {
  const reason = new Error("enough");
  const early = cache.streamTickers(exchange, { signal: AbortSignal.abort(reason) });
  await expect(early.next()).rejects.toBe(reason);

  const opening = new AbortController();
  const first = cache.streamTickers(exchange, { signal: opening.signal }).next();
  opening.abort(reason);
  await expect(first).rejects.toBe(reason);

  const waiting = new AbortController();
  const empty = cache.streamTickers(exchange, { signal: waiting.signal });
  const second = empty.next();
  await until(() => expect(empty.state.state).toBe("live"));
  waiting.abort(reason);
  await expect(second).rejects.toBe(reason);
  expect(await empty.next()).toEqual({ done: true, value: undefined });

  await Promise.all(["A", "B", "C"].map((symbol) => setTicker(redis, exchange, symbol, 1)));
  const full = new AbortController();
  const many = cache.streamTickers(exchange, { signal: full.signal });
  const before = cache.updatesReceived;
  await take(many, 1);
  await untilReceived(cache, before + 3);
  full.abort(reason);
  await expect(many.next()).rejects.toBe(reason);
  expect(many.state).toEqual({ state: "ended", reason: "enough" });
  for (const { signal } of [opening, waiting, full]) expect(getEventListeners(signal, "abort")).toHaveLength(0);
  await untilIdle();
});

test("a signal is let go however its stream ends, and not held by one that never began", async () => {
  const abort = new AbortController();
  const { signal } = abort;
  const listeners = () => getEventListeners(signal, "abort").length;
  cache.streamTickers(exchange, { signal });
  expect(listeners()).toBe(0);

  await setTicker(redis, exchange, "BTC/USDT", 1);
  for await (const _ of cache.streamTickers(exchange, { signal })) {
    expect(listeners()).toBe(1);
    break;
  }
  expect(listeners()).toBe(0);
  await expect(cache.streamTickers("", { signal }).next()).rejects.toThrow(CacheError);
  expect(listeners()).toBe(0);

  const client = await gateway.client();
  const closed = client.streamTickers(exchange, { signal });
  await take(closed, 1);
  expect(listeners()).toBe(1);
  await client.close();
  expect(listeners()).toBe(0);
});

test("a refused stream throws at the `for await`, once, and is over", async () => {
  const stream = cache.streamTickers("");
  const loop = async () => {
    for await (const update of stream) expect.fail(`got ${JSON.stringify(update)}`);
  };
  const error = await loop().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CacheError);
  expect((error as CacheError).code).toBe("INVALID_PARAMS");
  expect((error as CacheError).stack).toContain("client-streams.test.ts");
  expect(stream.state).toEqual({ state: "ended", reason: (error as CacheError).message });
  expect(await stream.next()).toEqual({ done: true, value: undefined });
});

test("close() ends the streams, and what waits can still be taken", async () => {
  await Promise.all(["A", "B"].map((symbol) => setTicker(redis, exchange, symbol, 1)));
  const client = await gateway.client();
  const stream = client.streamTickers(exchange);
  await take(stream, 1);
  await untilReceived(client, 2);
  const other = client.streamOrders(exchange);
  const waiting = other.next();
  await client.close();
  expect(await waiting).toEqual({ done: true, value: undefined });
  await take(stream, 1);
  expect(await stream.next()).toEqual({ done: true, value: undefined });
  expect(stream.state).toEqual({ state: "ended" });
});

test("who reads slowly gets the latest of every item, and is told how many were left out", async () => {
  const client = await gateway.client();
  const stream = client.streamTickers(exchange);
  const opened = stream.next();
  await until(() => expect(stream.state.state).toBe("live"));
  await setTicker(redis, exchange, "A", 1);
  const { value: first } = await opened;
  for (const price of [2, 3, 4]) {
    await setTicker(redis, exchange, "A", price);
    await setTicker(redis, exchange, "B", price);
  }
  await untilReceived(client, 7);
  const id = first?.update_id ?? 0;
  const [a, b] = await take(stream, 2);
  expect(a).toMatchObject({ symbol: "A", price: 4, update_id: id + 5, skipped: 4 });
  expect(b).toMatchObject({ symbol: "B", price: 4, update_id: id + 6 });
  expect(b).not.toHaveProperty("skipped");
  await client.close();
});

test("who keeps up is given every update, also of many that come at once; who does not is told how many were left out", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const total = 20_000;
  const topic = "ticker:binance:BTC/USDT";
  const update = (n: number) => ({
    type: "ticker_update",
    topic,
    exchange: "binance",
    symbol: "BTC/USDT",
    update_id: n,
  });
  await using peer = await startPeer((socket) => {
    socket.on("message", (data) => {
      const { request_id } = JSON.parse(String(data));
      const send = (frame: object) => socket.send(JSON.stringify(frame));
      send({ request_id, success: true, result: { stream: "s1", topics: [topic], epoch: "e" } });
      send({ type: "stream_status", topic, state: "live", epoch: "e", count: 0, update_id: 0 });
      for (let n = 1; n <= total; n++) send(update(n));
    });
  });
  const read = async (work: () => unknown) => {
    await using client = await fullonCacheApi(peer.url);
    let [seen, last] = [0, 0];
    for await (const { update_id, skipped = 0 } of client.streamTickers("binance", ["BTC/USDT"])) {
      expect(update_id).toBe(last + 1 + skipped);
      last = update_id;
      seen++;
      if (last === total) break;
      await work();
    }
    return seen;
  };
  expect(await read(() => {})).toBe(total);
  expect(await read(() => new Promise((resolve) => setImmediate(resolve)))).toBeLessThan(total);
});

test("what came and went while nobody looked is not told, but counted", async () => {
  const client = await gateway.client();
  await saveOrder(redis, exchange, "known", "open");
  const stream = client.streamOrders(exchange);
  const [known] = await take(stream, 1);
  await saveOrder(redis, exchange, "brief", "open");
  await untilReceived(client, 2);
  await redis.command(["HDEL", `order_status:${exchange}`, "brief"]);
  await untilReceived(client, 3);
  await redis.command(["HDEL", `order_status:${exchange}`, "known"]);
  await untilReceived(client, 4);
  await saveOrder(redis, exchange, "last", "open");
  await untilReceived(client, 5);
  const updates = await take(stream, 2);
  expect(updates).toMatchObject([
    { order_id: "known", removed: true, update_id: (known?.update_id ?? 0) + 3, skipped: 2 },
    { order_id: "last", update_id: (known?.update_id ?? 0) + 4 },
  ]);
  await client.close();
});

test("events wait in a bounded queue: who reads too slowly loses the oldest and is told how many", async () => {
  const client = await gateway.client({ bufferSize: 3 });
  const stream = client.streamTradeUpdates(exchange, "BTC/USDT");
  const opened = stream.next();
  await until(() => expect(stream.state.state).toBe("live"));
  await pushTrades(redis, exchange, "BTC/USDT", [1]);
  const { value: first } = await opened;
  await pushTrades(redis, exchange, "BTC/USDT", [2, 3, 4, 5, 6, 7]);
  await untilReceived(client, 7);
  const updates = await take(stream, 3);
  expect(updates.map(({ trade_id }) => trade_id)).toEqual([5, 6, 7]);
  expect(updates.map(({ skipped }) => skipped)).toEqual([3, undefined, undefined]);
  if (first) checkIds([first], updates[0] as (typeof updates)[0]);
  await client.close();
});

test("every trade comes, also when many come at once", async () => {
  const client = await gateway.client();
  const reader = new Reader(client.streamTradeUpdates(exchange), "trade_id");
  await until(() => expect(reader.stream.state.state).toBe("live"));
  const ids = Array.from({ length: 2_500 }, (_, n) => n + 1);
  for (let at = 0; at < ids.length; at += 500) await pushTrades(redis, exchange, "BTC/USDT", ids.slice(at, at + 500));
  await until(() => expect(reader.updates).toHaveLength(2_500));
  expect(reader.updates.map(({ trade_id }) => trade_id)).toEqual(ids);
  await client.close();
});

test("bars that only grew old leave a full picture without a word", async () => {
  const client = await gateway.client();
  await appendBars(
    redis,
    exchange,
    Array.from({ length: 100 }, (_, minute) => [minute, 1] as const),
  );
  const reader = new Reader(client.streamOhlcv(exchange, "1m"), "timestamp");
  await until(() => expect(reader.updates).toHaveLength(100));
  await appendBars(redis, exchange, [
    [100, 2],
    [101, 2],
  ]);
  await until(() => expect(reader.updates).toHaveLength(102));
  expect(reader.updates.filter(({ removed }) => removed)).toEqual([]);
  await client.close();
});

test("a stream tells how it is doing to everybody who wants to know", async () => {
  await setTicker(redis, exchange, "BTC/USDT", 1);
  const stream = cache.streamTickers(exchange);
  expect(stream.state).toEqual({ state: "opening" });
  const [one, other] = [stream.status(), stream.status()];
  const third = stream.status();
  await third.next();
  const waiting = third.next();
  await third.return?.();
  expect(await waiting).toEqual({ done: true, value: undefined });
  await take(stream, 1);
  await until(() => expect(stream.state).toEqual({ state: "live" }));
  await stream.return();
  for (const status of [one, other]) {
    const states = [];
    for await (const { state } of status) states.push(state);
    expect(states).toEqual(["opening", "live", "ended"]);
  }
  const late = stream.status();
  expect(await late.next()).toEqual({ done: false, value: { state: "ended" } });
  expect(await late.next()).toEqual({ done: true, value: undefined });
});

test("a stream of several topics is live when all of them are", async () => {
  await using proxy = await startWebSocketProxy(gateway.server.url);
  const client = await gateway.client({ url: proxy.url });
  const swallowed = proxy.swallow(({ topic, state }) => topic === `ticker:${exchange}:B` && state === "live");
  const stream = client.streamTickers(exchange, ["A", "B", "C"]);
  const states: string[] = [];
  const watching = (async () => {
    for await (const { state } of stream.status()) states.push(state);
  })();
  void stream.next();
  await swallowed;
  await client.ping();
  expect(stream.state.state).toBe("opening");
  expect(states).toEqual(["opening"]);
  await stream.return();
  await watching;
});

test("intervalMs: of each item at most one update per interval, the latest", async () => {
  const client = await gateway.client();
  const reader = new Reader(client.streamTickers(exchange, { intervalMs: 100 }), "symbol");
  await until(() => expect(reader.stream.state.state).toBe("live"));
  const began = performance.now();
  for (let price = 1; price <= 200; price++) await setTicker(redis, exchange, "A", price);
  await until(() => expect(reader.items).toMatchObject([{ price: 200 }]));
  const intervals = (performance.now() - began) / 100;
  expect(reader.updates.length).toBeLessThanOrEqual(Math.ceil(intervals) + 1);
  await client.close();
});

test("streams that share a topic keep each to its own interval", async () => {
  const client = await gateway.client();
  await setTicker(redis, exchange, "A", 0);
  const slow = new Reader(client.streamTickers(exchange, { intervalMs: 150 }), "symbol");
  const fast = new Reader(client.streamTickers(exchange), "symbol");
  await until(() => expect([slow, fast].map(({ items }) => items.length)).toEqual([1, 1]));
  const began = performance.now();
  for (let price = 1; price <= 200; price++) {
    await setTicker(redis, exchange, "A", price);
    if (price % 50 === 0) await setTicker(redis, exchange, "B", price);
  }
  const pictures = [{ price: 200 }, { price: 200 }];
  await until(() => {
    expect(fast.items).toMatchObject(pictures);
    expect(slow.items).toMatchObject(pictures);
  });
  const intervals = (performance.now() - began) / 150;
  for (const symbol of ["A", "B"]) {
    const updates = slow.updates.filter((update) => !update.snapshot && update.symbol === symbol);
    expect(updates.length).toBeLessThanOrEqual(Math.ceil(intervals) + 1);
  }
  expect(fast.updates.filter((update) => !update.snapshot)).toHaveLength(204);
  await client.close();
});

test("a slow stream of a shared topic hears no more of what came and went within its interval", async () => {
  const client = await gateway.client();
  await setPositions(redis, "77", { A: 1 });
  const fast = new Reader(client.streamPositions("77"), "symbol");
  const slow = new Reader(client.streamPositions("77", { intervalMs: 400 }), "symbol");
  await until(() => expect([slow, fast].map(({ items }) => items.length)).toEqual([1, 1]));
  const write = async (volumes: Record<string, number>, count: number) => {
    await setPositions(redis, "77", volumes);
    await until(() => expect(fast.updates).toHaveLength(count));
  };
  await write({ A: 2 }, 2);
  await write({ A: 2, B: 1 }, 3);
  await write({ A: 3 }, 5);
  await until(() => expect(slow.items).toMatchObject([{ symbol: "A", volume: 3 }]));
  expect(slow.updates.some(({ symbol }) => symbol === "B")).toBe(false);
  await client.close();
});
