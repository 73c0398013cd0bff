// Balances and positions: what an account holds, and what it gains or loses as its orders are filled.
import { CacheError, fullonCacheApi } from "fullon-cache-api";
import { findGateway } from "./demo-server.ts";

await using gateway = await findGateway();
await using cache = await fullonCacheApi(gateway.url);

const user = "1";

const { balances } = await cache.getBalance(user);
for (const [currency, { total, available }] of Object.entries(balances))
  console.log(`${currency.padEnd(5)} ${total}, of which ${available} can be used`);

// One currency only; options may be given by name.
const cash = await cache.getBalance(user, { currency: "USDT" });
console.log(`cash: ${cash.balances["USDT"]?.total} USDT`);

for (const { symbol, volume, cost } of await cache.getPositions(user))
  console.log(`${symbol}: ${volume} for ${cost} in all`);

try {
  await cache.getBalance("nobody");
} catch (error) {
  if (!(error instanceof CacheError)) throw error;
  // An operator may map users to accounts; then an unknown user has none.
  if (error.code !== "BALANCE_NOT_FOUND" && error.code !== "ACCOUNT_NOT_FOUND") throw error;
  console.log(`nobody: ${error.message}`);
}

// Every position now, then each that changes. A closed one comes with `removed`.
let changes = 0;
for await (const position of cache.streamPositions(user)) {
  if (position.removed) console.log(`${position.symbol} was closed`);
  else
    console.log(`${position.snapshot ? "holds" : "now"} ${position.volume} ${position.symbol}, at ${position.price}`);
  if (!position.snapshot && ++changes === 3) break;
}
