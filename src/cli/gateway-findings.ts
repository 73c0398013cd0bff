import type { CacheClient } from "../client/websocket-client.ts";
import type { CacheError } from "../protocol/errors.ts";
import type { Redis } from "../redis/redis.ts";
import { isObject, parsePython, seconds } from "../redis/values.ts";
import { clockToleranceS } from "./data-findings.ts";
import { whenAborted } from "./ending.ts";
import { type Finding, findingsOf, quantile, some, span } from "./finding.ts";
import { type RoundTrip, roundTrip } from "./round-trip.ts";

const gateway = findingsOf("gateway");
const pings = 20;
const slowMs = 250;
const mostExchanges = 5;

function clockFinding(skew: number): Finding {
  const off = Math.abs(skew);
  if (off <= clockToleranceS) return gateway("ok", `its clock is ${span(off * 1000)} off this machine's`);
  return gateway(
    "wrong",
    `its clock is ${span(off * 1000)} ${skew > 0 ? "ahead of" : "behind"} this machine's`,
    "set both by NTP: by its clock it is judged which process is stale and which token has expired",
  );
}

/** Looks at the gateway: what it says of itself, its clock, and how long its answers take. */
export async function* gatewayFindings(cache: CacheClient, ownVersion: string): AsyncGenerator<Finding> {
  const { version, redis } = await cache.getServerInfo();
  const isOwn = version === ownVersion;
  yield gateway(
    isOwn ? "ok" : "note",
    `reached at ${cache.url}, version ${version}${isOwn ? "" : `; this is ${ownVersion}`}`,
  );
  if (!redis.connected)
    yield gateway("wrong", "it cannot reach its Redis", "look into its log, and at its --redis-url");
  else if (redis.change_detection === "tracking") yield gateway("ok", "its Redis tells it what changed");
  else yield gateway("wrong", "its Redis does not tell it what changed, so it reads on a timer (--poll-ms)");
  if (redis.connected && redis.read_only === false)
    yield gateway("wrong", "its Redis user may do more than read", "give it the user that the README describes");
  const asked: RoundTrip[] = [];
  while (asked.length < pings) asked.push(await roundTrip(cache));
  yield clockFinding(
    quantile(
      asked.map(({ skew }) => skew),
      0.5,
    ),
  );
  yield gateway(
    "unknown",
    "how far the clock of Redis is off: TIME is not among what its user needs, and nothing rests on it",
  );
  const trips = asked.map(({ tripMs }) => tripMs);
  const [median, worst] = [quantile(trips, 0.5), Math.max(...trips)];
  const slow = median > slowMs;
  yield gateway(
    slow ? "note" : "ok",
    `a question takes ${span(median)} (median of ${pings}; at most ${span(worst)})`,
    slow ? "is it far away, or busy? get-system-health says how many connections it has" : undefined,
  );
}

/** When each update was first heard on one way. */
class Arrivals {
  readonly at = new Map<string, number>();

  add(exchange: string, symbol: string, time: number | null): void {
    const name = JSON.stringify([exchange, symbol, time]);
    if (!this.at.has(name)) this.at.set(name, performance.now());
  }
}

/** Listens to the tickers of some exchanges where Redis tells them. Resolves when nothing can be missed any more. */
async function hearDirectly(redis: Redis, exchanges: readonly string[]): Promise<Arrivals> {
  const arrivals = new Arrivals();
  for (const exchange of exchanges) {
    const start = `ticker_updates:${exchange}:`;
    const heard = (channel: string, message: string) => {
      try {
        const tick = parsePython(message);
        if (isObject(tick)) arrivals.add(exchange, channel.slice(start.length), seconds(tick["time"]));
      } catch {
        // What cannot be read, the gateway does not tell either.
      }
    };
    await redis.watch({ channelsBelow: start }, { stale: () => {}, heard });
  }
  return arrivals;
}

/** Measures how much later than from Redis itself an update comes from the gateway. */
export async function* latencyFindings(cache: CacheClient, redis: Redis, signal: AbortSignal): AsyncGenerator<Finding> {
  const exchanges = (await cache.getExchanges()).slice(0, mostExchanges);
  const told = new Arrivals();
  const streams = exchanges.map((exchange) => ({ exchange, stream: cache.streamTickers(exchange) }));
  const stop = () => {
    for (const { stream } of streams) void stream.return();
  };
  const direct = await hearDirectly(redis, exchanges);
  whenAborted(signal, stop);
  await Promise.all(
    streams.map(async ({ exchange, stream }) => {
      for await (const { snapshot, removed, symbol, timestamp } of stream)
        if (!snapshot && !removed) told.add(exchange, symbol, timestamp ?? null);
    }),
  );
  // What the gateway told nothing of may be older than its stream, or on its way; what only it told came by another way.
  const lags = [...told.at].flatMap(([name, at]) => {
    const there = direct.at.get(name);
    return there === undefined ? [] : [Math.max(0, at - there)];
  });
  if (lags.length > 0) {
    const [median, high] = [quantile(lags, 0.5), quantile(lags, 0.99)];
    yield gateway(
      "ok",
      `an update takes ${span(median)} from Redis (median of ${lags.length}; 99 % within ${span(high)})`,
    );
  } else if (direct.at.size > mostExchanges)
    yield gateway(
      "wrong",
      `it told none of the ${some(direct.at.size, "price")} that Redis published meanwhile`,
      "does it serve another Redis than the one that was looked at?",
    );
  else yield gateway("unknown", "how long an update takes: no price moved meanwhile", "look longer: --for 30s");
}

/** What a failure of the gateway means. */
export function failureFinding(error: CacheError): Finding {
  return gateway("unknown", `${error.message} (${error.code})`);
}
