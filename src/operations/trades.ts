import { type Static, Type } from "typebox";
import { CacheError } from "../protocol/errors.ts";
import { decodeObject, decodeText, number, type Stored, seconds, text, Unreadable, without } from "../redis/values.ts";
import { events, readable } from "./changes.ts";
import { Amount, Exchange, Id, Limit, Name, Open, Text, Timestamp, TradingSymbol } from "./fields.ts";
import { domain, liveQuery, query, topicName } from "./operation.ts";
import type { Reading } from "./reading.ts";

/** One trade: an order, or a part of one, that was executed. */
export const Trade = Open("Trade", {
  exchange: Type.String(),
  symbol: Text("the symbol"),
  trade_id: Type.Union([Type.String(), Type.Number(), Type.Null()], {
    description: "text where a number would round it",
  }),
  side: Text("buy or sell"),
  volume: Amount("how much, in the base currency"),
  price: Amount("the price"),
  timestamp: Timestamp,
});
export type Trade = Static<typeof Trade>;

/** When trades were last pushed. */
export const TradeStatus = Open("TradeStatus", { trade_key: Type.String(), timestamp: Type.Number() });
export type TradeStatus = Static<typeof TradeStatus>;

const defaultLimit = 1_000;
const snapshotSize = 1_000;

function trade(exchange: string, symbol: string | null, stored: Stored): Trade {
  const id = stored["trade_id"];
  return {
    ...without(stored, ["time"]),
    exchange,
    symbol: text(stored["symbol"]) ?? symbol,
    trade_id: typeof id === "number" ? id : text(id),
    side: text(stored["side"]),
    volume: number(stored["volume"]),
    price: number(stored["price"]),
    timestamp: seconds(stored["time"]),
  };
}

// fullon_cache takes the slashes out of the symbol, here and nowhere else.
const keyOf = (exchange: string, symbol: string) => `trades:${exchange}:${symbol.replaceAll("/", "")}`;

function readTrade(key: string, exchange: string, symbol: string | null, raw: string): Trade {
  return decodeObject({ key }, raw, (stored) => trade(exchange, symbol, stored));
}

async function newest(
  reading: Reading,
  key: string,
  exchange: string,
  symbol: string | null,
  limit: number,
): Promise<Trade[]> {
  const texts = await reading.cache.lrange(key, -limit, -1);
  return readable(reading, texts.entries(), (_at, raw) => readTrade(key, exchange, symbol, raw));
}

/** Trades: what `fullon_cache`'s `TradesCache` holds. Reading never takes a trade away. */
export const trades = domain({
  /** The newest trades of one symbol, oldest first. */
  getTrades: query({
    about: "The newest trades of one symbol, oldest first. Reading never takes them away.",
    mirrors: "TradesCache.get_trades",
    reads: "LRANGE trades:{exchange}:{symbol without /} -{limit} -1",
    params: { symbol: TradingSymbol, exchange: Exchange, limit: Type.Optional(Limit) },
    result: Type.Array(Trade),
    read: (reading, { symbol, exchange, limit = defaultLimit }) =>
      newest(reading, keyOf(exchange, symbol), exchange, symbol, limit),
  }),

  /** When trades were last pushed under a key. */
  getTradeStatus: query({
    about: "When trades were last pushed under a key, which is the name of an exchange.",
    mirrors: "TradesCache.get_trade_status",
    reads: "GET TRADE:STATUS:{trade_key}",
    params: { trade_key: Name("the key, for example binance") },
    result: TradeStatus,
    errors: ["TRADE_STATUS_NOT_FOUND"],
    async read({ cache }, { trade_key }) {
      const key = `TRADE:STATUS:${trade_key}`;
      const raw = await cache.get(key);
      if (raw === null) throw new CacheError("TRADE_STATUS_NOT_FOUND", `no trade status for ${trade_key}`);
      return decodeText({ key }, raw, (text) => {
        const timestamp = seconds(text);
        if (timestamp === null) throw new Unreadable("it is not a time");
        return { trade_key, timestamp };
      });
    },
  }),

  /** The newest trades of one user on one exchange, oldest first. */
  getUserTrades: query({
    about: "The newest trades of one user on one exchange, oldest first. Reading never takes them away.",
    mirrors: "TradesCache.get_user_trades",
    reads: "LRANGE user_trades:{user_id}:{exchange} -{limit} -1",
    domain: "accounts",
    params: { user_id: Id("the user"), exchange: Exchange, limit: Type.Optional(Limit) },
    result: Type.Array(Trade),
    read: (reading, { user_id, exchange, limit = defaultLimit }) =>
      newest(reading, `user_trades:${user_id}:${exchange}`, exchange, null, limit),
  }),

  /** The trades of one symbol or of a whole exchange, those that are there and each new one, once. */
  streamTradeUpdates: liveQuery({
    about:
      "The trades of one symbol or of a whole exchange: those that are there now, then each new one, once. Another " +
      "process may drain a list at any time; what was pushed and drained between two looks nobody can see.",
    mirrors: "TradesCache.get_trades",
    reads: "LRANGE trades:{exchange}:{symbol without /}, from where the last look ended",
    params: { exchange: Exchange, symbol: Type.Optional(TradingSymbol) },
    type: "trade_update",
    update: Trade,
    identity: null,
    retain: snapshotSize,
    topics(_reading, { exchange, symbol }) {
      if (symbol !== undefined) {
        const key = keyOf(exchange, symbol);
        const open = () =>
          events({
            watch: { keys: [key] },
            keys: async () => [key],
            follows: (written) => written === key,
            event: (_key, raw) => readTrade(key, exchange, symbol, raw),
          });
        return [{ name: topicName("trade", exchange, symbol), open }];
      }
      const prefix = keyOf(exchange, "");
      const follows = (key: string) => key.startsWith(prefix);
      const open = () =>
        events({
          watch: { families: ["trades:"] },
          keys: async ({ cache }) => (await cache.scan("trades:", "list")).filter(follows),
          follows,
          event: (key, raw) => readTrade(key, exchange, key.slice(prefix.length), raw),
        });
      return [{ name: topicName("trades", exchange), open }];
    },
  }),
});
