import type { Figure } from "./outcome.ts";
import type { Spread } from "./rounds.ts";
import { figure, ratio, table } from "./table.ts";

/** What is aimed for: a figure of ours, or as a multiple of a peer's in the same round. */
interface Target {
  readonly scenario: string;
  readonly figure: string;
  readonly peer?: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

const targets: readonly Target[] = [
  { scenario: "hot-1000", figure: "cpu", peer: "uwebsockets", atMost: 1.15 },
  { scenario: "hot-1000", figure: "rate", peer: "nats", atLeast: 2 },
  { scenario: "hot-1000", figure: "rate", peer: "nchan", atLeast: 10 },
  { scenario: "hot-1000", figure: "rate", peer: "mosquitto", atLeast: 10 },
  { scenario: "hot-1000", figure: "rate", peer: "ws", atLeast: 30 },
  { scenario: "mixed-1000", figure: "cpu", peer: "uwebsockets", atMost: 1.3 },
  { scenario: "paced-50", figure: "cpu", peer: "uwebsockets", atMost: 1.25 },
  { scenario: "paced-50", figure: "cpu", peer: "nats", atMost: 0.7 },
  { scenario: "paced-50", figure: "p50", peer: "nats", atMost: 0.55 },
  { scenario: "paced-1000", figure: "lost", atMost: 0 },
  { scenario: "paced-1000", figure: "p99", peer: "nats", atMost: 0.4 },
  { scenario: "hot-64x8", figure: "rate", peer: "webdis", atLeast: 1.3 },
  { scenario: "hot-64x8", figure: "rate", peer: "ws", atLeast: 8 },
  { scenario: "hot-512x1", figure: "rate", peer: "webdis", atLeast: 1.4 },
  { scenario: "past-64x8", figure: "rate", peer: "webdis", atLeast: 0.85 },
  { scenario: "idle", figure: "bytes", peer: "ws", atMost: 1.5 },
  { scenario: "idle", figure: "seconds of the storm", atMost: 10 },
  { scenario: "idle", figure: "failed in the storm", atMost: 0 },
  { scenario: "subscribed", figure: "bytes", atMost: 200 },
  { scenario: "tickers-1000", figure: "quiet", atMost: 0 },
  { scenario: "ticker-1000", figure: "perChange", atMost: 1 },
  { scenario: "positions-1000", figure: "perChange", atMost: 1 },
  { scenario: "client: no socket: one topic", figure: "updates", atLeast: 500_000 },
  { scenario: "client: chromium: one stream, one topic", figure: "cost", atMost: 1.2 },
];

/** What was measured of a target, as far as it was. */
interface Measured extends Target {
  readonly value: Spread;
  readonly reached: boolean;
}

function measured(target: Target, figures: readonly Figure[]): Measured[] {
  const { scenario, figure: name, peer, atMost, atLeast } = target;
  const found = figures.find(
    (one) => one.scenario === scenario && one.figure === name && one.peer === (peer ?? "ours"),
  );
  const value = peer === undefined ? found?.value : found?.value.oursTo;
  if (!value || Number.isNaN(value.median)) return [];
  const reached = value.median <= (atMost ?? Number.POSITIVE_INFINITY) && value.median >= (atLeast ?? 0);
  return [{ ...target, value, reached }];
}

/** Prints what is aimed for beside what was measured, for information; returns it. */
export function showTargets(figures: readonly Figure[]): readonly Measured[] {
  const all = targets.flatMap((target) => measured(target, figures));
  const rows = all.map(({ scenario, figure: name, peer, atMost, atLeast, value, reached }) => [
    scenario,
    peer === undefined ? name : `${name} ÷ ${peer}`,
    atMost === undefined ? `≥ ${atLeast?.toLocaleString("en")}` : `≤ ${atMost.toLocaleString("en")}`,
    peer === undefined ? figure(value.median) : ratio(value),
    reached ? "reached" : "NOT REACHED",
  ]);
  console.log("\nTargets (medians of the ratios of each round, least–most)");
  console.log(table([["", "figure", "aimed for", "measured", ""], ...rows]));
  const others = targets.length - all.length;
  if (others > 0) console.log(`  ${others} more were not measured.`);
  return all;
}
