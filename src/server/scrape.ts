import { type Metric as PromMetric, Registry } from "prom-client";
import type { Buckets } from "./buckets.ts";
import { type Metric, type MetricName, metrics } from "./metrics.ts";

/** One figure, as prom-client writes it. */
interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** Of a histogram: which of its figures this is. */
  readonly metricName?: string;
}

/** The figures of all metrics of one process: text and numbers only, so that it can pass between processes. */
export type Scrape = Readonly<Record<MetricName, readonly Sample[]>>;

/** The media type of {@link asText}. */
export const metricsType = Registry.PROMETHEUS_CONTENT_TYPE;

/** What a metric is read as: one value, or several by their labels. */
export type Figure = number | readonly Sample[];

/** Counts by what tells them apart. */
export function byLabel(label: string, counts: Iterable<readonly [name: string | number, count: number]>): Sample[] {
  return Array.from(counts, ([name, value]) => ({ labels: { [label]: name }, value }));
}

/** The figures of a histogram. `more`: so many besides that took no time to speak of. */
export function ofBuckets(
  name: MetricName,
  { bounds, counts, sum }: Buckets,
  labels: Sample["labels"] = {},
  more = 0,
): Sample[] {
  let count = more;
  const buckets = Array.from(counts, (some, at) => {
    count += some;
    return { metricName: `${name}_bucket`, labels: { ...labels, le: bounds[at] ?? "+Inf" }, value: count };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

/** Figures as samples; each carries the number of the worker, where there are several. */
export function scrapeOf(figures: Readonly<Record<MetricName, Figure>>, worker: number | undefined): Scrape {
  const own = worker === undefined ? {} : { worker };
  const samples = ([name, figure]: [string, Figure]) => {
    const some = typeof figure === "number" ? [{ labels: {}, value: figure }] : figure;
    return [name, some.map((sample) => ({ ...sample, labels: { ...sample.labels, ...own } }))];
  };
  return Object.fromEntries(Object.entries(figures).map(samples)) as Scrape;
}

/** The figures of several processes as one text for Prometheus; their labels tell them apart. */
export function asText(scrapes: readonly Scrape[]): Promise<string> {
  const registry = new Registry();
  for (const [name, { kind, about }] of Object.entries(metrics) as [MetricName, Metric][]) {
    const values = scrapes.flatMap((scrape) => scrape[name]);
    // All that a registry asks of a metric; one of its own would count for itself.
    const metric = { name, get: () => ({ name, help: about, type: kind, values }) };
    registry.registerMetric(metric as unknown as PromMetric);
  }
  return registry.metrics();
}
