import { type Static, Type } from "typebox";
import { CacheError } from "../protocol/errors.ts";
import { decodeObject, number, type Stored, seconds, text, without } from "../redis/values.ts";
import { items, oneValue, orNothing, readable } from "./changes.ts";
import { Amount, Exchange, Id, Name, Open, Text, Timestamp } from "./fields.ts";
import { domain, liveQuery, query, topicName } from "./operation.ts";
import type { Reading } from "./reading.ts";
import { tally } from "./tally.ts";

/** One order as the exchange last reported it. */
export const Order = Open("Order", {
  order_id: Type.String({ description: "the id under which Redis keeps it" }),
  exchange: Type.String(),
  symbol: Text("the symbol"),
  status: Text("open, partially_filled, closed, canceled, …"),
  side: Text("buy or sell"),
  order_type: Text("limit, market, …"),
  volume: Amount("how much was ordered"),
  final_volume: Amount("how much is filled"),
  price: Amount("the limit price; null for market orders"),
  timestamp: Timestamp,
  stored_order_id: Type.Optional(
    Type.Union([Type.String(), Type.Number()], {
      description: "the id that the value itself names, where it is another",
    }),
  ),
  stored_exchange: Type.Optional(
    Type.String({ description: "the exchange that the value itself names, where it is another" }),
  ),
});
export type Order = Static<typeof Order>;

/** How many orders of one exchange are in which status. */
export const OrderQueue = Open("OrderQueue", {
  exchange: Type.String(),
  queue_length: Type.Integer({ description: "the orders that are not in a final status" }),
  total: Type.Integer({ description: "all orders" }),
  by_status: Type.Record(Type.String(), Type.Integer()),
  timestamp: Timestamp,
});
export type OrderQueue = Static<typeof OrderQueue>;

const finalStatuses = new Set(["closed", "filled", "canceled", "cancelled", "expired", "rejected"]);

/** Whether nothing more can happen to an order in this status. */
function isFinal(status: string | null): boolean {
  return status !== null && finalStatuses.has(status.toLowerCase());
}

const keyOf = (exchange: string) => `order_status:${exchange}`;

function order(exchange: string, orderId: string, stored: Stored): Order {
  const own = stored["order_id"];
  const storedExchange = text(stored["exchange"]);
  return {
    ...without(stored, ["order_id", "exchange"]),
    order_id: orderId,
    exchange,
    symbol: text(stored["symbol"]),
    status: text(stored["status"]),
    side: text(stored["side"]),
    order_type: text(stored["order_type"]),
    volume: number(stored["volume"]),
    final_volume: number(stored["final_volume"]),
    price: number(stored["price"]),
    timestamp: seconds(stored["timestamp"]),
    ...((typeof own === "string" || typeof own === "number") && String(own) !== orderId && { stored_order_id: own }),
    ...(storedExchange !== null && storedExchange !== exchange && { stored_exchange: storedExchange }),
  };
}

function readOrder(exchange: string, orderId: string, raw: string): Order {
  return decodeObject({ key: keyOf(exchange), field: orderId }, raw, (stored) => order(exchange, orderId, stored));
}

async function ordersOf(reading: Reading, exchange: string): Promise<Order[]> {
  const texts = await reading.cache.hgetall(keyOf(exchange));
  return readable(reading, texts, (orderId, raw) => readOrder(exchange, orderId, raw));
}

function queue(exchange: string, orders: readonly Order[]): Omit<OrderQueue, "timestamp"> {
  return {
    exchange,
    queue_length: orders.filter(({ status }) => !isFinal(status)).length,
    total: orders.length,
    by_status: tally(orders.map(({ status }) => status)),
  };
}

/** Orders: what `fullon_cache`'s `OrdersCache` holds. */
export const orders = domain({
  /** One order by its id. */
  getOrderStatus: query({
    about: "One order by its id, on one exchange or wherever it is.",
    mirrors: "OrdersCache.get_order_status",
    reads: "HGET order_status:{exchange} {order_id}; without exchange every order_status:*",
    params: { order_id: Id("the order"), exchange: Type.Optional(Exchange) },
    result: Order,
    errors: ["ORDER_NOT_FOUND"],
    async read(reading, { order_id, exchange }) {
      const { cache } = reading;
      const orderId = String(order_id);
      const prefix = keyOf("");
      const exchanges =
        exchange === undefined
          ? (await cache.scan("order_status:", "hash")).map((key) => key.slice(prefix.length)).sort()
          : [exchange];
      const texts = await Promise.all(
        exchanges.map((name) => {
          const read = cache.hget(keyOf(name), orderId);
          return exchange === undefined ? orNothing(reading, read, null) : read;
        }),
      );
      const found = exchanges.flatMap((name, at) => {
        const raw = texts[at];
        return typeof raw === "string" ? [{ name, raw }] : [];
      });
      const where = exchange === undefined ? "any exchange" : exchange;
      if (found.length === 0) throw new CacheError("ORDER_NOT_FOUND", `no order ${orderId} on ${where}`);
      // The same id on two exchanges: the one that moved last is the one that is meant.
      const read = found.map(({ name, raw }) => readOrder(name, orderId, raw));
      return read.reduce((best, one) => ((one.timestamp ?? 0) > (best.timestamp ?? 0) ? one : best));
    },
  }),

  /** The orders of one exchange. */
  getOrders: query({
    about: "The orders of one exchange, all or those in one status.",
    mirrors: "OrdersCache.get_orders",
    reads: "HGETALL order_status:{exchange}",
    params: { exchange: Exchange, status: Type.Optional(Name("the status, for example open")) },
    result: Type.Array(Order),
    async read(reading, { exchange, status }) {
      const all = await ordersOf(reading, exchange);
      return status === undefined ? all : all.filter((one) => one.status === status);
    },
  }),

  /** How many orders of one exchange are not in a final status. */
  getQueueLength: query({
    about: "How many orders of one exchange are not in a final status (closed, filled, canceled, expired, rejected).",
    reads: "HGETALL order_status:{exchange}",
    params: { exchange: Exchange },
    result: Type.Integer(),
    async read(reading, { exchange }) {
      return queue(exchange, await ordersOf(reading, exchange)).queue_length;
    },
  }),

  /** The order queue of one exchange in numbers, now and whenever it changes. */
  streamOrderQueue: liveQuery({
    about: "The order queue of one exchange in numbers, now and whenever they change.",
    reads: "HGETALL order_status:{exchange}",
    params: { exchange: Exchange },
    type: "order_queue_update",
    update: OrderQueue,
    identity: ["exchange"],
    topics: (_reading, { exchange }) => [
      {
        name: topicName("order_queue", exchange),
        open: () =>
          oneValue({
            watch: { keys: [keyOf(exchange)] },
            read: async (reading) => queue(exchange, await ordersOf(reading, exchange)),
          }),
      },
    ],
  }),

  /** The orders of one exchange, now and whenever one changes. */
  streamOrders: liveQuery({
    about: "The orders of one exchange, now and whenever one changes.",
    reads: "HGETALL order_status:{exchange}",
    params: { exchange: Exchange },
    type: "order_update",
    update: Order,
    identity: ["exchange", "order_id"],
    topics: (_reading, { exchange }) => [
      {
        name: topicName("orders", exchange),
        open: () =>
          items({
            watch: { keys: [keyOf(exchange)] },
            texts: ({ cache }) => cache.hgetall(keyOf(exchange)),
            item: (orderId, raw) => readOrder(exchange, orderId, raw),
          }),
      },
    ],
  }),
});
