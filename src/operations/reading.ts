import type { CacheError } from "../protocol/errors.ts";
import type { Cache } from "../redis/cache.ts";
import type { Accounts } from "./account-map.ts";
import type { GatewaySummary, IdentitySummary, RedisState, ServerInfo, StreamSummary } from "./server-info.ts";

/** What a read may use: the cache, the clock, the account map, and a place to report values that had to be left out. */
export interface Reading {
  readonly cache: Cache;
  readonly accounts: Accounts;
  /** A process whose heartbeat is older than this is stale, in seconds. */
  readonly staleAfter: number;
  /** The time, in unix seconds. */
  now(): number;
  /** Counts a value that was left out of a collection, and logs it once per key. */
  corrupt(error: CacheError): void;
}

/** The connection that asks, as far as it may be asked about. */
export interface Asker {
  readonly updatesSent: number;
  /** The accounts that its token claims, where nobody else says who has which. */
  readonly accounts: Accounts | undefined;
  streams(): StreamSummary[];
  unsubscribe(stream: string): void;
  /** Says anew who it is. @throws CacheError */
  authenticate(token: string): Promise<IdentitySummary>;
}

/** What only the gateway itself can answer: about the server, and about the connection that asks. */
export interface Asking extends Reading {
  readonly server: { info(): ServerInfo; summary(): Promise<GatewaySummary>; redis(): RedisState };
  readonly connection: Asker;
}
