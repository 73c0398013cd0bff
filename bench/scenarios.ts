import { allKinds, numberMarker } from "./kinds.ts";
import type { Message, Pace, Script } from "./load-spec.ts";
import { randomNumbers, someOf, tickerPayload, topics as topicsOf } from "./payload.ts";
import type { Fanout } from "./peer.ts";

/** Who follows what, as bytes for one peer. */
export interface Plan {
  readonly scripts: readonly Script[];
  readonly messages: readonly Message[];
  readonly marker?: string;
}

/** One way to publish and subscribe. */
export interface Scenario {
  readonly name: string;
  readonly about: string;
  readonly connections: number;
  readonly pace: Pace;
  /** How many deliveries one update is, on average. */
  readonly audience: number;
  /** How many connections may be under way at a time while all are opened, where that matters. */
  readonly opening?: number;
  /** The peers that can do it at all; all of them where it is not told. */
  readonly only?: readonly string[];
  plan(fanout: Fanout): Plan;
}

function tickers(
  name: string,
  about: string,
  { connections, topics: count = 1, each = 1 }: { connections: number; topics?: number; each?: number },
  pace: Pace,
  only?: readonly string[],
): Scenario {
  const followed = (random: () => number) => (client: number) =>
    each === 1 ? [client % count] : someOf(each, count, random);
  return {
    name,
    about,
    connections,
    pace,
    audience: (connections * each) / count,
    ...(only && { only }),
    plan(fanout) {
      const topics = topicsOf(count);
      const clients = Array.from({ length: connections === 1 || count === 1 ? 1 : connections }, (_, at) => at);
      const scripts = clients.map(followed(randomNumbers())).map((numbers) => ({
        parts: fanout.client(numbers.flatMap((at) => topics[at] ?? [])),
        topics: numbers,
      }));
      return {
        scripts,
        messages: topics.map((topic) => ({ bytes: fanout.publisher.message(topic, tickerPayload(topic)) })),
      };
    },
  };
}

const burst: Pace = { window: 64 };
const one = { connections: 1_000 };
// What takes a system call per frame would only fall further and further behind.
const millionPerSecond = ["ours", "uwebsockets", "nats"];

/** Every way to publish and subscribe that is measured. */
export const scenarios: readonly Scenario[] = [
  tickers("hot-100", "100 follow one ticker, 64 updates in flight", { connections: 100 }, burst),
  tickers("hot-1000", "1,000 follow one ticker, 64 updates in flight", one, burst),
  tickers("hot-1000-single", "1,000 follow one ticker, one update in flight", one, { window: 1 }),
  tickers("paced-10", "1,000 follow one ticker, 10 updates/s", one, { rate: 10 }),
  tickers("paced-50", "1,000 follow one ticker, 50 updates/s", one, { rate: 50 }),
  tickers("paced-1000", "1,000 follow one ticker, 1,000 updates/s", one, { rate: 1_000 }, millionPerSecond),
  tickers(
    "own-1000",
    "1,000 follow a ticker of their own each, 64 updates in flight",
    { connections: 1_000, topics: 1_000 },
    burst,
  ),
  tickers(
    "mixed-1000",
    "1,000 follow 10 of 1,000 tickers each, 64 updates in flight",
    { connections: 1_000, topics: 1_000, each: 10 },
    burst,
  ),
  tickers(
    "mixed-10000",
    "10,000 follow 10 of 1,000 tickers each, 64 updates in flight",
    { connections: 10_000, topics: 1_000, each: 10 },
    burst,
  ),
  {
    name: "all-kinds",
    about: "1,000 follow a stream of every kind each, 40 writes/s",
    connections: 1_000,
    pace: { rate: 40 },
    audience: 1_000,
    only: ["ours"],
    plan() {
      const { script, messages } = allKinds();
      return { scripts: [script], messages, marker: numberMarker };
    },
  },
];
