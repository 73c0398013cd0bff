/** One metric: what it counts, and what tells its values apart. */
export interface Metric {
  readonly kind: "counter" | "gauge" | "histogram";
  /** One sentence for people. */
  readonly about: string;
  /** By what its values differ; with several workers also by `worker`. */
  readonly labels?: readonly string[];
}

/** Every metric there is; the scrape, the table in the documents and the checks of dashboards come from here. */
export const metrics = {
  fullon_cache_api_info: {
    kind: "gauge",
    about: "always 1; the labels name the version of the gateway and of Node.js",
    labels: ["version", "node"],
  },
  fullon_cache_api_ready: {
    kind: "gauge",
    about: "1 where /readyz says 200: Redis can be reached, and it does not drain",
  },
  fullon_cache_api_draining: { kind: "gauge", about: "1 while it stops" },

  fullon_cache_api_requests_total: {
    kind: "counter",
    about: "requests that were answered, by operation and by error code, or OK",
    labels: ["operation", "code"],
  },
  fullon_cache_api_request_seconds: {
    kind: "histogram",
    about:
      "how long requests took, from their frame to the answer; those answered at once count in the lowest bucket, as 0 s",
    labels: ["operation"],
  },
  fullon_cache_api_bugs_total: {
    kind: "counter",
    about: "requests, topics and connections that failed for a reason that is a bug; the log has each of them",
  },
  fullon_cache_api_refusals_total: {
    kind: "counter",
    about: "connections and requests that were refused, and connections that were ended, by error code",
    labels: ["code"],
  },

  fullon_cache_api_connections: { kind: "gauge", about: "connections that are open" },
  fullon_cache_api_connections_max: { kind: "gauge", about: "how many there may be: --max-connections" },
  fullon_cache_api_connections_opened_total: { kind: "counter", about: "connections that were opened" },
  fullon_cache_api_connections_closed_total: {
    kind: "counter",
    about: "connections that were closed, by WebSocket close code; codes that only clients send count as other",
    labels: ["code"],
  },
  fullon_cache_api_slow_consumers_total: {
    kind: "counter",
    about: "connections that were ended because they took too little (close code 4440)",
  },
  fullon_cache_api_congested_connections: {
    kind: "gauge",
    about: "connections that do not take what is sent, and get only the latest for now",
  },
  fullon_cache_api_queued_bytes: { kind: "gauge", about: "bytes that wait for clients, all of them together" },

  fullon_cache_api_streams: { kind: "gauge", about: "streams that are open" },
  fullon_cache_api_topics: { kind: "gauge", about: "topics that are followed" },
  fullon_cache_api_subscribers: { kind: "gauge", about: "places of connections at topics" },
  fullon_cache_api_stale_topics: { kind: "gauge", about: "topics whose picture may not be true" },
  fullon_cache_api_stale_seconds: {
    kind: "gauge",
    about: "for how long the topic has been stale that has been so the longest; else 0",
  },
  fullon_cache_api_updates_sent_total: {
    kind: "counter",
    about: "updates that were sent, the items of snapshots among them: one for every subscriber",
  },
  fullon_cache_api_updates_skipped_total: {
    kind: "counter",
    about:
      "updates that were left out for a subscriber, who was told the next one, because of its interval or its slowness",
  },
  fullon_cache_api_update_lag_seconds: {
    kind: "histogram",
    about:
      "from Redis' notice to the write on the sockets of all who follow, once for each topic that had news in a turn",
  },

  fullon_cache_api_redis_connected: { kind: "gauge", about: "1 while Redis can be reached" },
  fullon_cache_api_redis_tracking: {
    kind: "gauge",
    about: "1 where Redis tells what changed; 0 where what is followed is read again on a timer",
  },
  fullon_cache_api_redis_read_only: {
    kind: "gauge",
    about:
      "1 where the Redis user may do nothing but read, 0 where it may do more; missing where nobody could find out",
  },
  fullon_cache_api_redis_reconnects_total: {
    kind: "counter",
    about: "how often Redis was reached again after it was lost",
  },
  fullon_cache_api_redis_round_trip_seconds: {
    kind: "histogram",
    about: "how long Redis took to answer a command, the way there and back included",
  },
  fullon_cache_api_near_cache_hits_total: { kind: "counter", about: "requests that were answered from the near cache" },
  fullon_cache_api_near_cache_bytes: { kind: "gauge", about: "memory that the near cache takes" },
  fullon_cache_api_corrupt_values_total: {
    kind: "counter",
    about: "cached values that could not be read and were left out",
  },

  process_start_time_seconds: { kind: "gauge", about: "when the process started, in unix seconds" },
  process_cpu_seconds_total: { kind: "counter", about: "processor time, of user and system together" },
  process_resident_memory_bytes: { kind: "gauge", about: "memory that the process takes" },
  nodejs_heap_size_total_bytes: { kind: "gauge", about: "size of the heap" },
  nodejs_heap_size_used_bytes: { kind: "gauge", about: "what of it is used" },
  nodejs_external_memory_bytes: {
    kind: "gauge",
    about: "memory outside the heap that hangs on objects, buffers among it",
  },
  nodejs_eventloop_active_seconds_total: {
    kind: "counter",
    about: "time in which the event loop was not idle; its rate is how busy the one thread is, up to 1",
  },
  nodejs_eventloop_lag_p50_seconds: { kind: "gauge", about: "median delay of the event loop since the last scrape" },
  nodejs_eventloop_lag_p99_seconds: { kind: "gauge", about: "99th percentile of it" },
  nodejs_eventloop_lag_max_seconds: { kind: "gauge", about: "the longest of it" },
} as const satisfies Record<string, Metric>;

/** The name of a metric. */
export type MetricName = keyof typeof metrics;
