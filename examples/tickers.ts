// Prices: ask for one or all of an exchange, and follow some as they move.
import { CacheError, fullonCacheApi, type Ticker } from "fullon-cache-api";
import { findGateway } from "./demo-server.ts";

await using gateway = await findGateway();
await using cache = await fullonCacheApi(gateway.url);

console.log(`exchanges: ${(await cache.getExchanges()).join(", ")}`);

const { price, bid, ask } = await cache.getTicker("binance", "BTC/USDT");
console.log(`BTC/USDT on binance: ${price}, bid ${bid}, ask ${ask}`);

const tickers = await cache.getAllTickers("kraken");
const [best] = tickers.toSorted((a, b) => (b.percentage ?? 0) - (a.percentage ?? 0));
console.log(`kraken has ${tickers.length} tickers; ${best?.symbol} gained most: ${best?.percentage} %`);

// What is not cached is an error with a code.
async function tickerIfThere(exchange: string, symbol: string): Promise<Ticker | undefined> {
  try {
    return await cache.getTicker(exchange, symbol);
  } catch (error) {
    if (error instanceof CacheError && error.code === "TICKER_NOT_FOUND") return undefined;
    throw error;
  }
}
console.log(`NO/SUCH on binance: ${(await tickerIfThere("binance", "NO/SUCH"))?.price ?? "no ticker"}`);

// Two symbols, at most one update each every 200 ms. Without the list: all symbols of the exchange.
const last = new Map<string, number | null>();
let updates = 0;
for await (const update of cache.streamTickers("binance", ["BTC/USDT", "ETH/USDT"], { intervalMs: 200 })) {
  if (update.removed) {
    console.log(`${update.symbol} is no longer there`);
    continue;
  }
  const before = last.get(update.symbol);
  last.set(update.symbol, update.price);
  console.log(`${update.symbol} ${update.price}${before === undefined ? "" : ` (was ${before})`}`);
  if (++updates === 8) break;
}
