import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import { CacheError } from "../src/protocol/errors.ts";
import { codeOf, failure, success } from "../src/server/answers.ts";
import { Buckets } from "../src/server/buckets.ts";
import { metrics } from "../src/server/metrics.ts";
import type { CacheWebSocketServer } from "../src/server/websocket-server.ts";
import { type Frame, startGateway, Wire } from "./kit/gateway.ts";
import { startProxy } from "./kit/proxy.ts";
import { startRedis } from "./kit/redis.ts";
import { metricOf, readScrape, type Scraped } from "./kit/scrape.ts";
import { listenOnFile } from "./kit/socket-file.ts";
import { follow, saveOrder, setTicker } from "./kit/streams.ts";
import { secret, token } from "./kit/tokens.ts";
import { until } from "./kit/until.ts";

const redis = await startRedis();
afterAll(() => redis[Symbol.asyncDispose]());

/** Reads the short names of our own metrics. */
async function scrape(server: CacheWebSocketServer): Promise<(name: string, labels?: string) => number> {
  const scraped = readScrape(await server.metrics());
  return (name, labels) => metricOf(scraped, `fullon_cache_api_${name}`, labels);
}

const told = (price: number) => (frame: Frame) => frame["price"] === price;

test("a scrape has every metric that is declared, of its kind, with its labels, and no other", async () => {
  await using gateway = await startGateway({ to: redis });
  const wire = await gateway.wire();
  await wire.ask("ping");
  await wire.request("nonsense");
  const text = await gateway.server.metrics();
  const scraped = readScrape(text);
  expect([...scraped].map(([name, { kind }]) => [name, kind])).toEqual(
    Object.entries(metrics).map(([name, { kind }]) => [name, kind]),
  );
  for (const [name, metric] of Object.entries(metrics)) {
    expect(text).toContain(`# HELP ${name} ${metric.about}\n`);
    const labels = "labels" in metric ? [...metric.labels] : [];
    for (const series of scraped.get(name)?.values.keys() ?? [])
      expect([...series.matchAll(/(\w+)="/g)].map(([, label]) => label).filter((label) => label !== "le")).toEqual(
        labels,
      );
  }
  expect(metricOf(scraped, "fullon_cache_api_info", `version="0.1.0",node="${process.version}"`)).toBe(1);
});

test("requests are counted by operation and by how they ended, and how long they took", async () => {
  await using gateway = await startGateway({ to: redis });
  await setTicker(redis, "count", "BTC/USDT", 1);
  const wire = await gateway.wire();
  const ask = (symbol: string) => wire.request("get_ticker", { exchange: "count", symbol });
  for (const symbol of ["BTC/USDT", "NONE"]) for (let at = 0; at < 3; at++) await ask(symbol);
  await wire.request("get_ticker", { exchange: "count" });
  await wire.request("get_ticker_s");
  wire.send(Buffer.from("{}"));
  wire.send("[]");
  await wire.until((frames) => frames.filter(({ request_id }) => request_id === null).length === 2);
  const of = await scrape(gateway.server);
  const requests = (operation: string, code: string) => of("requests_total", `operation="${operation}",code="${code}"`);
  expect(requests("get_ticker", "OK")).toBe(3);
  expect(requests("get_ticker", "TICKER_NOT_FOUND")).toBe(3);
  expect(requests("get_ticker", "INVALID_PARAMS")).toBe(1);
  expect(requests("unknown", "INVALID_OPERATION")).toBe(1);
  expect(requests("unknown", "MALFORMED_MESSAGE")).toBe(2);
  expect(of("near_cache_hits_total")).toBe(4);
  expect(of("near_cache_bytes")).toBe(gateway.server.summary.near_cache_bytes);
  const seconds = (what: string) => of("request_seconds", what);
  expect(seconds('count operation="get_ticker"')).toBe(7);
  expect(seconds('bucket operation="get_ticker",le="+Inf"')).toBe(7);
  expect(seconds('bucket operation="get_ticker",le="0.0005"')).toBeGreaterThanOrEqual(5);
  expect(seconds('sum operation="get_ticker"')).toBeGreaterThan(0);
  expect(of("redis_round_trip_seconds", "count")).toBeGreaterThanOrEqual(2);
});

test("whatever text a client put into its request, the code of an answer is found", () => {
  expect(codeOf(success({ a: 1 }))).toBeUndefined();
  const texts = ["plain", '","error_code":"FAKE","', '\\","error_code":"FAKE', "\u2028"];
  for (const text of texts) expect(codeOf(failure(new CacheError("BOT_NOT_FOUND", text)))).toBe("BOT_NOT_FOUND");
});

test("a value is in the first bucket whose bound is not below it", () => {
  const buckets = new Buckets([1, 2]);
  for (const value of [0, 1, 1.5, 2, 3, 100]) buckets.add(value);
  expect([...Array.from(buckets.counts), buckets.sum]).toEqual([2, 2, 2, 107.5]);
});

test("how old news is when it leaves is counted once per topic, however many follow", async () => {
  await using gateway = await startGateway({ to: redis, rereadMs: 0 });
  const wires = await Promise.all([gateway.wire(), gateway.wire(), gateway.wire()]);
  for (const wire of wires) await follow(wire, "stream_tickers", { exchange: "lag", symbols: ["BTC/USDT"] });
  for (const wire of wires) await follow(wire, "stream_orders", { exchange: "lag" });
  for (let price = 1; price <= 5; price++) {
    // Told on a channel, and found by a look after a notice.
    await Promise.all([setTicker(redis, "lag", "BTC/USDT", price), saveOrder(redis, "lag", "A", "open", price)]);
    const isHere = (frame: Frame) => frame["volume"] === price && frame["order_id"] === "A";
    for (const wire of wires) await Promise.all([wire.frame(told(price)), wire.frame(isHere)]);
  }
  const of = await scrape(gateway.server);
  expect(of("update_lag_seconds", "count")).toBe(10);
  expect(of("update_lag_seconds", "sum")).toBeGreaterThan(0);
  expect([of("topics"), of("subscribers"), of("streams"), of("connections")]).toEqual([2, 6, 6, 3]);
  expect(of("updates_sent_total")).toBe(30);
  // What was sent on connections that are gone still counts.
  const [gone] = wires;
  gone?.close();
  await until(async () => expect((await scrape(gateway.server))("connections")).toBe(2));
  const later = await scrape(gateway.server);
  expect([later("updates_sent_total"), later("subscribers")]).toEqual([30, 4]);
  expect([later("connections_opened_total"), later("connections_closed_total", 'code="1006"')]).toEqual([3, 1]);
});

test("what is found on a timer, where Redis tells nothing, says nothing of the lag", async () => {
  await using proxy = await startProxy(redis.port, { unknownCommands: ["CLIENT TRACKING"] });
  await using gateway = await startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl), pollMs: 20 });
  const wire = await gateway.wire();
  await follow(wire, "stream_orders", { exchange: "timed" });
  await saveOrder(redis, "timed", "A", "open");
  await wire.frame(({ order_id }) => order_id === "A");
  const of = await scrape(gateway.server);
  expect([of("redis_tracking"), of("updates_sent_total"), of("update_lag_seconds", "count")]).toEqual([0, 1, 0]);
});

