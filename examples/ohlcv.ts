// Candles: the latest bars, and each one that is new or changes.
import { CacheError, fullonCacheApi } from "fullon-cache-api";
import { findGateway } from "./demo-server.ts";

await using gateway = await findGateway();
await using cache = await fullonCacheApi(gateway.url);

const clock = (timestamp: number) => new Date(timestamp * 1000).toISOString().slice(11, 16);

// A bar is [timestamp, open, high, low, close, volume], the oldest first.
for (const [timestamp, open, high, low, close] of await cache.getLatestOhlcvBars("BTC/USDT", "1m", 3))
  console.log(`${clock(timestamp)} open ${open} high ${high} low ${low} close ${close}`);

const hour = await cache.getLatestOhlcvBars("BTC/USDT", "1m", 60);
const highest = Math.max(...hour.map(([, , high]) => high ?? -Infinity));
console.log(`the highest price of the last ${hour.length} minutes: ${highest}`);

try {
  await cache.getLatestOhlcvBars("BTC/USDT", "3w");
} catch (error) {
  if (!(error instanceof CacheError && error.code === "OHLCV_NOT_FOUND")) throw error;
  console.log(`BTC/USDT 3w: ${error.message}`);
}

// The last hundred bars, then the one that is being made, whenever it changes.
const bars = new Map<number, number | null>();
for await (const bar of cache.streamOhlcv("BTC/USDT", "1m")) {
  if (bar.removed) {
    bars.delete(bar.timestamp);
    continue;
  }
  bars.set(bar.timestamp, bar.close);
  if (bar.snapshot) continue;
  console.log(`${clock(bar.timestamp)} closes at ${bar.close} for now; ${bars.size} bars are known`);
  break;
}
