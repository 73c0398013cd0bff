import { ofFanout, outcomeOf } from "./comparison.ts";
import { type Effort, type FanoutReport, fanout } from "./fanout.ts";
import { complain, type Outcome } from "./outcome.ts";
import { randomNumbers, tickerPayload } from "./payload.ts";
import type { Topic } from "./peer.ts";
import { ours } from "./peers/ours.ts";
import { type Spread, spread } from "./rounds.ts";
import type { Scenario } from "./scenarios.ts";
import { figure, percent, table } from "./table.ts";

/** How far the number of subscribers and of topics is taken. */
export interface GrowthPlan extends Effort {
  readonly subscribers: readonly number[];
  readonly topics: readonly number[];
}

/** One point of a line. */
export interface GrowthPoint {
  readonly along: "subscribers" | "topics";
  readonly count: number;
  /** Of the server, per delivery, in microseconds. */
  readonly cpu: Spread;
  readonly report: FanoutReport;
}

// The same in all points, and far from what makes a server join deliveries: else they would differ in that.
const deliveriesPerSecond = 20_000;
const audience = 10;
const mostConnections = 1_000;
// Nobody can ask for more symbols at once.
const symbolsPerExchange = 1_000;
// Who follows many topics finds them at no more exchanges than this: each is a stream of its own.
const exchangesPerClient = 10;
// A million subscriptions asked for at once would keep each other waiting for Redis longer than reads may take. A client
// is open when it has sent its last part, which it does when the one before was answered: so that is something harmless.
const opening = 10;
const pong = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]);

function topicAt(at: number): Topic {
  return { exchange: `exchange${Math.floor(at / symbolsPerExchange)}`, symbol: `C${at}/USDT` };
}

/** The numbers below `count`, shuffled among the neighbours that one client may get. */
function shuffled(count: number, random: () => number): number[] {
  const all = Array.from({ length: count }, (_, at) => at);
  const near = exchangesPerClient * symbolsPerExchange;
  for (let at = count - 1; at > 0; at--) {
    const first = Math.floor(at / near) * near;
    const other = first + Math.floor(random() * (at - first + 1));
    [all[at], all[other]] = [all[other] ?? 0, all[at] ?? 0];
  }
  return all;
}

function scenario(
  along: GrowthPoint["along"],
  count: number,
  of: { readonly topics: number; readonly audience: number; followed(): readonly number[][] },
): Scenario {
  const followed = of.followed();
  return {
    name: `${along}-${count}`,
    about: `${count.toLocaleString("en")} ${along}`,
    connections: followed.length,
    pace: { rate: deliveriesPerSecond / of.audience },
    audience: of.audience,
    opening,
    plan(protocol) {
      const topics = Array.from({ length: of.topics }, (_, at) => topicAt(at));
      return {
        scripts: followed.map((numbers) => ({
          parts: [...protocol.client(numbers.map(topicAt)), pong],
          topics: numbers,
        })),
        messages: topics.map((topic) => ({ bytes: protocol.publisher.message(topic, tickerPayload(topic)) })),
      };
    },
  };
}

/** One ticker with so many subscribers. */
function subscribers(count: number): Scenario {
  return scenario("subscribers", count, {
    topics: 1,
    audience: count,
    followed: () => Array.from({ length: count }, () => [0]),
  });
}

/** So many topics with ten followers each, who follow all different ones. */
function topics(count: number): Scenario {
  const connections = Math.min(mostConnections, count * audience);
  const each = (count * audience) / connections;
  return scenario("topics", count, {
    topics: count,
    audience,
    followed() {
      const random = randomNumbers();
      // Every topic is dealt as often as it has followers, and nobody gets one twice.
      return Array.from({ length: audience }, () => shuffled(count, random)).flatMap((deal) =>
        Array.from({ length: connections / audience }, (_, client) =>
          deal.slice(client * each, (client + 1) * each).toSorted((a, b) => a - b),
        ),
      );
    },
  });
}

/** Measures how the cost of a delivery grows with the number of subscribers and of topics. */
export async function measureGrowth(plan: GrowthPlan): Promise<Outcome & { readonly data: readonly GrowthPoint[] }> {
  const points: GrowthPoint[] = [];
  const measure = async (along: GrowthPoint["along"], count: number, of: Scenario) => {
    const report = await fanout(of, [ours], plan, complain);
    points.push({ along, count, cpu: report.peers[0]?.cpuPerDelivery ?? spread([]), report });
  };
  for (const count of plan.subscribers) await measure("subscribers", count, subscribers(count));
  for (const count of plan.topics) await measure("topics", count, topics(count));
  const outcomes = points.map(({ report }) => outcomeOf(ofFanout(report)));
  return {
    data: points,
    figures: outcomes.flatMap(({ figures }) => figures),
    faults: outcomes.flatMap(({ faults }) => faults),
  };
}

/** Prints the points as a table. */
export function showGrowth(points: readonly GrowthPoint[]): void {
  console.log(`\nCPU per delivery, always ${figure(deliveriesPerSecond)} deliveries/s`);
  const rows = points.map(({ along, count, cpu, report }) => {
    const [one] = report.peers;
    const runs = report.rounds.flatMap(({ runs: all }) => all.filter((run) => run !== undefined));
    const taken = spread(runs.map(({ stolen, others }) => stolen + others)).median;
    return [
      `${count.toLocaleString("en")} ${along}`,
      cpu.median.toFixed(2),
      `${cpu.min.toFixed(2)}–${cpu.max.toFixed(2)}`,
      figure(one?.deliveriesPerSecond.median ?? Number.NaN),
      figure(one?.p50.median ?? Number.NaN),
      figure(one?.p99.median ?? Number.NaN),
      `${one?.lost ?? "–"}`,
      Number.isNaN(taken) ? "–" : percent(taken),
    ];
  });
  console.log(
    table([["", "CPU µs/delivery", "least–most", "deliveries/s", "p50 ms", "p99", "lost", "taken"], ...rows]),
  );
}
