import { Type } from "typebox";
import { expect, expectTypeOf, test } from "vitest";
import {
  type Balance,
  type Bar,
  type Bot,
  type CacheClient,
  CacheError,
  type ErrorCode,
  fullonCacheApi,
  merge,
  type Order,
  type OrderQueue,
  type Stream,
  type Ticker,
  type Trade,
} from "../src/client/index.ts";
import { domain, liveQuery, query } from "../src/operations/operation.ts";
import type { Cache } from "../src/redis/cache.ts";

// The compiler checks what is said here (`tsc --noEmit` is part of `npm run lint`): what must not compile stands below a
// comment that fails where it does compile. Nothing of it is run, because there is no client.
function compiled(_about: (cache: CacheClient) => unknown): void {
  expect(_about).toBeTypeOf("function");
}

test("methods know the types of their arguments and results", () => {
  expectTypeOf<CacheClient["getTicker"]>().returns.toEqualTypeOf<Promise<Ticker>>();
  expectTypeOf<CacheClient["getQueueLength"]>().returns.toEqualTypeOf<Promise<number>>();
  expectTypeOf<CacheClient["getExchanges"]>().returns.toEqualTypeOf<Promise<string[]>>();
  expectTypeOf<CacheClient["streamOrders"]>().returns.toEqualTypeOf<Stream<Order, "exchange" | "order_id">>();
  expectTypeOf(fullonCacheApi).returns.toEqualTypeOf<Promise<CacheClient>>();
  compiled(async (cache) => {
    expectTypeOf(await cache.getLatestOhlcvBars("BTC/USDT", "1m", 5)).toEqualTypeOf<Bar[]>();
    expectTypeOf((await cache.getTicker("binance", "BTC/USDT")).price).toEqualTypeOf<number | null>();
    expectTypeOf((await cache.getLatestOhlcvBars("BTC/USDT", "1m"))[0]?.[4]).toEqualTypeOf<number | null | undefined>();
    for (const form of [
      cache.getBalance(1001),
      cache.getBalance("1001", "binance"),
      cache.getBalance(1001, "binance", "USDT"),
      cache.getBalance(1001, "binance", "USDT", { timeoutMs: 5 }),
      cache.getBalance(1001, "binance", { currency: "USDT" }),
      cache.getBalance(1001, { exchange: "binance", currency: "USDT", signal: AbortSignal.timeout(5) }),
    ])
      expectTypeOf(await form).toEqualTypeOf<Balance>();
  });
});

test("wrong calls do not compile", () => {
  compiled((cache) => [
    // @ts-expect-error an argument is missing
    cache.getTicker("binance"),
    // @ts-expect-error an argument is of the wrong type
    cache.getTicker("binance", 7),
    // @ts-expect-error one argument too many
    cache.getTicker("binance", "BTC/USDT", "now"),
    // @ts-expect-error no such option
    cache.getTrades("BTC/USDT", "binance", { limt: 5 }),
    // @ts-expect-error an option of the wrong type
    cache.getTrades("BTC/USDT", "binance", { limit: "5" }),
    // @ts-expect-error what is given by position cannot be given by name again
    cache.getBalance(1001, "binance", { exchange: "kraken" }),
    // @ts-expect-error options have the names of the arguments, not those on the wire
    cache.getActiveProcesses({ process_type: "bot" }),
    // @ts-expect-error only streams have an interval
    cache.getTicker("binance", "BTC/USDT", { intervalMs: 5 }),
    // @ts-expect-error a stream does not time out
    cache.streamTickers("binance", { timeoutMs: 5 }),
    // @ts-expect-error one symbol is not a list of symbols
    cache.streamTickers("binance", "BTC/USDT"),
    // @ts-expect-error there is no such operation
    cache.setTicker("binance", "BTC/USDT"),
    // @ts-expect-error the client does it by itself
    cache.unsubscribe("s1"),
    // @ts-expect-error a stream is not a promise
    cache.streamTickers("binance").then(() => {}),
  ]);
});

