import type { StreamOpened } from "../../src/protocol/frames.ts";
import type { Frame, Wire } from "./gateway.ts";
import { sameItems } from "./picture.ts";
import type { TestRedis } from "./redis.ts";

const iso = (seconds: number) => new Date(seconds * 1000).toISOString().replace("Z", "000+00:00");

/** Writes a tick as fullon_cache does: into the hash, its time beside it, and on the channel. */
export async function setTicker(redis: TestRedis, exchange: string, symbol: string, price: number): Promise<void> {
  const tick = JSON.stringify({ symbol, exchange, price, time: 1_795_330_944.25, volume: 1.5 });
  await Promise.all([
    redis.command(["HSET", `tickers:${exchange}`, symbol, tick]),
    redis.command(["SET", `ticker_time:${exchange}:${symbol}`, "1795330944.25"]),
    redis.command(["PUBLISH", `ticker_updates:${exchange}:${symbol}`, tick]),
  ]);
}

/** Saves an order as fullon_cache does. */
export function saveOrder(redis: TestRedis, exchange: string, orderId: string, status: string, volume = 1) {
  const order = { order_id: orderId, exchange, symbol: "BTC/USDT", status, side: "buy", order_type: "limit", volume };
  return redis.command(["HSET", `order_status:${exchange}`, orderId, JSON.stringify(order)]);
}

/** Replaces the positions of an account: volumes by symbol. */
export function setPositions(redis: TestRedis, exId: string, volumes: Readonly<Record<string, number>>) {
  if (Object.keys(volumes).length === 0) return redis.command(["HDEL", "account_positions", exId]);
  const positions = Object.fromEntries(
    Object.entries(volumes).map(([symbol, volume]) => [
      symbol,
      { volume, price: 2, cost: volume * 2, fee: 0, timestamp: 5 },
    ]),
  );
  return redis.command(["HSET", "account_positions", exId, JSON.stringify({ ...positions, timestamp: iso(7) })]);
}

/** Says what one feed of a bot does. */
export function setBot(redis: TestRedis, botId: string, status: string) {
  return redis.command(["HSET", "bot_status", botId, JSON.stringify({ feed_1: { status, timestamp: iso(9) } })]);
}

/** Pushes trades, told apart by their ids. */
export function pushTrades(redis: TestRedis, exchange: string, symbol: string, ids: readonly number[]) {
  const trades = ids.map((id) => JSON.stringify({ trade_id: id, symbol, side: "buy", volume: 1, price: 10, time: id }));
  return redis.command(["RPUSH", `trades:${exchange}:${symbol.replaceAll("/", "")}`, ...trades]);
}

/** Appends bars, given by when they start (in minutes) and their close. */
export function appendBars(
  redis: TestRedis,
  symbol: string,
  bars: readonly (readonly [minute: number, close: number])[],
) {
  const texts = bars.map(([minute, close]) => JSON.stringify([minute * 60, 1, 9, 0.5, close, 3]));
  return redis.command(["RPUSH", `ohlcv:${symbol}:1m`, ...texts]);
}

/** Registers a process, or says how it is. */
export async function beat(
  redis: TestRedis,
  processId: string,
  status: string,
  at: number,
  component = "it",
): Promise<void> {
  const type = processId.slice(0, processId.indexOf(":"));
  const text = JSON.stringify({ process_type: type, component, status, heartbeat: iso(at), updated_at: iso(at) });
  await Promise.all([
    redis.command(["SETEX", `process:data:${processId}`, "86400", text]),
    redis.command(["HSET", `process:active:${type}`, processId, iso(at)]),
  ]);
}

/** One kind of stream, what moves it, and what it is to say then. */
export interface StreamKind {
  readonly name: string;
  readonly operation: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly topic: string;
  /** Writes what only this stream's topic concerns; `n` makes it recognisable. */
  write(redis: TestRedis, n: number): Promise<unknown>;
  /** Whether an update tells of that write. */
  tells(frame: Frame, n: number): boolean;
  /** What the matching query says, in the form of the stream's items; missing where nothing else tells. */
  truth?(wire: Wire): Promise<readonly Frame[]>;
  /** Takes it away again, and by what one knows what is gone. */
  readonly removal?: { remove(redis: TestRedis): Promise<unknown>; readonly identity: object };
}

