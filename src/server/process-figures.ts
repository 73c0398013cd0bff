import { type IntervalHistogram, monitorEventLoopDelay, performance } from "node:perf_hooks";
import type { MetricName } from "./metrics.ts";

type ProcessMetric = Extract<MetricName, `${"process" | "nodejs"}_${string}`>;

const resolutionMs = 20;
let delays: IntervalHistogram | undefined;

/** What this process uses, whatever runs in it. From the first call on, the delay of the event loop is watched. */
export function processFigures(): Record<ProcessMetric, number> {
  const { user, system } = process.cpuUsage();
  const memory = process.memoryUsage();
  if (!delays) {
    delays = monitorEventLoopDelay({ resolution: resolutionMs });
    delays.enable();
  }
  // What is measured is the distance of two ticks, which is never less than the resolution.
  const late = (ns: number) => Math.max(0, ns / 1e9 - resolutionMs / 1_000);
  const figures = {
    process_start_time_seconds: performance.timeOrigin / 1_000,
    process_cpu_seconds_total: (user + system) / 1e6,
    process_resident_memory_bytes: memory.rss,
    nodejs_heap_size_total_bytes: memory.heapTotal,
    nodejs_heap_size_used_bytes: memory.heapUsed,
    nodejs_external_memory_bytes: memory.external,
    nodejs_eventloop_active_seconds_total: performance.eventLoopUtilization().active / 1_000,
    nodejs_eventloop_lag_p50_seconds: late(delays.percentile(50)),
    nodejs_eventloop_lag_p99_seconds: late(delays.percentile(99)),
    nodejs_eventloop_lag_max_seconds: late(delays.max),
  };
  delays.reset();
  return figures;
}
