// Orders: the queue of an exchange in numbers, its orders, and both as they change.
import { CacheError, fullonCacheApi, merge } from "fullon-cache-api";
import { findGateway } from "./demo-server.ts";

await using gateway = await findGateway();
await using cache = await fullonCacheApi(gateway.url);

console.log(`${await cache.getQueueLength("binance")} orders are in the queue of binance`);

const orders = await cache.getOrders("binance");
console.log(`${orders.length} orders in all, ${orders.filter(({ status }) => status === "filled").length} filled`);

const [one] = orders;
if (one) {
  // Without the exchange it is looked for on all of them.
  const { order_id, side, volume, symbol, status } = await cache.getOrderStatus(one.order_id);
  console.log(`${order_id}: ${side} ${volume} ${symbol}, ${status}`);
}

try {
  await cache.getOrderStatus("NO-SUCH-ORDER", "binance");
} catch (error) {
  if (!(error instanceof CacheError && error.code === "ORDER_NOT_FOUND")) throw error;
  console.log(`NO-SUCH-ORDER: ${error.message}`);
}

// The queue and the orders behind it, as one stream.
let changes = 0;
for await (const [source, update] of merge({
  queue: cache.streamOrderQueue("binance"),
  order: cache.streamOrders("binance"),
})) {
  // The orders that there are already have been counted above.
  if (update.snapshot && source === "order") continue;
  if (update.removed) continue;
  if (source === "queue")
    console.log(`queue: ${update.queue_length} of ${update.total} ${JSON.stringify(update.by_status)}`);
  else console.log(`order: ${update.order_id} is ${update.status}`);
  if (++changes === 6) break;
}
