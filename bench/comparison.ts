import { type Effort, type FanoutReport, type FanoutSummary, fanout } from "./fanout.ts";
import type { Observed } from "./observed.ts";
import { complain, type Figure, type Outcome, single } from "./outcome.ts";
import type { Peer } from "./peer.ts";
import { type QueriesReport, queries } from "./queries.ts";
import { type QueryScenario, queryScenarios } from "./questions.ts";
import { type Compared, type Rounds, spread } from "./rounds.ts";
import { type Scenario, scenarios } from "./scenarios.ts";
import { figure, percent, ratio, table } from "./table.ts";

/** What is measured of one scenario: with which peers (all where it is not told), how often and how long. */
export interface Step extends Effort {
  readonly scenario: string;
  readonly peers?: readonly string[];
}

type Run = Observed & { readonly cpuShare: number };

/** One peer in one scenario. */
interface Line {
  readonly peer: string;
  readonly rate: Compared;
  readonly cpu: Compared;
  readonly p50: Compared;
  readonly p99: Compared;
  readonly p999: Compared;
  /** What must be none. */
  readonly faults: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  readonly runs: readonly Run[];
}

/** What several peers reached in one scenario; ours comes first. */
interface Comparison {
  readonly scenario: string;
  readonly about: string;
  readonly unit: "deliveries" | "requests";
  readonly lines: readonly Line[];
}

// Beyond this share of the machine, what others do decides about the figures.
const muchTaken = 0.1;

function runsOf<R>(rounds: readonly Rounds<R>[], peer: string): R[] {
  return rounds.find((one) => one.peer === peer)?.runs.filter((run) => run !== undefined) ?? [];
}

function fanoutFaults({ lost, duplicates, outOfOrder, strays, disconnected }: FanoutSummary) {
  return { lost, duplicates, "out of order": outOfOrder, strays, disconnected };
}

/** What was measured of publish and subscribe, as a comparison. */
export function ofFanout({ scenario, about, peers, rounds }: FanoutReport): Comparison {
  const lines = peers.map((one) => ({
    ...one,
    rate: one.deliveriesPerSecond,
    cpu: one.cpuPerDelivery,
    faults: fanoutFaults(one),
    runs: runsOf(rounds, one.peer),
  }));
  return { scenario, about, unit: "deliveries", lines };
}

/** What was measured of questions and answers, as a comparison. */
export function ofQueries({ scenario, about, peers, rounds }: QueriesReport): Comparison {
  const lines = peers.map((one) => ({
    ...one,
    rate: one.requestsPerSecond,
    cpu: one.cpuPerRequest,
    // A run with a wrong answer, or without one, has failed.
    faults: { lost: 0 },
    runs: runsOf(rounds, one.peer),
  }));
  return { scenario, about, unit: "requests", lines };
}

function faultsOf({ faults, failures }: Line): string {
  const found = Object.entries(faults).filter(([, count]) => count > 0);
  return [...found.map(([name, count]) => `${count} ${name}`), ...(failures.length > 0 ? ["failed"] : [])].join(", ");
}

function cells(line: Line): string[] {
  const middle = (share: (run: Run) => number) => percent(spread(line.runs.map(share)).median);
  const taken = ({ stolen, others }: Run) => stolen + others;
  const much = line.runs.filter((run) => taken(run) > muchTaken).length;
  return [
    line.peer,
    figure(line.rate.median),
    ratio(line.rate.oursTo),
    figure(line.cpu.median),
    ratio(line.cpu.oursTo),
    figure(line.p50.median),
    ratio(line.p50.oursTo),
    figure(line.p99.median),
    figure(line.p999.median),
    faultsOf(line) || "0",
    ...(line.runs.length > 0
      ? [
          middle((run) => run.serverCpuShare),
          middle((run) => run.cpuShare),
          middle((run) => run.loadCoreBusy),
          `${middle(taken)}${much > 0 ? ` !${much}` : ""}`,
        ]
      : []),
  ];
}

/** Prints a comparison as a table. */
export function show({ scenario, about, unit, lines }: Comparison, { rounds, seconds }: Effort): void {
  const times = `${lines[0]?.peer} ÷`;
  const one = unit === "deliveries" ? "delivery" : "request";
  const head = [`${unit}/s`, times, `CPU µs/${one}`, times, "p50 ms", times, "p99", "p999", "lost"];
  console.log(`\n${scenario}: ${about} (${rounds} × ${seconds} s)`);
  console.log(table([["", ...head, "server", "load", "load core", "taken"], ...lines.map(cells)]));
}

/** What a comparison comes to, apart from its data. */
export function outcomeOf({ scenario, lines }: Comparison): Omit<Outcome, "data"> {
  const figures = lines.flatMap((line): Figure[] => {
    const { peer, rate, cpu, p50, p99, p999 } = line;
    const lost = single(Object.values(line.faults).reduce((sum, count) => sum + count, 0));
    return Object.entries({ rate, cpu, p50, p99, p999, lost }).map(([name, value]) => ({
      scenario,
      figure: name,
      peer,
      value,
    }));
  });
  const faults = lines.slice(0, 1).flatMap((line) => {
    const text = [faultsOf(line), ...line.failures].filter((one) => one !== "").join("; ");
    return text === "" ? [] : [`${scenario}: ${text}`];
  });
  return { figures, faults };
}

async function compareAll<S extends { readonly name: string }, R>(
  steps: readonly Step[],
  known: readonly S[],
  peers: readonly Peer[],
  measure: (scenario: S, peers: readonly Peer[], step: Step) => Promise<R>,
  comparisonOf: (report: R) => Comparison,
): Promise<Outcome> {
  const outcomes: Omit<Outcome, "data">[] = [];
  const reports: R[] = [];
  for (const step of steps) {
    const scenario = known.find(({ name }) => name === step.scenario);
    if (!scenario) throw new Error(`${step.scenario} is no scenario`);
    const chosen = peers.filter(({ name }) => step.peers?.includes(name) ?? true);
    const report = await measure(scenario, chosen, step);
    const comparison = comparisonOf(report);
    show(comparison, step);
    reports.push(report);
    outcomes.push(outcomeOf(comparison));
  }
  return {
    figures: outcomes.flatMap((one) => one.figures),
    faults: outcomes.flatMap((one) => one.faults),
    data: reports,
  };
}

/** Compares the peers in ways to publish and subscribe. */
export function compareFanout(steps: readonly Step[], peers: readonly Peer[]): Promise<Outcome> {
  const measure = (scenario: Scenario, able: readonly Peer[], step: Step) => fanout(scenario, able, step, complain);
  return compareAll(steps, scenarios, peers, measure, ofFanout);
}

/** Compares the peers in ways to ask and answer. */
export function compareQueries(steps: readonly Step[], peers: readonly Peer[]): Promise<Outcome> {
  const measure = (scenario: QueryScenario, able: readonly Peer[], step: Step) =>
    queries(scenario, able, step, complain);
  return compareAll(steps, queryScenarios, peers, measure, ofQueries);
}
