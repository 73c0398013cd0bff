/** What a scrape says of each metric: its kind, and its values by their labels as they are written, `operation="ping"`. */
export type Scraped = ReadonlyMap<string, { readonly kind: string; readonly values: ReadonlyMap<string, number> }>;

/** Reads the text that Prometheus reads; the figures of a histogram stand under its own name. */
export function readScrape(text: string): Scraped {
  const metrics = new Map<string, { kind: string; values: Map<string, number> }>();
  for (const line of text.split("\n").filter(Boolean)) {
    const [, name = "", kind = ""] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (kind !== "") metrics.set(name, { kind, values: new Map() });
    if (line.startsWith("#")) continue;
    const [, series = "", labels = "", value = ""] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    const [, base = series, part = ""] = /^(.*)_(bucket|sum|count)$/.exec(series) ?? [];
    const metric = metrics.get(series) ?? metrics.get(base);
    if (!metric) throw new Error(`a value of no metric: ${line}`);
    const own = metrics.has(series) ? labels : [part, labels].filter(Boolean).join(" ");
    if (metric.values.has(own)) throw new Error(`twice the same: ${line}`);
    metric.values.set(own, Number(value));
  }
  return metrics;
}

/** The value of a metric, by its labels as they are written; 0 where there is none. */
export function metricOf(scraped: Scraped, name: string, labels = ""): number {
  const metric = scraped.get(name);
  if (!metric) throw new Error(`there is no metric ${name}`);
  return metric.values.get(labels) ?? 0;
}
