// The whole of it in one file: connect, ask, follow, handle errors, follow several things at once, and leave.
import { CacheError, fullonCacheApi, merge } from "fullon-cache-api";
import { findGateway } from "./demo-server.ts";

await using gateway = await findGateway();

// Leaving this block closes the connection, whatever happens in between.
await using cache = await fullonCacheApi(gateway.url);
const { name, version, redis } = await cache.getServerInfo();
console.log(`connected to ${name} ${version}, whose Redis is ${redis.connected ? "there" : "away"}`);

// A question has one answer.
const ticker = await cache.getTicker("binance", "BTC/USDT");
console.log(`BTC/USDT costs ${ticker.price}`);

// A question can be given up: by a time limit, or by a signal of your own.
const bots = await cache.getBots({ timeoutMs: 2_000, signal: AbortSignal.timeout(5_000) });
console.log(`${bots.length} bots`);

// Every error is a CacheError; its code is for programs, its message for people.
try {
  await cache.getTicker("binance", "NO/SUCH");
} catch (error) {
  if (!(error instanceof CacheError)) throw error;
  console.log(`${error.code}: ${error.message}${error.retryable ? " (may work later)" : ""}`);
}

// A stream brings the present state first, then every change. It survives lost connections; `break` ends it.
let updates = 0;
for await (const update of cache.streamTickers("binance", ["BTC/USDT"])) {
  if (update.removed) break;
  console.log(`${update.snapshot ? "now" : "then"} ${update.price}`);
  if (++updates === 4) break;
}

// Several streams as one. Ending the loop ends them all.
const seen = new Set<string>();
for await (const [source, update] of merge({
  tickers: cache.streamTickers("kraken"),
  queue: cache.streamOrderQueue("binance"),
})) {
  if (!seen.has(source)) console.log(`first from ${source}: ${update.topic}`);
  if (seen.add(source).size === 2) break;
}