/** The one item of a query that may find none. */
async function oneOrNone(wire: Wire, operation: string, params: object): Promise<Frame[]> {
  const answer = await wire.request(operation, params);
  if (answer["success"] === true) return [answer["result"] as Frame];
  if (String(answer["error_code"]).endsWith("_NOT_FOUND")) return [];
  throw new Error(`${operation}: ${JSON.stringify(answer)}`);
}

async function list(wire: Wire, operation: string, params: object = {}): Promise<Frame[]> {
  return (await wire.ask(operation, params)) as Frame[];
}

/** Every kind of stream, on keys that carry the given tag and are nobody else's. */
export function streamKinds(tag: string): readonly StreamKind[] {
  return [
    {
      name: "a single ticker",
      operation: "stream_tickers",
      params: { exchange: tag, symbols: ["BTC/USDT"] },
      topic: `ticker:${tag}:BTC/USDT`,
      write: (redis, n) => setTicker(redis, tag, "BTC/USDT", n),
      tells: ({ price }, n) => price === n,
      truth: (wire) => oneOrNone(wire, "get_ticker", { exchange: tag, symbol: "BTC/USDT" }),
      removal: {
        remove: (redis) => redis.command(["HDEL", `tickers:${tag}`, "BTC/USDT"]),
        identity: { exchange: tag, symbol: "BTC/USDT" },
      },
    },
    {
      name: "all tickers of an exchange",
      operation: "stream_tickers",
      params: { exchange: `${tag}-all` },
      topic: `tickers:${tag}-all`,
      write: (redis, n) => setTicker(redis, `${tag}-all`, "ETH/USDT", n),
      tells: ({ price }, n) => price === n,
      truth: (wire) => list(wire, "get_all_tickers", { exchange: `${tag}-all` }),
      removal: {
        remove: (redis) => redis.command(["HDEL", `tickers:${tag}-all`, "ETH/USDT"]),
        identity: { exchange: `${tag}-all`, symbol: "ETH/USDT" },
      },
    },
    {
      name: "positions",
      operation: "stream_positions",
      params: { user_id: tag },
      topic: `positions:${tag}`,
      write: (redis, n) => setPositions(redis, tag, { "BTC/USD:BTC": n }),
      tells: ({ volume }, n) => volume === n,
      truth: (wire) => list(wire, "get_positions", { user_id: tag }),
      removal: {
        remove: (redis) => setPositions(redis, tag, {}),
        identity: { user_id: tag, exchange: null, symbol: "BTC/USD:BTC" },
      },
    },
    {
      name: "orders",
      operation: "stream_orders",
      params: { exchange: tag },
      topic: `orders:${tag}`,
      write: (redis, n) => saveOrder(redis, tag, "o-1", "open", n),
      tells: ({ volume }, n) => volume === n,
      truth: (wire) => list(wire, "get_orders", { exchange: tag }),
      removal: {
        remove: (redis) => redis.command(["HDEL", `order_status:${tag}`, "o-1"]),
        identity: { exchange: tag, order_id: "o-1" },
      },
    },
    {
      name: "the order queue",
      operation: "stream_order_queue",
      params: { exchange: `${tag}-queue` },
      topic: `order_queue:${tag}-queue`,
      write: (redis, n) => saveOrder(redis, `${tag}-queue`, "o-1", `status-${n}`),
      tells: ({ by_status }, n) => Object.hasOwn(by_status as object, `status-${n}`),
      async truth(wire) {
        const exchange = `${tag}-queue`;
        const orders = await list(wire, "get_orders", { exchange });
        const by_status: Record<string, number> = {};
        for (const { status } of orders) by_status[String(status)] = (by_status[String(status)] ?? 0) + 1;
        const queue_length = await wire.ask("get_queue_length", { exchange });
        return [{ exchange, queue_length, total: orders.length, by_status }];
      },
    },
    {
      name: "one bot",
      operation: "stream_bot_status",
      params: { bot_id: tag },
      topic: `bot:${tag}`,
      write: (redis, n) => setBot(redis, tag, `status-${n}`),
      tells: ({ status }, n) => status === `status-${n}`,
      truth: (wire) => oneOrNone(wire, "get_bot_status", { bot_id: tag }),
      removal: { remove: (redis) => redis.command(["HDEL", "bot_status", tag]), identity: { bot_id: tag } },
    },
    {
      name: "all bots",
      operation: "stream_bot_status",
      params: {},
      topic: "bots",
      write: (redis, n) => setBot(redis, `${tag}-all`, `status-${n}`),
      tells: ({ bot_id, status }, n) => bot_id === `${tag}-all` && status === `status-${n}`,
      truth: (wire) => list(wire, "get_bots"),
      removal: {
        remove: (redis) => redis.command(["HDEL", "bot_status", `${tag}-all`]),
        identity: { bot_id: `${tag}-all` },
      },
    },
    {
      name: "the trades of a symbol",
      operation: "stream_trade_updates",
      params: { exchange: tag, symbol: "BTC/USDT" },
      topic: `trade:${tag}:BTC/USDT`,
      write: (redis, n) => pushTrades(redis, tag, "BTC/USDT", [n]),
      tells: ({ trade_id }, n) => trade_id === n,
    },
    {
      name: "the trades of an exchange",
      operation: "stream_trade_updates",
      params: { exchange: `${tag}-all` },
      topic: `trades:${tag}-all`,
      write: (redis, n) => pushTrades(redis, `${tag}-all`, "ETH/USDT", [n]),
      tells: ({ trade_id }, n) => trade_id === n,
    },
    {
      name: "bars",
      operation: "stream_ohlcv",
      params: { symbol: tag, timeframe: "1m" },
      topic: `ohlcv:${tag}:1m`,
      write: (redis, n) => appendBars(redis, tag, [[7, n]]),
      tells: ({ close }, n) => close === n,
      async truth(wire) {
        const [bars = []] = await oneOrNone(wire, "get_latest_ohlcv_bars", { symbol: tag, timeframe: "1m" });
        return (bars as unknown as number[][]).map(([timestamp, open, high, low, close, volume]) => {
          return { symbol: tag, timeframe: "1m", timestamp, open, high, low, close, volume };
        });
      },
      removal: {
        remove: (redis) => redis.command(["DEL", `ohlcv:${tag}:1m`]),
        identity: { symbol: tag, timeframe: "1m", timestamp: 420 },
      },
    },
    {
      name: "process health",
      operation: "stream_process_health",
      params: {},
      topic: "process_health",
      write: (redis, n) => beat(redis, `bot:${tag}:1`, "error", Date.now() / 1000, `component-${n}`),
      tells: ({ problems }, n) =>
        (problems as { component: string }[]).some(({ component }) => component === `component-${n}`),
      async truth(wire) {
        const { redis: _redis, gateway: _gateway, ...health } = (await wire.ask("get_system_health")) as Frame;
        return [health];
      },
    },
  ];
}

/** Opens a stream and waits until all of its topics are live. */
export async function follow(wire: Wire, operation: string, params: object = {}): Promise<StreamOpened> {
  const from = wire.frames.length;
  const opened = (await wire.ask(operation, params)) as StreamOpened;
  for (const topic of opened.topics)
    await wire.frame((frame) => frame["topic"] === topic && frame["state"] === "live", from);
  return opened;
}

/** Whether a picture is what the matching query says; when a value was read does not count. */
export async function isTrue(
  kind: StreamKind,
  picture: { readonly items: readonly Frame[] },
  wire: Wire,
): Promise<boolean> {
  if (!kind.truth) return true;
  const isOneValue = ["stream_order_queue", "stream_process_health"].includes(kind.operation);
  const comparable = (items: readonly Frame[]) =>
    isOneValue ? items.map(({ timestamp: _timestamp, ...rest }) => rest) : items;
  const truth = await kind.truth(wire);
  return sameItems(comparable(picture.items), comparable(truth));
}
