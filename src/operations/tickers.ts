import { type Static, Type } from "typebox";
import { CacheError } from "../protocol/errors.ts";
import { decodeObject, isObject, number, parsePython, type Stored, seconds } from "../redis/values.ts";
import { type Items, items, readable } from "./changes.ts";
import { Amount, Exchange, Open, Timestamp, TradingSymbol } from "./fields.ts";
import { domain, liveQuery, query, topicName } from "./operation.ts";

/** The last known price of one symbol on one exchange. */
export const Ticker = Open("Ticker", {
  exchange: Type.String(),
  symbol: Type.String(),
  price: Amount("the last price"),
  volume: Amount("the volume of 24 hours"),
  timestamp: Timestamp,
  bid: Type.Optional(Amount("the best bid")),
  ask: Type.Optional(Amount("the best ask")),
  last: Type.Optional(Amount("the price of the last trade")),
  change: Type.Optional(Amount("the change in 24 hours, in the quote currency")),
  percentage: Type.Optional(Amount("the change in 24 hours, in percent")),
});
export type Ticker = Static<typeof Ticker>;

const quotes = ["bid", "ask", "last", "change", "percentage"] as const;

function ticker(exchange: string, symbol: string, stored: Stored): Ticker {
  const { time, ...found } = stored as Record<string, unknown>;
  for (const quote of quotes) if (Object.hasOwn(found, quote)) found[quote] = number(found[quote]);
  const { price, volume } = found;
  // Written in place: every price of every symbol comes this way, and a copy less is a microsecond less.
  return Object.assign(found, {
    exchange,
    symbol,
    price: number(price),
    volume: number(volume),
    timestamp: seconds(time),
  });
}

const keyOf = (exchange: string) => `tickers:${exchange}`;
const channelOf = (exchange: string, symbol: string) => `ticker_updates:${exchange}:${symbol}`;

function readTicker(exchange: string, symbol: string, text: string): Ticker {
  return decodeObject({ key: keyOf(exchange), field: symbol }, text, (stored) => ticker(exchange, symbol, stored));
}

/** A published tick, if it is whole and speaks for itself; whatever is odd is looked up in the hash instead. */
function published(exchange: string, symbol: string, text: string): Ticker | undefined {
  try {
    const stored = parsePython(text);
    if (!isObject(stored) || stored["symbol"] !== symbol || stored["exchange"] !== exchange) return undefined;
    const found = ticker(exchange, symbol, stored);
    return found.price === null || found.timestamp === null ? undefined : found;
  } catch {
    return undefined;
  }
}

function tickersOf(exchange: string, symbol?: string): Items {
  const key = keyOf(exchange);
  const start = channelOf(exchange, "").length;
  return {
    watch: {
      keys: [key],
      ...(symbol === undefined ? { channelsBelow: channelOf(exchange, "") } : { channel: channelOf(exchange, symbol) }),
    },
    async texts({ cache }) {
      if (symbol === undefined) return cache.hgetall(key);
      const text = await cache.hget(key, symbol);
      return new Map(text === null ? [] : [[symbol, text]]);
    },
    item: (id, text) => readTicker(exchange, id, text),
    message(channel, text) {
      const id = channel.slice(start);
      const value = published(exchange, id, text);
      return value && { id, value };
    },
  };
}

/** Prices: what `fullon_cache`'s `TickCache` holds. */
export const tickers = domain({
  /** The last ticker of one symbol. */
  getTicker: query({
    about: "The last ticker of one symbol.",
    mirrors: "TickCache.get_ticker",
    reads: "HGET tickers:{exchange} {symbol}",
    params: { exchange: Exchange, symbol: TradingSymbol },
    result: Ticker,
    errors: ["TICKER_NOT_FOUND"],
    async read({ cache }, { exchange, symbol }) {
      const text = await cache.hget(keyOf(exchange), symbol);
      if (text === null) throw new CacheError("TICKER_NOT_FOUND", `no ticker for ${symbol} on ${exchange}`);
      return readTicker(exchange, symbol, text);
    },
  }),

  /** The last tickers of all symbols of one exchange. */
  getAllTickers: query({
    about: "The last tickers of all symbols of one exchange.",
    mirrors: "TickCache.get_all_tickers",
    reads: "HGETALL tickers:{exchange}",
    params: { exchange: Exchange },
    result: Type.Array(Ticker),
    async read(reading, { exchange }) {
      return readable(reading, await reading.cache.hgetall(keyOf(exchange)), (symbol, text) =>
        readTicker(exchange, symbol, text),
      );
    },
  }),

  /** The exchanges that have tickers. */
  getExchanges: query({
    about: "The exchanges that have tickers, by name.",
    reads: "SCAN tickers:*",
    params: {},
    result: Type.Array(Type.String()),
    async read({ cache }) {
      const keys = await cache.scan("tickers:", "hash");
      return keys.map((key) => key.slice("tickers:".length)).sort();
    },
  }),

  /** The tickers of some symbols of one exchange, or of all of them, now and whenever one moves. */
  streamTickers: liveQuery({
    about: "The tickers of the given symbols (all of the exchange if none is given), now and whenever one moves.",
    mirrors: "TickCache.get_ticker_stream",
    reads: "HGET tickers:{exchange} {symbol} once, then channel ticker_updates:{exchange}:{symbol}",
    params: {
      exchange: Exchange,
      symbols: Type.Optional(
        Type.Array(TradingSymbol, {
          minItems: 1,
          maxItems: 1000,
          description: "the symbols; all of the exchange if left out",
        }),
      ),
    },
    type: "ticker_update",
    update: Ticker,
    identity: ["exchange", "symbol"],
    topics: (_reading, { exchange, symbols }) =>
      symbols === undefined
        ? [{ name: topicName("tickers", exchange), open: () => items(tickersOf(exchange)) }]
        : [...new Set(symbols)].map((symbol) => ({
            name: topicName("ticker", exchange, symbol),
            open: () => items(tickersOf(exchange, symbol)),
          })),
  }),
});
