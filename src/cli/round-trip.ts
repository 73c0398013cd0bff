import type { CacheClient } from "../client/websocket-client.ts";

/** How long one question took, and how far the gateway's clock is ahead of this machine's. */
export interface RoundTrip {
  readonly tripMs: number;
  /** Seconds. */
  readonly skew: number;
}

/** Asks the gateway for a sign of life. @throws CacheError it gives none */
export async function roundTrip(cache: CacheClient): Promise<RoundTrip> {
  const before = performance.now();
  const { server_time: there } = await cache.ping();
  const tripMs = performance.now() - before;
  return { tripMs, skew: there - (Date.now() - tripMs / 2) / 1000 };
}
