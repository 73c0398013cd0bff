// Bots: what they say of themselves, which symbols they keep for themselves, and when one opens a position.
import { CacheError, fullonCacheApi } from "fullon-cache-api";
import { findGateway } from "./demo-server.ts";

await using gateway = await findGateway();
await using cache = await fullonCacheApi(gateway.url);

for (const bot of await cache.getBots())
  console.log(`bot ${bot.bot_id} is ${bot.status}, feeds: ${Object.keys(bot.feeds).join(", ")}`);

for (const { exchange, symbol, blocked_by } of await cache.getBlocks())
  console.log(`${symbol} on ${exchange} belongs to bot ${blocked_by}`);

const block = await cache.isBlocked("binance", "SOL/USDT");
console.log(`SOL/USDT on binance is ${block.is_blocked ? `blocked by bot ${block.blocked_by}` : "free"}`);

const opening = await cache.isOpeningPosition("binance", "BTC/USDT");
console.log(opening.is_opening ? `bot ${opening.bot_id} is opening a position` : "nobody is opening a position");

try {
  await cache.getBotStatus("no-such-bot");
} catch (error) {
  if (!(error instanceof CacheError && error.code === "BOT_NOT_FOUND")) throw error;
  console.log(`no-such-bot: ${error.message}`);
}

// One bot. Without its id: all of them.
let reports = 0;
for await (const bot of cache.streamBotStatus("1", { intervalMs: 200 })) {
  if (bot.removed) break;
  console.log(`bot ${bot.bot_id}: ${JSON.stringify(bot.feeds["feed_1"]?.["performance"])}`);
  if (++reports === 4) break;
}
