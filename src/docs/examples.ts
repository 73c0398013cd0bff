import { type TSchema, Type } from "typebox";
import { Value } from "typebox/value";
import { identityAccounts } from "../operations/account-map.ts";
import { type LiveQuery, type Operation, ownParams } from "../operations/operation.ts";
import type { Reading } from "../operations/reading.ts";

// What members are like, by their names; one that may be left out and does not stand here is left out.
const members: Readonly<Record<string, unknown>> = {
  Bar: [1795330920, 46950, 47100, 46900.5, 47000.5, 12.5],
  ask: 47001,
  available: 900.5,
  balances: { USDT: { total: 1000.5, available: 900.5, reserved: 100 } },
  bid: 47000,
  blocked_by: "1",
  bot_id: "1",
  by_status: { running: 7 },
  by_type: { bot: 3, ohlcv: 1, tick: 3 },
  change: 120.5,
  close: 47000.5,
  component: "binance:BTC/USDT",
  connected: true,
  cost: 23500.25,
  count: 2,
  currency: "USDT",
  details: {},
  epoch: "7qz5wu4u",
  error: "no ticker for BTC/USDT on binance",
  error_code: "TICKER_NOT_FOUND",
  error_processes: 0,
  exchange: "binance",
  expires_at: 1795391745,
  expires_in: 60,
  fee: 23.5,
  feeds: { feed_1: { symbol: "BTC/USDT", status: "running", timestamp: 1795330944.334 } },
  final_volume: 0,
  get_exchanges: ["binance", "kraken"],
  healthy: true,
  heartbeat_age: 1.5,
  high: 47100,
  is_blocked: true,
  is_opening: true,
  limit: 100,
  limits: { max_frame_bytes: 65536, max_streams: 1000 },
  low: 46900.5,
  message: "all is well",
  name: "fullon-cache-api",
  near_cache_bytes: 65536,
  open: 46950,
  operation: "stream_tickers",
  order_id: "A1",
  order_type: "limit",
  params: { exchange: "binance" },
  percentage: 0.26,
  price: 47000.5,
  problems: [],
  process_id: "bot:binance:1",
  process_type: "bot",
  protocol: 1,
  read_only: true,
  refusals: { RATE_LIMITED: 2 },
  request_id: "1",
  reserved: 100,
  scopes: ["tickers:read", "accounts:read"],
  server_time: 1795388085.498,
  side: "buy",
  since: 1795330944.334,
  since_minutes: 5,
  stale: false,
  stale_processes: 0,
  stream: "s1",
  symbol: "BTC/USDT",
  symbols: ["BTC/USDT"],
  timeframe: "1m",
  timestamp: 1795330944.334,
  token: "eyJhbGciOiJIUzI1NiJ9.e30.x",
  topics: ["tickers:binance"],
  total: 3,
  total_processes: 7,
  trade_id: "812345678901234567",
  trade_key: "binance",
  updates_sent: 5,
  uptime: 3600,
  user_id: "1001",
  version: "0.1.0",
  volume: 1250,
};

// Where the name of a member means something else, the operation or the type that has it says what.
const special: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  Order: { status: "open", volume: 2 },
  OrderQueue: { by_status: { open: 1, filled: 2 } },
  Position: { volume: 0.5 },
  Trade: { volume: 0.5 },
  Process: { status: "running" },
  Bot: { status: "running" },
  CurrencyBalance: { total: 1000.5 },
  get_orders: { status: "open" },
};

/**
 * Something that a schema allows, made of names and figures of this field.
 * @param name the member or the operation that it is for
 * @param owner the type or the operation that has this member
 */
export function exampleOf(schema: TSchema, name = "", owner = ""): unknown {
  const {
    title,
    type,
    const: only,
    enum: choice,
    anyOf,
    items,
    properties,
    minimum,
  } = schema as {
    title?: string;
    type?: string;
    const?: unknown;
    enum?: readonly unknown[];
    anyOf?: readonly TSchema[];
    items?: TSchema;
    properties?: Readonly<Record<string, TSchema>>;
    minimum?: number;
  };
  for (const known of [special[owner]?.[name], members[name], members[title ?? ""]])
    if (known !== undefined && Value.Check(schema, known)) return known;
  if (only !== undefined) return only;
  if (choice) return choice[0];
  if (anyOf) return exampleOf(anyOf[0] as TSchema, name, owner);
  if (properties) return exampleMembers(properties, title ?? owner);
  if (type === "array") return [exampleOf(items as TSchema, name, owner)];
  if (type === "object") return {};
  if (type === "boolean") return false;
  if (type === "integer" || type === "number") return Math.max(minimum ?? 0, 1);
  return name === "" ? "text" : name;
}

function exampleMembers(properties: Readonly<Record<string, TSchema>>, owner: string): Record<string, unknown> {
  const shown = Object.entries(properties).filter(
    ([name, schema]) =>
      !Type.IsOptional(schema) || special[owner]?.[name] !== undefined || Object.hasOwn(members, name),
  );
  return Object.fromEntries(shown.map(([name, schema]) => [name, exampleOf(schema, name, owner)]));
}

/** Parameters for an operation, those that may be left out as well. */
export function exampleParams(name: string, operation: Operation): Record<string, unknown> {
  return exampleMembers(Object.fromEntries(ownParams(operation)), name);
}

/** The names of the topics that a stream with these parameters follows. */
export function topicsOf(live: LiveQuery, params: Readonly<Record<string, unknown>>): string[] {
  // Naming topics needs no more of a reading than the accounts.
  const reading = { accounts: identityAccounts } as Reading;
  return live.topics(reading, params).map(({ name }) => name);
}
