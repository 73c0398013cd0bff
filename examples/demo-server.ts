// Lets every example run without anything set up. A program of yours needs none of this: it knows its gateway's URL.
import { CacheWebSocketServer } from "fullon-cache-api";
import { startMarket } from "../src/demo/market.ts";
import { startRedisServer } from "../src/demo/redis-server.ts";

/** A gateway to connect to; disposing of it ends it, if it is ours to end. */
export interface Gateway extends AsyncDisposable {
  readonly url: string;
}

/** The gateway named by the first argument or by CACHE_URL; without either, one of our own with a simulated market. */
export async function findGateway(): Promise<Gateway> {
  const url = process.argv[2] ?? process.env["CACHE_URL"];
  if (url) return { url, async [Symbol.asyncDispose]() {} };
  const redis = await startRedisServer();
  const market = await startMarket(redis.url, { intervalMs: 100 });
  const server = new CacheWebSocketServer({ port: 0, redis: redis.url, logLevel: "error", logFormat: "text" });
  await server.start();
  return {
    url: server.url,
    async [Symbol.asyncDispose]() {
      await server.stop();
      await market.stop();
      await redis.stop();
    },
  };
}
