import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { CacheWebSocketServer } from "../src/server/websocket-server.ts";
import { type Frame, Wire } from "./kit/gateway.ts";
import { Picture, sameItems } from "./kit/picture.ts";
import { startRedis } from "./kit/redis.ts";
import { appendBars, beat, follow, pushTrades, setPositions, setTicker } from "./kit/streams.ts";

// A socket file instead of a port: its buffers are small, so that a client which stops reading is soon felt.
const redis = await startRedis();
const path = join(tmpdir(), `fullon-cache-api-${randomUUID()}.sock`);
// Nothing is ever read again for safety, so that nothing can hide behind it.
const server = new CacheWebSocketServer({
  redis: redis.gatewayUrl,
  logLevel: "silent",
  rereadMs: 0,
  congestedBytes: 1_024,
  staleAfterS: 3_600,
});
await server.connect();
const http = createServer().on("upgrade", (request, socket, head) => server.handleUpgrade(request, socket, head));
await once(http.listen(path), "listening");
afterAll(async () => {
  await server.stop();
  http.close();
  await redis[Symbol.asyncDispose]();
});

const open = () => Wire.open(`ws+unix:${path}:/`);

const list = (operation: string, params: object) => async (wire: Wire) =>
  (await wire.ask(operation, params)) as Frame[];
const one = (operation: string, params: object) => async (wire: Wire) => {
  const answer = await wire.request(operation, params);
  if (!answer["success"] && !String(answer["error_code"]).endsWith("_NOT_FOUND"))
    throw new Error(JSON.stringify(answer));
  return answer["success"] ? [answer["result"] as Frame] : [];
};

/** What the picture of each topic must be in the end: the matching query, in the form of the stream's items. */
const truths: Readonly<Record<string, (wire: Wire) => Promise<readonly Frame[]>>> = {
  "tickers:x": list("get_all_tickers", { exchange: "x" }),
  "ticker:x:A": one("get_ticker", { exchange: "x", symbol: "A" }),
  "ticker:x:B": one("get_ticker", { exchange: "x", symbol: "B" }),
  "ticker:y:A": one("get_ticker", { exchange: "y", symbol: "A" }),
  "orders:x": list("get_orders", { exchange: "x" }),
  "positions:1": list("get_positions", { user_id: 1 }),
  bots: list("get_bots", {}),
  "bot:b1": one("get_bot_status", { bot_id: "b1" }),
  async "order_queue:x"(wire) {
    const orders = await list("get_orders", { exchange: "x" })(wire);
    const statuses = orders.map(({ status }) => String(status));
    const by_status = Object.fromEntries(
      statuses.map((name) => [name, statuses.filter((other) => other === name).length]),
    );
    const queue_length = await wire.ask("get_queue_length", { exchange: "x" });
    return [{ exchange: "x", queue_length, total: orders.length, by_status }];
  },
  async "ohlcv:S:1m"(wire) {
    const [bars = []] = await one("get_latest_ohlcv_bars", { symbol: "S", timeframe: "1m" })(wire);
    return (bars as unknown as number[][]).map(([timestamp, open, high, low, close, volume]) => {
      return { symbol: "S", timeframe: "1m", timestamp, open, high, low, close, volume };
    });
  },
  async process_health(wire) {
    const [health] = await one("get_system_health", {})(wire);
    const { redis: _redis, gateway: _gateway, timestamp: _timestamp, ...rest } = health ?? {};
    return [rest];
  },
};

const oneValue = new Set(["order_queue:x", "process_health"]);
/** The symbols whose trades a topic tells. */
const tradeTopics: Readonly<Record<string, string>> = { "trades:x": "AB", "trade:x:A": "A" };

const streams: readonly (readonly [operation: string, params: object])[] = [
  ["stream_tickers", { exchange: "x" }],
  ["stream_tickers", { exchange: "x", symbols: ["A", "B"] }],
  ["stream_tickers", { exchange: "y", symbols: ["A"] }],
  ["stream_orders", { exchange: "x" }],
  ["stream_order_queue", { exchange: "x" }],
  ["stream_positions", { user_id: 1 }],
  ["stream_bot_status", {}],
  ["stream_bot_status", { bot_id: "b1" }],
  ["stream_ohlcv", { symbol: "S", timeframe: "1m" }],
  ["stream_process_health", {}],
  ["stream_trade_updates", { exchange: "x" }],
  ["stream_trade_updates", { exchange: "x", symbol: "A" }],
];

