import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { RecordedEvent, RecordedFrame, RecordedUpdate } from "../src/cli/recording.ts";
import { fullonCacheApi } from "../src/client/websocket-client.ts";
import { startMarket } from "../src/demo/market.ts";
import { command, inEmptyFolder, outcome } from "./kit/command.ts";
import { type Frame, startGateway, type TestGateway, Wire } from "./kit/gateway.ts";

vi.setConfig({ testTimeout: 60_000 });
const patience = { timeout: 30_000, interval: 10 };

// Recordings stand there as well.
inEmptyFolder();
let gateway: TestGateway;
let env: { readonly FULLON_CACHE_URL: string };

beforeAll(async () => {
  gateway = await startGateway();
  env = { FULLON_CACHE_URL: gateway.server.url };
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
});

/** The events of a recording. */
function eventsOf(file: string): RecordedEvent[] {
  const [, ...lines] = readFileSync(file, "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line));
}

const framesOf = (file: string): RecordedFrame[] =>
  eventsOf(file).flatMap((event) => ("frame" in event ? [event.frame] : []));

/** A recording written by hand: each frame with its time in seconds. */
function write(file: string, frames: readonly (readonly [number, object])[]): string {
  const params = { exchange: "one" };
  const lines = [
    { recording: 1, recorded_at: 0, streams: [{ operation: "stream_tickers", params }] },
    { at: 0, opened: { operation: "stream_tickers", params, topics: ["tickers:one"] } },
    ...frames.map(([at, frame]) => ({ at, frame: { topic: "tickers:one", ...frame } })),
  ];
  writeFileSync(file, `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`);
  return file;
}

const tick = (id: number, symbol: string, price: number, more: object = {}) => ({
  type: "ticker_update",
  exchange: "one",
  symbol,
  price,
  volume: 1,
  timestamp: 1,
  update_id: id,
  ...more,
});
const live = { type: "stream_status", state: "live", epoch: "e" };
const first = { snapshot: true, epoch: "e" };

/** Fails unless the ids of each topic follow each other, but for what is said to be skipped. */
function expectIdsInOrder(frames: readonly Frame[]): void {
  const last = new Map<unknown, number>();
  for (const { topic, update_id: id, snapshot, type, skipped = 0 } of frames) {
    if (typeof id !== "number") continue;
    if (!snapshot && type !== "stream_status") expect(id).toBe((last.get(topic) ?? 0) + 1 + Number(skipped));
    last.set(topic, id);
  }
}

/** The last update of each item. */
function picture(updates: readonly RecordedUpdate[]): Map<string, unknown> {
  const items = new Map<string, unknown>();
  for (const { update_id: _id, snapshot: _snapshot, epoch: _epoch, skipped: _skipped, ...update } of updates) {
    const { topic, symbol, order_id } = update as { topic: string; symbol?: unknown; order_id?: unknown };
    const name = JSON.stringify([topic, order_id ?? symbol]);
    if (update.removed) items.delete(name);
    else items.set(name, update);
  }
  return items;
}

test("what is recorded can be played to a client that does not know it", async () => {
  await using market = await startMarket(gateway.redis.url, { intervalMs: 20 });
  const streams = [
    "stream-tickers binance",
    "stream-orders binance",
    "stream-process-health",
    "stream-order-queue kraken",
  ];
  const words = streams.join(" -- ").split(" ");
  const recorded = await outcome(["record", "all.ndjson", "--count", "400", ...words], env);
  expect(recorded).toEqual({ code: 0, lines: [], errors: [] });
  await market.stop();
  const frames = framesOf("all.ndjson");
  const updates = frames.filter(({ type }) => type !== "stream_status") as RecordedUpdate[];
  expect(updates).toHaveLength(400);
  expectIdsInOrder(frames);

  await using replay = command(["replay", "all.ndjson", "--speed", "0", "--port", "0"]);
  await using cache = await fullonCacheApi(await replay.url());
  const came: RecordedUpdate[] = [];
  const open = [
    cache.streamTickers("binance"),
    cache.streamOrders("binance"),
    cache.streamProcessHealth(),
    cache.streamOrderQueue("kraken"),
  ];
  const reading = open.map(async (stream) => {
    for await (const update of stream) came.push(update as unknown as RecordedUpdate);
  });
  await replay.line("all of it has been played");
  const expected = picture(updates);
  await vi.waitUntil(
    () => JSON.stringify([...picture(came)].toSorted()) === JSON.stringify([...expected].toSorted()),
    patience,
  );
  expect(expected.size).toBeGreaterThan(10);
  for (const stream of open) expect(stream.state.state).toBe("live");
  expect((await cache.ping()).updates_sent).toBe(cache.updatesReceived);
  for (const stream of open) await stream.return();
  await Promise.all(reading);
  replay.end();
  expect(await replay.code).toBe(0);
  expect(replay.errors).toEqual([]);
});

test("who comes late is shown how things were recorded at that moment", async () => {
  const file = write("late.ndjson", [
    [0, tick(4, "A", 1, first)],
    [0, tick(4, "B", 1, first)],
    [0, { ...live, count: 2, update_id: 4 }],
    [0, tick(5, "A", 2)],
    [0, { type: "ticker_update", exchange: "one", symbol: "B", removed: true, update_id: 6 }],
    [0, tick(8, "C", 3, { skipped: 1 })],
  ]);
  await using replay = command(["replay", file, "--speed", "0", "--port", "0"]);
  const url = await replay.url();
  const early = await Wire.open(url);
  await early.ask("stream_tickers", { exchange: "one" });
  await early.frame(({ update_id: id }) => id === 8);
  expect(early.frames.slice(1)).toEqual(framesOf(file));
  const late = await Wire.open(url);
  await late.ask("stream_tickers", { exchange: "one", interval_ms: 1_000 });
  await late.frame(({ type }) => type === "stream_status");
  expect(late.frames.slice(1)).toEqual([
    { topic: "tickers:one", ...tick(8, "A", 2), ...first },
    { topic: "tickers:one", ...tick(8, "C", 3), ...first },
    { topic: "tickers:one", ...live, count: 2, update_id: 8 },
  ]);
  expect(await late.ask("ping")).toMatchObject({ updates_sent: 2 });
  const [{ stream } = { stream: "" }] = (await late.ask("list_streams")) as { stream: string }[];
  expect(await late.ask("unsubscribe", { stream })).toEqual({ stream });
  expect(await late.ask("list_streams")).toEqual([]);
  expect(await late.request("unsubscribe", { stream })).toMatchObject({ error_code: "STREAM_NOT_FOUND" });
  expect(await late.request("stream_tickers", { exchange: "two" })).toMatchObject({
    error_code: "INVALID_PARAMS",
    error: "the recording has no such stream; it has tickers:one",
  });
  expect(await late.request("get_ticker", { exchange: "one", symbol: "A" })).toMatchObject({
    error_code: "INVALID_OPERATION",
  });
  expect(await late.request("get_server_info")).toMatchObject({ result: { name: "fullon-cache-api", protocol: 1 } });
  expect(await late.request("authenticate", { token: "x" })).toMatchObject({ success: true });
  expect(await late.request("nonsense")).toMatchObject({ error_code: "INVALID_OPERATION" });
  late.send("{");
  await late.frame(({ error_code: code }) => code === "MALFORMED_MESSAGE");
  for (const wire of [early, late]) wire.close();
});

test("a client gets what it asked for at its own pace, and what it was spared is counted", async () => {
  const moves = [...Array(200).keys()].map((at) => [at / 400, tick(at + 1, at % 2 ? "A" : "B", at)] as const);
  const file = write("pace.ndjson", [[0, { ...live, count: 0, update_id: 0 }], ...moves]);
  await using replay = command(["replay", file, "--port", "0"]);
  const url = await replay.url();
  const [every, some] = [await Wire.open(url), await Wire.open(url)];
  // The first sets it going: only that one is sure to hear all.
  await every.ask("stream_tickers", { exchange: "one" });
  await some.ask("stream_tickers", { exchange: "one", interval_ms: 100 });
  for (const wire of [every, some]) await wire.frame(({ update_id: id }) => id === 200);
  for (const wire of [every, some]) expectIdsInOrder(wire.frames);
  expect(every.updates("tickers:one")).toHaveLength(200);
  expect(some.updates("tickers:one").length).toBeLessThan(100);
  for (const wire of [every, some]) wire.close();
});

test("it takes as long as it took, or as much less as is asked for", async () => {
  const file = write("slow.ndjson", [
    [0, { ...live, count: 0, update_id: 0 }],
    [1.2, tick(1, "A", 1)],
  ]);
  const took = async (speed: string) => {
    await using replay = command(["replay", file, "--port", "0", "--speed", speed]);
    const wire = await Wire.open(await replay.url());
    const began = performance.now();
    await wire.ask("stream_tickers", { exchange: "one" });
    await wire.frame(({ update_id: id }) => id === 1);
    wire.close();
    return performance.now() - began;
  };
  expect(await took("1")).toBeGreaterThan(1_150);
  expect(await took("2")).toBeGreaterThan(570);
  expect(await took("0")).toBeLessThan(1_150);
});

test("a time at which everything was stale is played as well", async () => {
  await using own = await startGateway();
  const put = () => own.redis.command(["HSET", "tickers:one", "A", JSON.stringify({ price: 1, time: 1 })]);
  await put();
  await using record = command(["record", "stale.ndjson", "stream-tickers", "one", "--url", "x"], {});
  expect(await record.code).toBe(2);
  await using recording = command(["record", "--url", own.server.url, "stale.ndjson", "stream-tickers", "one"]);
  const states = () =>
    existsSync("stale.ndjson")
      ? framesOf("stale.ndjson").flatMap(({ state }) => (state === undefined ? [] : [state]))
      : [];
  await vi.waitUntil(() => states().length === 1, patience);
  await own.redis.restart();
  await vi.waitUntil(() => states().length === 3, patience);
  recording.end();
  expect(await recording.code).toBe(0);
  expect(states()).toEqual(["live", "stale", "live"]);

  await using replay = command(["replay", "stale.ndjson", "--port", "0", "--speed", "2"]);
  await using cache = await fullonCacheApi(await replay.url());
  const stream = cache.streamTickers("one");
  const told: string[] = [];
  const watching = (async () => {
    for await (const { state } of stream.status()) told.push(state);
  })();
  const symbols: unknown[] = [];
  const reading = (async () => {
    for await (const { symbol, removed } of stream) symbols.push(removed ? `${symbol} gone` : symbol);
  })();
  await vi.waitUntil(() => told.filter((state) => state === "live").length === 2, patience);
  await vi.waitUntil(() => symbols.length === 2, patience);
  expect(symbols).toEqual(["A", "A gone"]);
  expect(told).toEqual(["opening", "live", "stale", "live"]);
  await stream.return();
  await Promise.all([watching, reading]);
});

test("a recording is only its owner's, and does nothing to a terminal", async () => {
  const evil = "A\u001b[2J\u0085\u2028";
  const value = JSON.stringify({ price: 1, time: 1, note: evil });
  await gateway.redis.command(["HSET", "tickers:hostile", evil, value]);
  const { code } = await outcome(["record", "--count", "1", "evil.ndjson", "stream-tickers", "hostile"], env);
  expect(code).toBe(0);
  expect(statSync("evil.ndjson").mode & 0o777).toBe(0o600);
  expect(readFileSync("evil.ndjson", "utf8").replaceAll("\n", "")).not.toMatch(/[\p{C}\p{Zl}]/u);
  expect(framesOf("evil.ndjson")[0]).toMatchObject({ symbol: evil, note: evil });
  expect(await outcome(["record", "--count", "1", "evil.ndjson", "stream-tickers", "hostile"], env)).toMatchObject({
    code: 1,
    errors: [expect.stringContaining("EEXIST")],
  });
});

test("a recording that cannot be written to the end says so", async () => {
  await gateway.redis.command(["HSET", "tickers:full", "A", JSON.stringify({ price: 1, time: 1 })]);
  const { code, errors } = await outcome(["record", "/dev/full", "stream-tickers", "full"], env);
  expect({ code, errors }).toEqual({ code: 1, errors: [expect.stringMatching(/EEXIST|ENOSPC/)] });
});

test.each([
  [["record"], 2, '"" is no stream: stream-tickers, '],
  [["record", "x.ndjson"], 2, '"" is no stream'],
  [["record", "", "stream-bot-status"], 2, "say into which file"],
  [["record", "x.ndjson", "stream-bot-status", "--help"], 2, "stream-bot-status --help says what it takes"],
  [["record", "x.ndjson", "get-ticker", "binance", "A"], 2, '"get-ticker" is no stream: stream-tickers, '],
  [["record", "x.ndjson", "stream-tickers"], 2, "parameter exchange is missing"],
  [["record", "x.ndjson", "stream-tickers", "one", "--"], 2, '"" is no stream'],
  [["record", "x.ndjson", "stream-tickers", "one", "--count", "2"], 2, "Unknown option '--count'"],
  [["record", "--count", "many", "x.ndjson", "stream-tickers", "one"], 2, '--count: "many" is not allowed'],
  [["record", "--url", "ws://127.0.0.1:1", "x.ndjson", "stream-bot-status"], 3, "the connection to"],
  [["record", "--for", "1s", "/nowhere/x.ndjson", "stream-bot-status"], 1, "ENOENT"],
  [["replay"], 2, "say which one file"],
  [["replay", "a", "b"], 2, "say which one file"],
  [["replay", "a", "--speed", "-1"], 2, '--speed: "-1" is not allowed; it must be a number from 0'],
  [["replay", "a", "--port", "x"], 2, '--port: "x" is not allowed'],
  [["replay", "a", "--port", "65536"], 2, '--port: "65536" is not allowed; it must be an integer 0–65535'],
  [["replay", "nowhere.ndjson"], 1, "ENOENT"],
] as const)("%j ends with exit code %i: %s", async (args, expected, message) => {
  const { code, lines, errors } = await outcome(args, env);
  expect({ code, lines, count: errors.length }).toEqual({ code: expected, lines: [], count: 1 });
  expect(errors[0]?.slice(0, message.length)).toBe(message);
  expect(existsSync("x.ndjson")).toBe(false);
});

test("what is no recording is refused; one whose last line is cut is not", async () => {
  const whole = readFileSync(write("whole.ndjson", [[0, { ...live, count: 0, update_id: 0 }]]), "utf8");
  const refused = async (text: string) => {
    writeFileSync("broken.ndjson", text);
    const { code, errors } = await outcome(["replay", "broken.ndjson", "--port", "0"]);
    return [code, ...errors];
  };
  const none = [1, "broken.ndjson is no recording of fullon-cache-api record"];
  expect(await refused("")).toEqual(none);
  expect(await refused("{")).toEqual(none);
  expect(await refused('{"recording":2}\n')).toEqual(none);
  expect(await refused(`${whole}{"at\n{}\n`)).toEqual([1, "broken.ndjson, line 4: it is not JSON"]);
  expect(await refused(`${whole}{"at":1}\n`)).toEqual([1, "broken.ndjson, line 4: it is no event of a recording"]);
  expect(await refused(`${whole}{"at":1,"frame":{"type":1}}\n`)).toEqual([
    1,
    "broken.ndjson, line 4: it is no event of a recording",
  ]);
  const unknown = { at: 0, opened: { operation: "get_ticker", params: {}, topics: [] } };
  expect(await refused(`${whole}${JSON.stringify(unknown)}\n`)).toEqual([
    1,
    "broken.ndjson: there is no stream get_ticker",
  ]);
  writeFileSync("cut.ndjson", `${whole}{"at":1,"fra`);
  const { code, lines } = await outcome(["replay", "cut.ndjson", "--port", "0", "--for", "50ms"]);
  expect({ code, line: lines[1] }).toEqual({
    code: 0,
    line: "1 frame of 0.0 ms; it begins with the first stream that is asked for",
  });
});

test("a recording waits for whoever does not read, and nobody misses anything", async () => {
  const note = "x".repeat(10_000);
  const moves = [...Array(2_000).keys()].map((at) => [0, tick(at + 1, "A", at, { note })] as const);
  const file = write("large.ndjson", [[0, { ...live, count: 0, update_id: 0 }], ...moves]);
  await using replay = command(["replay", file, "--port", "0", "--speed", "0"]);
  const url = await replay.url();
  const [slow, good] = [await Wire.open(url), await Wire.open(url)];
  await slow.ask("stream_tickers", { exchange: "one" });
  slow.socket.pause();
  await good.ask("stream_tickers", { exchange: "one" });
  const lastId = () => Number(good.updates("tickers:one").at(-1)?.["update_id"] ?? 0);
  let before = 0;
  const stands = () => {
    const stood = lastId() > 0 && lastId() === before;
    before = lastId();
    return stood;
  };
  await vi.waitUntil(stands, { timeout: 30_000, interval: 500 });
  expect(lastId()).toBeLessThan(2_000);
  slow.socket.resume();
  for (const wire of [slow, good]) {
    await wire.frame(({ update_id: id }) => id === 2_000);
    expectIdsInOrder(wire.frames);
    wire.close();
  }
});

test("streams of one client that share a topic end one by one", async () => {
  const moves = [...Array(40).keys()].map((at) => [at / 100, tick(at + 1, "A", at)] as const);
  const file = write("shared.ndjson", [[0, { ...live, count: 0, update_id: 0 }], ...moves]);
  await using replay = command(["replay", file, "--port", "0"]);
  const wire = await Wire.open(await replay.url(), { headers: { "sec-websocket-protocol": "another" } });
  wire.send(Buffer.from("{}"));
  await wire.frame(({ error_code: code }) => code === "MALFORMED_MESSAGE");
  const open = (more: object) =>
    wire.ask("stream_tickers", { exchange: "one", ...more }) as Promise<{ readonly stream: string }>;
  const [slow, every] = [await open({ interval_ms: 60_000 }), await open({})];
  await wire.ask("unsubscribe", { stream: slow.stream });
  await wire.frame(({ update_id: id }) => id === 40);
  await wire.ask("unsubscribe", { stream: every.stream });
  expect(await wire.ask("list_streams")).toEqual([]);
  wire.close();
});

test("a stream is found again whatever the order in which it was asked for", async () => {
  const params = { exchange: "one", symbols: ["A", "B"] };
  const topics = ["ticker:one:A", "ticker:one:B"];
  const lines = [
    { recording: 1, recorded_at: 0, streams: [{ operation: "stream_tickers", params }] },
    { at: 0, opened: { operation: "stream_tickers", params, topics } },
    ...topics.map((topic) => ({ at: 0, frame: { topic, ...tick(1, topic.slice(-1), 1, first) } })),
    ...topics.map((topic) => ({ at: 0, frame: { topic, ...live, count: 1, update_id: 1 } })),
  ];
  writeFileSync("two.ndjson", lines.map((line) => JSON.stringify(line)).join("\n"));
  await using replay = command(["replay", "two.ndjson", "--port", "0"]);
  const wire = await Wire.open(await replay.url());
  await wire.ask("stream_tickers", { symbols: ["B", "A"], exchange: "one" });
  await wire.until(() => topics.every((topic) => wire.updates(topic).length === 1));
  wire.close();
});

test("a recording is shown to programs and pages of this machine, and to no other page", async () => {
  await using replay = command(["replay", write("pages.ndjson", []), "--port", "0"]);
  const url = await replay.url();
  for (const origin of ["http://localhost:3000", "http://127.0.0.1:8765", "https://[::1]"])
    (await Wire.open(url, { origin })).close();
  for (const origin of ["https://evil.example", "http://localhost.evil.example", "null", "http://192.168.1.2"])
    await expect(Wire.open(url, { origin }), origin).rejects.toThrow("401");
});

test("a recording that is played once ends its streams, also of whoever comes later, and then itself", async () => {
  const moves = [1, 2, 3].map((id) => [0, tick(id, "A", id)] as const);
  const file = write("once.ndjson", [[0, { ...live, count: 0, update_id: 0 }], ...moves]);
  await using replay = command(["replay", file, "--port", "0", "--speed", "0", "--once"]);
  const cache = await fullonCacheApi(await replay.url());
  const seen = async (intervalMs: number) => {
    const prices: unknown[] = [];
    for await (const { price } of cache.streamTickers("one", { intervalMs })) prices.push(price);
    return prices.at(-1);
  };
  expect(await Promise.all([seen(0), seen(60_000)])).toEqual([3, 3]);
  await replay.line("all of it has been played");
  expect(await seen(0)).toBe(3);
  await cache.close();
  expect(await replay.code).toBe(0);
});
