// Trades: the newest ones, those of one user, and each new one as it happens. Reading never takes any away.
import { CacheError, fullonCacheApi } from "fullon-cache-api";
import { findGateway } from "./demo-server.ts";

await using gateway = await findGateway();
await using cache = await fullonCacheApi(gateway.url);

for (const { side, volume, price } of await cache.getTrades("BTC/USDT", "binance", 3))
  console.log(`BTC/USDT: ${side} ${volume} at ${price}`);

const own = await cache.getUserTrades("1", "binance", { limit: 100 });
console.log(`user 1 made ${own.length} trades on binance, the last one in ${own.at(-1)?.symbol}`);

const { timestamp } = await cache.getTradeStatus("binance");
console.log(`the last trades of binance came ${(Date.now() / 1000 - timestamp).toFixed(1)} s ago`);

try {
  await cache.getTradeStatus("no-such-exchange");
} catch (error) {
  if (!(error instanceof CacheError && error.code === "TRADE_STATUS_NOT_FOUND")) throw error;
  console.log(`no-such-exchange: ${error.message}`);
}

// First the trades that are there, marked as snapshot, then each new one exactly once. Without the symbol: all of them.
let known = 0;
let fresh = 0;
for await (const trade of cache.streamTradeUpdates("binance", "BTC/USDT")) {
  if (trade.snapshot) {
    known++;
    continue;
  }
  if (fresh === 0) console.log(`${known} trades were there already`);
  // A loop that cannot keep up is told how many it missed.
  if (trade.skipped) console.log(`${trade.skipped} trades were missed`);
  console.log(`new: ${trade.side} ${trade.volume} at ${trade.price}`);
  if (++fresh === 4) break;
}
