import { setTimeout as delay } from "node:timers/promises";
import { merge } from "../client/merge.ts";
import { type CacheClient, fullonCacheApi } from "../client/websocket-client.ts";
import { startMarket } from "../demo/market.ts";
import { startRedisServer } from "../demo/redis-server.ts";
import { readerArguments, readerName } from "../redis/reader.ts";
import { CacheWebSocketServer } from "../server/websocket-server.ts";
import type { Command, Given } from "./command.ts";
import { whenAborted } from "./ending.ts";
import { namesRedis, settingFlags, settingsFor } from "./flags.ts";
import { tokenOf } from "./gateway.ts";
import { environmentOf, type Terminal } from "./terminal.ts";
import { TickerLines } from "./ticker-lines.ts";

/** A price that moves more often than this is shown no more often: lines are to be read. */
const intervalMs = 1_000;
/** Of the reader of a Redis that only this machine can reach. */
const password = "demo";

/**
 * Shows everything at work: a private Redis with a simulated market, the gateway, and live tickers read back through the
 * client. With `--redis-url` it serves that Redis instead, and writes nothing to it.
 */
export const demo: Command = {
  about: "Starts a private Redis with a simulated market and the gateway, and prints live tickers until Ctrl-C.",
  flags: settingFlags,
  notes: `The settings may stand in the environment or in .env, too; which Redis it is, only in flags. Where they ask for tokens,
the prices are those that FULLON_CACHE_TOKEN may see.`,
  examples: () => [
    ["demo"],
    ["demo --redis-url redis://localhost:6379", "serves that Redis instead, writing nothing to it"],
  ],
  run: showAll,
};

async function showAll(given: Given, terminal: Terminal): Promise<void> {
  const settings = settingsFor(given, terminal, { "log-level": "warn", "log-format": "text" });
  // As it should be elsewhere: the gateway has a user that may read, and Redis tells it that this is so.
  const rights = { arguments: readerArguments(password, "+acl|dryrun") };
  await using redis = namesRedis(given) ? undefined : await startRedisServer(rights);
  const redisUrl = redis ? `redis://${readerName}:${password}@127.0.0.1:${redis.port}` : settings.redisUrl;
  await using server = new CacheWebSocketServer({ ...settings, redisUrl });
  await server.start();
  await using _market = redis && (await startMarket(redis.url));
  if (redis) terminal.out(`a private Redis with a simulated market: ${redisUrl}`);
  terminal.out(`listening on ${server.url}`);
  const token = tokenOf(given, environmentOf(terminal));
  await using cache = await fullonCacheApi(server.url, token === undefined ? {} : { token });
  await printTickers(cache, terminal);
}

async function printTickers(cache: CacheClient, { out, signal }: Terminal): Promise<void> {
  const exchanges = await firstExchanges(cache, out, signal);
  const lines = new TickerLines();
  for (const exchange of exchanges) for (const ticker of await cache.getAllTickers(exchange)) lines.fit(ticker);
  if (signal.aborted) return;
  out(`the tickers of ${exchanges.join(", ")}, each at most once a second; Ctrl-C ends\n\n${lines.head}`);
  await using tickers = merge(
    Object.fromEntries(exchanges.map((exchange) => [exchange, cache.streamTickers(exchange, { intervalMs })])),
  );
  whenAborted(signal, () => void tickers[Symbol.asyncDispose]());
  for await (const [, ticker] of tickers) if (!ticker.removed) out(lines.line(ticker));
}

/** The exchanges that have tickers; waits for the first, since a Redis of somebody else's may still be empty. */
async function firstExchanges(cache: CacheClient, out: Terminal["out"], signal: AbortSignal): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    const exchanges = await cache.getExchanges();
    if (exchanges.length > 0 || signal.aborted) return exchanges;
    if (attempt === 1) out("no exchange has tickers in this Redis yet: waiting for the first; Ctrl-C ends");
    // Ctrl-C ends the wait, not the program by surprise.
    await delay(intervalMs, undefined, { signal }).catch(() => {});
  }
}
