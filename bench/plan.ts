import type { Step } from "./comparison.ts";
import type { ConnectionsPlan } from "./connections.ts";
import type { Effort } from "./fanout.ts";
import type { GrowthPlan } from "./growth.ts";
import { queryScenarios } from "./questions.ts";
import type { RedisLoadPlan } from "./redis-load.ts";
import { scenarios } from "./scenarios.ts";

/** What one form of the benchmark measures; a section that is not told is left out. */
export interface Plan {
  readonly fanout: readonly Step[];
  readonly queries: readonly Step[];
  readonly connections: ConnectionsPlan;
  readonly growth?: GrowthPlan;
  readonly redisLoad?: RedisLoadPlan;
  readonly workers?: Effort;
  readonly client?: { readonly rounds: number; readonly updates: number };
}

// In the order of the tables: how often and how long, and with whom.
function step(scenario: string, rounds: number, seconds: number, warmupSeconds: number, ...peers: string[]): Step {
  return { scenario, rounds, seconds, warmupSeconds, ...(peers.length > 0 && { peers }) };
}

/** For a pull request: whether something has become much slower, in under two minutes. */
const quick: Plan = {
  fanout: [
    step("hot-1000", 2, 1, 0.5, "ours", "uwebsockets", "ws"),
    step("mixed-1000", 2, 1, 1, "ours", "uwebsockets"),
    step("paced-50", 2, 1, 0.5, "ours", "uwebsockets"),
  ],
  queries: [step("hot-64x8", 2, 1, 0.5, "ours", "webdis", "ws"), step("past-64x8", 2, 1, 0.5, "ours", "webdis")],
  connections: { connections: 2_000, rounds: 1, peers: ["ours", "ws"] },
};

/** What the targets are about, and a look at the rest, in under ten minutes. */
const normal: Plan = {
  fanout: [
    step("hot-1000", 4, 1, 0.5),
    step("mixed-1000", 5, 1, 1, "ours", "uwebsockets"),
    step("paced-50", 5, 1.5, 0.5, "ours", "uwebsockets", "nats"),
    step("paced-1000", 3, 1, 0.5, "ours", "nats"),
    step("hot-100", 1, 1, 0.5, "ours", "uwebsockets"),
    step("hot-1000-single", 1, 1, 0.5, "ours", "uwebsockets"),
    step("paced-10", 1, 1.5, 0.5, "ours"),
    step("own-1000", 1, 1, 0.5, "ours", "uwebsockets"),
    step("mixed-10000", 1, 1, 0.5, "ours"),
    step("all-kinds", 1, 1, 0.5, "ours"),
  ],
  queries: [
    step("hot-64x8", 5, 1, 0.5, "ours", "webdis", "ws"),
    step("hot-512x1", 4, 1, 0.5, "ours", "webdis"),
    step("past-64x8", 4, 1, 0.5, "ours", "webdis"),
    step("hot-1x1", 2, 1, 0.5, "ours", "webdis"),
    ...["hot-1x32", "uniform-64x8", "written-64x8", "all-tickers-16x2", "bars-16x2"].map((name) =>
      step(name, 1, 1, 0.5, "ours"),
    ),
  ],
  connections: {
    connections: 10_000,
    rounds: 1,
    peers: ["ours", "uwebsockets", "ws"],
    subscribed: { each: 100, topics: 1_000 },
  },
  growth: {
    rounds: 1,
    seconds: 2,
    warmupSeconds: 1.5,
    subscribers: [10, 100, 1_000, 10_000],
    topics: [1, 10, 100, 1_000, 10_000, 100_000],
  },
  redisLoad: { quietSeconds: 2, changes: 30 },
  workers: { rounds: 2, seconds: 1, warmupSeconds: 0.5 },
  client: { rounds: 1, updates: 100_000 },
};

const often = { rounds: 5, seconds: 2, warmupSeconds: 1 };

/** Everything with everybody. */
const full: Plan = {
  fanout: scenarios.map(({ name }) => ({ scenario: name, ...often })),
  queries: queryScenarios.map(({ name }) => ({ scenario: name, ...often })),
  connections: { connections: 10_000, rounds: 3, subscribed: { each: 100, topics: 1_000 } },
  growth: {
    ...often,
    rounds: 3,
    seconds: 3,
    subscribers: [10, 100, 1_000, 10_000],
    topics: [1, 10, 100, 1_000, 10_000, 100_000],
  },
  redisLoad: { quietSeconds: 20, changes: 200 },
  workers: often,
  client: { rounds: 5, updates: 500_000 },
};

/** The forms of the benchmark. */
export const plans = { quick, normal, full };

/** The name of a form. */
export type Form = keyof typeof plans;