test("that Redis is away is seen, for how long topics have been stale, and that it came back", async () => {
  await using own = await startRedis();
  let time = 1_000;
  await using gateway = await startGateway({ to: own, now: () => time });
  await setTicker(own, "away", "BTC/USDT", 1);
  const wire = await gateway.wire();
  await follow(wire, "stream_tickers", { exchange: "away" });
  const calm = await scrape(gateway.server);
  expect([calm("redis_connected"), calm("ready"), calm("stale_topics"), calm("stale_seconds")]).toEqual([1, 1, 0, 0]);
  expect([calm("redis_tracking"), calm("redis_reconnects_total")]).toEqual([1, 0]);
  await own.kill();
  await wire.frame(({ state }) => state === "stale");
  time += 90;
  const lost = await scrape(gateway.server);
  expect([lost("redis_connected"), lost("ready"), lost("stale_topics"), lost("stale_seconds")]).toEqual([0, 0, 1, 90]);
  await own.start();
  await wire.until((frames) => frames.findLast(({ state }) => state !== undefined)?.["state"] === "live");
  const back = await scrape(gateway.server);
  expect([back("redis_connected"), back("ready"), back("stale_topics"), back("stale_seconds")]).toEqual([1, 1, 0, 0]);
  expect(back("redis_reconnects_total")).toBe(1);
});

test("whether the Redis user may only read is a figure where that can be found out", async () => {
  await using own = await startRedis();
  await using gateway = await startGateway({ to: own });
  const figure = async (server: CacheWebSocketServer) =>
    readScrape(await server.metrics())
      .get("fullon_cache_api_redis_read_only")
      ?.values.get("");
  expect(await figure(gateway.server)).toBeUndefined();
  await using mighty = await startGateway({ to: own, redis: own.url });
  expect(await figure(mighty.server)).toBe(0);
});

