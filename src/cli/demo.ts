import { merge } from "../client/merge.ts";
import { fullonCacheApi } from "../client/websocket-client.ts";
import { startMarket } from "../demo/market.ts";
import { startRedisServer } from "../demo/redis-server.ts";
import type { Ticker } from "../operations/tickers.ts";
import { CacheWebSocketServer } from "../server/websocket-server.ts";
import { flagHelp, readFlags, settingsFor } from "./flags.ts";
import { type Terminal, untilEnd } from "./terminal.ts";

/**
 * Shows everything at work: a private Redis with a simulated market, the gateway, and live tickers read back through the
 * client. With `--redis-url` it serves that Redis instead, and writes nothing to it.
 */
export async function demo(args: readonly string[], terminal: Terminal): Promise<void> {
  const flags = readFlags(args);
  if (flags.help) {
    terminal.out(`Starts a private Redis with a simulated market and the gateway, and prints live tickers until Ctrl-C.

  fullon-cache-api demo
  fullon-cache-api demo --redis-url redis://localhost:6379    serves that Redis instead, writing nothing to it

Settings:
${flagHelp()}`);
    return;
  }
  const quiet = { "log-level": "warn", "log-format": "text", ...flags.given };
  const settings = settingsFor({ ...flags, given: quiet }, terminal);
  const given = flags.given["redis-url"];
  await using redis = given === undefined ? await startRedisServer() : undefined;
  await using _market = redis && (await startMarket(redis.url));
  if (redis) terminal.out(`a private Redis with a simulated market: ${redis.url}`);
  await using server = new CacheWebSocketServer({ ...settings, redisUrl: redis?.url ?? given });
  await server.start();
  terminal.out(`listening on ${server.url}`);
  await using cache = await fullonCacheApi(server.url);
  const exchanges = await cache.getExchanges();
  if (exchanges.length === 0) {
    terminal.out("no exchange has tickers in this Redis yet; Ctrl-C ends");
    await untilEnd(terminal);
    return;
  }
  terminal.out(`tickers of ${exchanges.join(", ")}, as they move; Ctrl-C ends`);
  const streams = merge(Object.fromEntries(exchanges.map((exchange) => [exchange, cache.streamTickers(exchange)])));
  terminal.signal.addEventListener("abort", () => void streams[Symbol.asyncDispose](), { once: true });
  const last = new Map<string, number>();
  for await (const [exchange, update] of streams) {
    if (update.removed) continue;
    const name = `${exchange} ${update.symbol}`;
    terminal.out(line(name, update, last.get(name)));
    if (update.price !== null) last.set(name, update.price);
  }
}

function line(name: string, { price, bid, ask, timestamp }: Ticker, before: number | undefined): string {
  const time = timestamp === null ? "--:--:--" : new Date(timestamp * 1000).toISOString().slice(11, 23);
  const direction = before === undefined || price === null || price === before ? " " : price > before ? "▲" : "▼";
  const spread = typeof bid === "number" && typeof ask === "number" ? `${bid} / ${ask}` : "";
  return `${time}  ${name.padEnd(24)} ${direction} ${String(price).padStart(12)}   ${spread}`;
}