/** One connection, and what it knows of each topic that it follows. */
class Client {
  readonly #wire: Wire;
  readonly #streams = new Map<string, readonly string[]>();
  readonly #pictures = new Map<string, Picture>();
  readonly #followed = new Map<string, number>();
  #stalled = false;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  async join(stream: number, interval_ms: number): Promise<void> {
    if (this.#stalled) return;
    const [operation, params] = streams[stream] ?? ["", {}];
    const from = this.#wire.frames.length;
    const opened = await follow(this.#wire, operation, { ...params, interval_ms }).catch(unavailable);
    if (!opened) return;
    this.#streams.set(opened.stream, opened.topics);
    for (const topic of opened.topics) {
      if (!(topic in truths || topic in tradeTopics)) throw new Error(`nothing is known of ${topic}`);
      if (this.#pictures.has(topic)) continue;
      this.#pictures.set(topic, new Picture(this.#wire, topic, from));
      this.#followed.set(topic, from);
    }
  }

  async leave(): Promise<void> {
    const [first] = this.#streams;
    if (this.#stalled || !first) return;
    const [stream, topics] = first;
    await this.#wire.ask("unsubscribe", { stream });
    this.#streams.delete(stream);
    const left = new Set([...this.#streams.values()].flat());
    for (const topic of topics) if (!left.has(topic)) this.#pictures.delete(topic);
  }

  stall(): void {
    this.#stalled = true;
    this.#wire.socket.pause();
  }

  resume(): void {
    this.#stalled = false;
    this.#wire.socket.resume();
  }

  /**
   * The topics whose pictures are not what Redis holds, or, of trades, do not hold all that were pushed since they are
   * followed (where none were lost). A frame that breaks the rules throws.
   */
  async wrong(wire: Wire, pushed: Readonly<Record<string, readonly number[]>> | undefined): Promise<string[]> {
    const wrong: string[] = [];
    for (const [topic, picture] of this.#pictures) {
      const items = oneValue.has(topic)
        ? picture.items.map(({ timestamp: _timestamp, ...rest }) => rest)
        : picture.items;
      const truth = await truths[topic]?.(wire);
      if (picture.state !== "live" || (truth && !sameItems(items, truth))) wrong.push(topic);
      for (const [symbol, ids] of Object.entries((topic in tradeTopics && pushed) || {})) {
        const told = items.filter((item) => item["symbol"] === symbol).map(({ trade_id }) => trade_id);
        if (
          (tradeTopics[topic] ?? "").includes(symbol) &&
          !isDeepStrictEqual(told, ids.slice(-told.length || ids.length))
        )
          wrong.push(`${topic} ${symbol}`);
      }
    }
    return wrong;
  }

  /** Every trade came once, and those of a list in the order of their ids. */
  checkTrades(): void {
    for (const [topic, from] of this.#followed) {
      if (!(topic in tradeTopics)) continue;
      const told = this.#wire.frames.slice(from).filter((frame) => frame["topic"] === topic && !frame["snapshot"]);
      for (const symbol of ["A", "B"]) {
        const ids = told.filter((frame) => frame["symbol"] === symbol).map(({ trade_id }) => trade_id as number);
        expect(ids).toEqual([...new Set(ids)].toSorted((a, b) => a - b));
      }
    }
  }

  /** How many updates it was spared. */
  get skipped(): number {
    return this.#wire.frames.reduce((sum, frame) => sum + ((frame["skipped"] as number | undefined) ?? 0), 0);
  }

  /** Asks how many updates were sent: all of them must have come before the answer. What comes with it is not counted. */
  async countUp(): Promise<void> {
    const answer = await this.#wire.request("ping");
    const before = this.#wire.frames.slice(0, this.#wire.frames.indexOf(answer));
    const came = before.filter((frame) => frame["update_id"] !== undefined && frame["type"] !== "stream_status");
    expect(came).toHaveLength((answer["result"] as { updates_sent: number }).updates_sent);
  }

  close(): void {
    this.#wire.close();
  }
}

/** While a connection to Redis is new, a stream cannot begin. */
function unavailable(error: unknown): undefined {
  if (!String(error).includes("CACHE_UNAVAILABLE")) throw error;
  return undefined;
}

type Step = readonly [name: string, ...values: (number | string)[]];

const step = (name: string, ...values: fc.Arbitrary<number | string>[]): fc.Arbitrary<Step> =>
  fc.tuple(...values).map((some): Step => [name, ...some]);
const exchange = fc.constantFrom("x", "x", "x", "y", "x:A");
const symbol = fc.constantFrom("A", "B", "C");
const small = fc.nat({ max: 9 });
const client = fc.nat({ max: 2 });
const status = fc.constantFrom("open", "filled", "canceled");

const joins = step("join", client, fc.nat({ max: streams.length - 1 }), fc.constantFrom(0, 0, 20, 150));
const anything = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: step("tick", exchange, symbol, small) },
    { weight: 4, arbitrary: step("many ticks", symbol, small) },
    { weight: 1, arbitrary: step("tick without a message", exchange, symbol, small) },
    { weight: 1, arbitrary: step("message without a tick", exchange, symbol, small) },
    { weight: 1, arbitrary: step("delete ticker", exchange, symbol) },
    { weight: 6, arbitrary: step("order", small, status) },
    { weight: 1, arbitrary: step("many orders", status) },
    { weight: 2, arbitrary: step("delete order", small) },
    { weight: 3, arbitrary: step("positions", small, small) },
    { weight: 4, arbitrary: step("bot", fc.constantFrom("b1", "b2"), status) },
    { weight: 1, arbitrary: step("delete bot", fc.constantFrom("b1", "b2")) },
    { weight: 3, arbitrary: step("trades", fc.constantFrom("A", "B"), small) },
    { weight: 3, arbitrary: step("bar", small, small) },
    { weight: 2, arbitrary: step("heartbeat", fc.constantFrom("tick:1:1", "bot:2:2"), status) },
    { weight: 1, arbitrary: step("process ends", fc.constantFrom("tick:1:1", "bot:2:2")) },
    { weight: 4, arbitrary: joins },
    { weight: 2, arbitrary: step("leave", client) },
    { weight: 3, arbitrary: step("stall", client) },
    { weight: 2, arbitrary: step("resume", client) },
    { weight: 8, arbitrary: step("time passes", fc.nat({ max: 15 })) },
    { weight: 1, arbitrary: step("flush") },
    { weight: 1, arbitrary: step("kill", fc.constantFrom("reads", "notices")) },
  ),
  { minLength: 60, maxLength: 160 },
);
const runs = fc
  .tuple(fc.array(joins, { minLength: 9, maxLength: 12 }), anything, fc.boolean())
  .map(([some, rest, mayFlush]): Step[] => [
    // Those that have much to tell, so that stalling is felt.
    ["join", 0, 0, 0],
    ["join", 1, 1, 0],
    ...some,
    // Only where nothing is thrown away can be said which trades must have come.
    ...rest.filter(([name]) => mayFlush || name !== "flush"),
  ]);

async function kill(name: string): Promise<void> {
  const clients = String(await redis.command(["CLIENT", "LIST"]));
  const id = new RegExp(`^id=(\\d+) .*name=fullon-cache-api:${name} `, "m").exec(clients)?.[1];
  if (id !== undefined) await redis.command(["CLIENT", "KILL", "ID", id]);
}

test("whatever is written, lost or slow, every picture ends up as what Redis holds", async () => {
  const padding = "x".repeat(20_000);
  const now = Date.now() / 1000;
  const control = await open();
  const enough = performance.now() + 20_000;
  let skipped = 0;
  let trade = 0;

  await fc.assert(
    fc.asyncProperty(runs, async (run) => {
      // A run that has begun is not cut off: on a busy machine there are fewer of them.
      if (performance.now() > enough) return;
      await redis.command(["FLUSHALL"]);
      const clients = await Promise.all([0, 1, 2].map(async () => new Client(await open())));
      const pushed: Record<string, number[]> = { A: [], B: [] };
      let flushed = false;
      const act: Readonly<Record<string, (...values: never[]) => unknown>> = {
        tick: (on: string, of: string, price: number) => setTicker(redis, on, of, price),
        "many ticks": (of: string, price: number) =>
          Promise.all(
            Array.from({ length: 20 }, (_, at) => {
              const tick = JSON.stringify({ exchange: "x", symbol: of, price: price + at, time: 1, note: padding });
              return redis.admin.multi().hSet("tickers:x", of, tick).publish(`ticker_updates:x:${of}`, tick).exec();
            }),
          ),
        "tick without a message": (on: string, of: string, price: number) =>
          redis.command(["HSET", `tickers:${on}`, of, JSON.stringify({ price, time: 1 })]),
        "message without a tick": (on: string, of: string, price: number) =>
          redis.command([
            "PUBLISH",
            `ticker_updates:${on}:${of}`,
            JSON.stringify({ exchange: on, symbol: of, price, time: 1 }),
          ]),
        "delete ticker": (on: string, of: string) => redis.command(["HDEL", `tickers:${on}`, of]),
        order: (id: number, of: string) =>
          redis.command(["HSET", "order_status:x", `o-${id}`, JSON.stringify({ status: of, note: padding })]),
        "many orders": (of: string) => {
          const orders = Array.from({ length: 30 }, (_, at) => [
            `o-${at}`,
            JSON.stringify({ status: of, note: padding, at: ++trade }),
          ]);
          return redis.command(["HSET", "order_status:x", ...orders.flat()]);
        },
        "delete order": (id: number) => redis.command(["HDEL", "order_status:x", `o-${id}`]),
        positions: (a: number, b: number) =>
          setPositions(redis, "1", { ...(a > 4 && { A: a }), ...(b > 4 && { B: b }) }),
        bot: (id: string, of: string) =>
          redis.command(["HSET", "bot_status", id, JSON.stringify({ status: of, note: padding })]),
        "delete bot": (id: string) => redis.command(["HDEL", "bot_status", id]),
        trades(of: string, count: number) {
          const ids = Array.from({ length: count + 1 }, () => ++trade);
          pushed[of]?.push(...ids);
          return pushTrades(redis, "x", of, ids);
        },
        bar: (minute: number, close: number) => appendBars(redis, "S", [[minute, close]]),
        heartbeat: (id: string, of: string) => beat(redis, id, of, now),
        "process ends": (id: string) => redis.command(["HDEL", `process:active:${id.split(":")[0]}`, id]),
        join: (at: number, stream: number, interval: number) => clients[at]?.join(stream, interval),
        leave: (at: number) => clients[at]?.leave(),
        stall: (at: number) => clients[at]?.stall(),
        resume: (at: number) => clients[at]?.resume(),
        "time passes": (ms: number) => pause(ms),
        flush() {
          flushed = true;
          return redis.command(["FLUSHALL"]);
        },
        kill,
      };
      const writes: unknown[] = [];
      for (const [name, ...values] of run) {
        const done = act[name]?.(...(values as never[]));
        // Writes go on while others are under way; the rest is waited for.
        if (["join", "leave", "time passes", "kill"].includes(name)) await done;
        else writes.push(done);
      }
      await Promise.all(writes);
      for (const one of clients) one.resume();

      // Long enough for a busy machine. What is lost would stay lost, because nothing is read again.
      const deadline = Date.now() + 25_000;
      for (const one of clients) {
        const wrong = () => one.wrong(control, flushed ? undefined : pushed).catch(unavailable);
        for (let topics = await wrong(); topics?.length !== 0; topics = await wrong()) {
          if (Date.now() > deadline) expect(topics).toEqual([]);
          await control.ask("ping");
        }
        await one.countUp();
        one.checkTrades();
      }
      for (const one of clients) {
        skipped += one.skipped;
        one.close();
      }
    }),
    { numRuns: 25, endOnFailure: true },
  );
  control.close();
  // Otherwise nobody was slow, and nothing was shown.
  expect(skipped).toBeGreaterThan(100);
}, 60_000);