test("a slow client shows in what waits, and that it is closed in the end", async () => {
  const own = { congestedBytes: 1_024, maxBacklogBytes: 65_536, slowMs: 1_500, pingMs: 60_000, rereadMs: 0 };
  await using gateway = await startGateway({ to: redis, ...own });
  // It takes little.
  const file = await listenOnFile(gateway.server);
  onTestFinished(() => file[Symbol.dispose]());
  const [slow, witness] = [await Wire.open(file.url), await Wire.open(file.url)];
  onTestFinished(() => [slow, witness].forEach((wire) => void wire.close()));
  for (const wire of [slow, witness]) await follow(wire, "stream_bot_status");
  slow.socket.pause();
  const text = JSON.stringify({ padding: "x".repeat(40_000) });
  await redis.admin.hSet("bot_status", Object.fromEntries(Array.from({ length: 25 }, (_, at) => [`b-${at}`, text])));
  await witness.frame(({ bot_id }) => bot_id === "b-24");
  // The other one may have been behind for a moment, too.
  await until(async () => {
    const stuck = await scrape(gateway.server);
    expect(stuck("congested_connections")).toBe(1);
    expect(stuck("queued_bytes")).toBeGreaterThan(65_536);
  });
  await until(async () => expect((await scrape(gateway.server))("slow_consumers_total")).toBe(1));
  slow.socket.resume();
  await until(async () => expect((await scrape(gateway.server))("connections_closed_total", 'code="4440"')).toBe(1));
  const over = await scrape(gateway.server);
  expect([over("congested_connections"), over("queued_bytes")]).toEqual([0, 0]);
  expect(over("refusals_total", 'code="SLOW_CONSUMER"')).toBe(1);
});

test("updates that an interval leaves out are counted as the subscriber is told of them", async () => {
  await using gateway = await startGateway({ to: redis });
  const [slow, fast] = [await gateway.wire(), await gateway.wire()];
  await follow(slow, "stream_tickers", { exchange: "skip", symbols: ["BTC/USDT"], interval_ms: 200 });
  await follow(fast, "stream_tickers", { exchange: "skip", symbols: ["BTC/USDT"] });
  for (let price = 1; price <= 20; price++) {
    await setTicker(redis, "skip", "BTC/USDT", price);
    await fast.frame(told(price));
  }
  await slow.frame(told(20));
  const skipped = slow.frames.reduce((sum, { skipped = 0 }) => sum + Number(skipped), 0);
  expect(skipped).toBeGreaterThan(0);
  expect((await scrape(gateway.server))("updates_skipped_total")).toBe(skipped);
});

test("who is refused, and closed, is counted by code; codes that a client makes up are one", async () => {
  await using gateway = await startGateway({ to: redis, jwtSecret: secret });
  await expect(gateway.wire()).rejects.toThrow("401");
  const wire = await gateway.wire(await token({ user_id: 1, scope: "tickers:read" }));
  expect(await wire.request("get_bots")).toMatchObject({ error_code: "FORBIDDEN" });
  for (const code of [4001, 4002, 1000]) {
    const other = await gateway.wire(await token({ user_id: 1 }));
    other.socket.close(code);
    await other.closed();
  }
  await until(async () => expect((await scrape(gateway.server))("connections")).toBe(1));
  const of = await scrape(gateway.server);
  expect(of("refusals_total", 'code="UNAUTHORIZED"')).toBe(1);
  expect(of("refusals_total", 'code="FORBIDDEN"')).toBe(1);
  expect(of("requests_total", 'operation="get_bots",code="FORBIDDEN"')).toBe(1);
  expect(of("connections_closed_total", 'code="other"')).toBe(2);
  expect(of("connections_closed_total", 'code="1000"')).toBe(1);
  expect(of("connections_max")).toBe(20_000);
});

test("values that cannot be read are counted", async () => {
  await using gateway = await startGateway({ to: redis });
  await redis.command(["HSET", "tickers:rubbish", "BTC/USDT", "{"]);
  await (await gateway.wire()).ask("get_all_tickers", { exchange: "rubbish" });
  expect((await scrape(gateway.server))("corrupt_values_total")).toBe(1);
});

test("a process that stood still says for how long, until the next scrape", async () => {
  await using gateway = await startGateway({ to: redis });
  const look = async () => readScrape(await gateway.server.metrics());
  const longest = (scraped: Scraped) => metricOf(scraped, "nodejs_eventloop_lag_max_seconds");
  // Each scrape begins anew, and what is told then needs some ticks of 20 ms.
  const rarely = { interval: 100, timeout: 8_000 };
  const busy = await vi.waitFor(async () => {
    const end = performance.now() + 300;
    while (performance.now() < end);
    await delay(30);
    const scraped = await look();
    expect(longest(scraped)).toBeGreaterThan(0.25);
    return scraped;
  }, rarely);
  await vi.waitFor(async () => expect(longest(await look())).toBeLessThan(0.25), rarely);
  expect(metricOf(busy, "nodejs_eventloop_lag_p99_seconds")).toBeLessThanOrEqual(longest(busy));
  expect(metricOf(busy, "nodejs_eventloop_active_seconds_total")).toBeGreaterThan(0.3);
  expect(metricOf(busy, "process_cpu_seconds_total")).toBeGreaterThan(0.1);
  expect(metricOf(busy, "process_resident_memory_bytes")).toBeGreaterThan(1e7);
  expect(metricOf(busy, "process_start_time_seconds") * 1_000).toBeCloseTo(performance.timeOrigin, -3);
});
