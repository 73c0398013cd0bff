import { closeCodes, type ErrorCode } from "../protocol/errors.ts";
import type { Redis } from "../redis/redis.ts";
import { Buckets } from "./buckets.ts";
import type { Connection, ConnectionContext } from "./connection.ts";
import type { CorruptValues } from "./corrupt-values.ts";
import { Counts } from "./counts.ts";
import { Lag } from "./lag.ts";
import type { MetricName } from "./metrics.ts";
import { processFigures } from "./process-figures.ts";
import { byLabel, type Figure, ofBuckets } from "./scrape.ts";

/** Whether clients should be sent here, and if not, why. */
export type Readiness =
  | { readonly ready: true }
  | { readonly ready: false; readonly error_code: ErrorCode; readonly error: string };

/** What is looked at when somebody asks. */
export interface Monitored {
  readonly version: string;
  readonly context: ConnectionContext;
  readonly connections: ReadonlySet<Connection>;
  readonly redis: Redis;
  readonly corrupt: CorruptValues;
  readonly isDraining: boolean;
}

const redisBounds = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
// Nobody was told why it ended, or the network was at fault.
const silentCloses = [1005, 1006];

/**
 * How one server fares. What happens is counted in plain fields as it happens; everything else is looked at only when
 * somebody asks.
 */
export class Monitor {
  readonly lag = new Lag();
  readonly #roundTrips = new Buckets(redisBounds);
  readonly #closed = new Counts<number | "other">();
  #opened = 0;
  #sent = 0;
  #skipped = 0;
  #timesReached = 0;
  #bugs = 0;

  /** A connection was opened. */
  opened(): void {
    this.#opened++;
  }

  /** A connection was closed, with this code, having been sent so many updates. */
  closed(code: number, updatesSent: number): void {
    const known = Object.hasOwn(closeCodes, code) || silentCloses.includes(code) ? code : "other";
    this.#closed.add(known);
    this.#sent += updatesSent;
  }

  /** So many updates were left out for somebody. */
  skipped(count: number): void {
    this.#skipped += count;
  }

  /** Something but a request failed for a reason that is a bug. */
  bug(): void {
    this.#bugs++;
  }

  /** Redis can be reached, for the first time or again. */
  redisReached(): void {
    this.#timesReached++;
  }

  /** Redis answered after so many milliseconds. */
  redisAnswered(ms: number): void {
    this.#roundTrips.add(ms / 1_000);
  }

  /** The figures of every metric. */
  figures({ version, context, connections, redis, corrupt, isDraining }: Monitored): Record<MetricName, Figure> {
    const tallies = [...context.requests.tallies];
    const { refusals } = context;
    const { connected, change_detection, read_only } = redis.state;
    const clients = [...connections];
    const topics = [...context.topics];
    const now = context.reading.now();
    const longest = topics.reduce((most, { staleSince = now }) => Math.max(most, now - staleSince), 0);
    return {
      ...processFigures(),
      fullon_cache_api_info: [{ labels: { version, node: process.version }, value: 1 }],
      fullon_cache_api_ready: Number(readinessOf(redis, isDraining).ready),
      fullon_cache_api_draining: Number(isDraining),
      fullon_cache_api_requests_total: tallies.flatMap(([operation, { atOnce, waited, failures }]) => {
        const all = atOnce + total(waited.counts);
        const failed = total(Array.from(failures, ([, count]) => count));
        const byCode = [...(all > failed ? [["OK", all - failed] as const] : []), ...failures];
        return byCode.map(([code, value]) => ({ labels: { operation, code }, value }));
      }),
      fullon_cache_api_request_seconds: tallies
        .filter(([, { atOnce, waited }]) => atOnce + total(waited.counts) > 0)
        .flatMap(([operation, { atOnce, waited }]) =>
          ofBuckets("fullon_cache_api_request_seconds", waited, { operation }, atOnce),
        ),
      fullon_cache_api_bugs_total: this.#bugs + total(tallies.map(([, { failures }]) => failures.of("INTERNAL_ERROR"))),
      fullon_cache_api_refusals_total: byLabel("code", refusals),
      fullon_cache_api_connections: clients.length,
      fullon_cache_api_connections_max: context.limits.max_connections,
      fullon_cache_api_connections_opened_total: this.#opened,
      fullon_cache_api_connections_closed_total: byLabel("code", this.#closed),
      fullon_cache_api_slow_consumers_total: refusals.of("SLOW_CONSUMER"),
      fullon_cache_api_congested_connections: clients.filter(({ congested }) => congested).length,
      fullon_cache_api_queued_bytes: total(clients.map(({ queuedBytes }) => queuedBytes)),
      fullon_cache_api_streams: total(clients.map(({ size }) => size)),
      fullon_cache_api_topics: topics.length,
      fullon_cache_api_subscribers: total(topics.map(({ followers }) => followers)),
      fullon_cache_api_stale_topics: topics.filter(({ trouble }) => trouble).length,
      fullon_cache_api_stale_seconds: longest,
      fullon_cache_api_updates_sent_total: this.#sent + total(clients.map(({ updatesSent }) => updatesSent)),
      fullon_cache_api_updates_skipped_total: this.#skipped,
      fullon_cache_api_update_lag_seconds: ofBuckets("fullon_cache_api_update_lag_seconds", this.lag.seconds),
      fullon_cache_api_redis_connected: Number(connected),
      fullon_cache_api_redis_tracking: Number(change_detection === "tracking"),
      fullon_cache_api_redis_read_only: read_only === null ? [] : Number(read_only),
      fullon_cache_api_redis_reconnects_total: Math.max(0, this.#timesReached - 1),
      fullon_cache_api_redis_round_trip_seconds: ofBuckets(
        "fullon_cache_api_redis_round_trip_seconds",
        this.#roundTrips,
      ),
      fullon_cache_api_near_cache_hits_total: total(tallies.map(([, { hits }]) => hits)),
      fullon_cache_api_near_cache_bytes: context.answers.bytes,
      fullon_cache_api_corrupt_values_total: corrupt.count,
    };
  }
}

/** Whether clients should be sent here. */
export function readinessOf(redis: Redis, isDraining: boolean): Readiness {
  if (isDraining) return { ready: false, error_code: "DRAINING", error: "the server is going away" };
  if (redis.state.connected) return { ready: true };
  return { ready: false, error_code: "CACHE_UNAVAILABLE", error: "Redis cannot be reached, or must not be used" };
}

function total(counts: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < counts.length; at++) sum += counts[at] as number;
  return sum;
}