test("of what is removed only its identity is there", () => {
  compiled(async (cache) => {
    for await (const update of cache.streamTickers("binance")) {
      expectTypeOf(update.symbol).toEqualTypeOf<string>();
      expectTypeOf(update.update_id).toEqualTypeOf<number>();
      expectTypeOf(update.skipped).toEqualTypeOf<number | undefined>();
      // It may be removed, and has no price then.
      expectTypeOf(update.price).toEqualTypeOf<number | null | undefined>();
      if (update.removed) {
        expectTypeOf(update.exchange).toEqualTypeOf<string>();
        expectTypeOf(update.price).toEqualTypeOf<undefined>();
      } else expectTypeOf(update.price).toEqualTypeOf<number | null>();
    }
  });
});

test("what never goes away can be read without asking", () => {
  compiled(async (cache) => {
    for await (const { trade_id, price, removed } of cache.streamTradeUpdates("binance")) {
      expectTypeOf(trade_id).toEqualTypeOf<string | number | null>();
      expectTypeOf(price).toEqualTypeOf<number | null>();
      expectTypeOf(removed).toEqualTypeOf<undefined>();
    }
    for await (const { healthy } of cache.streamProcessHealth()) expectTypeOf(healthy).toEqualTypeOf<boolean>();
  });
});

test("merged streams give pairs whose name tells the type of the update", () => {
  compiled(async (cache) => {
    const merged = merge({
      bots: cache.streamBotStatus(),
      queue: cache.streamOrderQueue("binance"),
      trades: cache.streamTradeUpdates("binance"),
    });
    for await (const [name, update] of merged) {
      expectTypeOf(name).toEqualTypeOf<"bots" | "queue" | "trades">();
      if (name === "trades") expectTypeOf(update).toExtend<Trade>();
      if (name === "bots" && !update.removed) expectTypeOf(update).toExtend<Bot>();
      if (name === "queue" && !update.removed) expectTypeOf(update).toExtend<OrderQueue>();
      // @ts-expect-error there is no such source
      if (name === "orders") break;
    }
    // @ts-expect-error a promise is not a source
    merge({ ticker: cache.getTicker("binance", "BTC/USDT") });
  });
});

test("an error's code is one of the documented ones", () => {
  const { code } = new CacheError("TICKER_NOT_FOUND", "no ticker");
  expectTypeOf(code).toEqualTypeOf<ErrorCode>();
  compiled(() => {
    // @ts-expect-error there is no such code
    new CacheError("NO_TICKER", "no ticker");
  });
});

test("in a declaration `stream…` is a live query, and everything else a query", () => {
  const ask = query({ about: "", reads: "", params: {}, result: Type.String(), read: async () => "" });
  const follow = liveQuery({
    about: "",
    reads: "",
    params: {},
    type: "it_update",
    update: Type.Object({ a: Type.String() }),
    identity: ["a"],
    topics: () => [],
  });
  expectTypeOf(domain({ getIt: ask, streamIt: follow })).toEqualTypeOf<{
    readonly getIt: typeof ask;
    readonly streamIt: typeof follow;
  }>();
  compiled(() => {
    // @ts-expect-error a live query that is not called so
    domain({ getIt: follow });
    // @ts-expect-error a query that is called as if it were live
    domain({ streamIt: ask });
  });
});

test("a declaration keeps to its schemas, and cannot write", () => {
  compiled(() => [
    query({
      about: "",
      reads: "",
      params: { exchange: Type.String(), limit: Type.Optional(Type.Integer()) },
      result: Type.Number(),
      async read({ cache }, { exchange, limit }) {
        expectTypeOf(exchange).toEqualTypeOf<string>();
        expectTypeOf(limit).toEqualTypeOf<number | undefined>();
        // @ts-expect-error the cache has no verb that writes
        await cache.hset(exchange, "a", "b");
        // @ts-expect-error nor one that deletes
        await cache.del(exchange);
        // @ts-expect-error nor one for any command
        await cache.sendCommand(["SET", exchange, "b"]);
        return cache.llen(exchange);
      },
    }),
    query({
      about: "",
      reads: "",
      params: {},
      result: Type.Number(),
      // @ts-expect-error text is not what the declaration promises
      read: async ({ cache }) => cache.get("a"),
    }),
    liveQuery({
      about: "",
      reads: "",
      params: {},
      type: "it_update",
      update: Type.Object({ a: Type.String() }),
      // @ts-expect-error an update has no such member
      identity: ["b"],
      topics: () => [],
    }),
  ]);
  expectTypeOf<keyof Cache>().toEqualTypeOf<
    "get" | "hget" | "hgetall" | "llen" | "lrange" | "mget" | "scan" | "settled"
  >();
});
