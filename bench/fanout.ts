import { fileURLToPath } from "node:url";
import { compared, readCommandLine } from "./command-line.ts";
import { type FanoutResult, runFanout } from "./load.ts";
import { LoadSpec } from "./load-spec.ts";
import { cores, openFilesAllowed, pin } from "./machine.ts";
import { type Observed, observe } from "./observed.ts";
import type { Peer, RunningPeer } from "./peer.ts";
import { type Compared, compare, interleave, NotOffered, onStage, type Rounds } from "./rounds.ts";
import { type Scenario, scenarios } from "./scenarios.ts";

/** How long and how often is measured. */
export interface Effort {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
}

/** One run of one peer. */
export interface FanoutRun extends FanoutResult, Observed {
  readonly deliveriesPerSecond: number;
  /** CPU time of the server, in microseconds. */
  readonly cpuPerDelivery: number;
}

/** What one peer reached in all rounds. */
export interface FanoutSummary {
  readonly peer: string;
  readonly deliveriesPerSecond: Compared;
  readonly cpuPerDelivery: Compared;
  readonly p50: Compared;
  readonly p99: Compared;
  readonly p999: Compared;
  /** Sums over all rounds. */
  readonly lost: number;
  readonly duplicates: number;
  readonly outOfOrder: number;
  readonly strays: number;
  readonly disconnected: number;
  readonly overloaded: boolean;
  /** Why rounds failed. */
  readonly failures: readonly string[];
}

/** A scenario with all that was measured. */
export interface FanoutReport {
  readonly scenario: string;
  readonly about: string;
  readonly peers: readonly FanoutSummary[];
  readonly rounds: readonly Rounds<FanoutRun>[];
}

// A server that cannot keep up must not be made to hold everything that was ever published.
const mostSecondsBehind = 2;
// Beside the connections, a server has a few files open.
const spareFiles = 200;

function specFor(scenario: Scenario, { fanout, port }: RunningPeer, effort: Effort): LoadSpec {
  if (!fanout) throw new NotOffered("publish and subscribe");
  const { scripts, messages, marker } = scenario.plan(fanout);
  const { pace, audience } = scenario;
  const spec = new LoadSpec("fanout", port, scenario.connections)
    .scripts(scripts)
    .publisher({ ...fanout.publisher, messages, pace, ...(marker !== undefined && { marker }) })
    .times({ warmup: effort.warmupSeconds * 1_000, measured: effort.seconds * 1_000 });
  if (messages.length > 1) spec.random();
  if (scenario.opening !== undefined) spec.opening(scenario.opening);
  if ("rate" in pace) spec.mostOutstanding(pace.rate * audience * mostSecondsBehind);
  return spec;
}

/** Runs a scenario once, against a fresh server. @throws Error it cannot be run, or nothing arrived */
export function runScenario(scenario: Scenario, peer: Peer, effort: Effort): Promise<FanoutRun> {
  if (scenario.connections + spareFiles > openFilesAllowed())
    throw new Error(`${scenario.connections} connections need a higher limit of open files: see ulimit -n`);
  return onStage(peer, async (stage) => {
    const run = await observe(stage, (window) => runFanout(specFor(scenario, stage.peer, effort), window));
    if (run.deliveries === 0) throw new Error("nothing arrived in the measured time");
    return {
      ...run,
      deliveriesPerSecond: run.deliveries / run.seconds,
      cpuPerDelivery: (run.serverCpuSeconds / run.deliveries) * 1e6,
    };
  });
}

function summary(all: readonly Rounds<FanoutRun>[], one: Rounds<FanoutRun>): FanoutSummary {
  const runs = one.runs.filter((run) => run !== undefined);
  const sum = (count: (run: FanoutRun) => number) => runs.reduce((total, run) => total + count(run), 0);
  return {
    peer: one.peer,
    deliveriesPerSecond: compare(all, one, (run) => run.deliveriesPerSecond),
    cpuPerDelivery: compare(all, one, (run) => run.cpuPerDelivery),
    p50: compare(all, one, (run) => run.latency.p50),
    p99: compare(all, one, (run) => run.latency.p99),
    p999: compare(all, one, (run) => run.latency.p999),
    lost: sum((run) => run.lost),
    duplicates: sum((run) => run.duplicates),
    outOfOrder: sum((run) => run.outOfOrder),
    strays: sum((run) => run.strays),
    disconnected: sum((run) => run.disconnected),
    overloaded: runs.some((run) => run.overloaded),
    failures: one.failures,
  };
}

/** Runs a scenario with the peers in turn, ours first; those that cannot do it are left out. */
export async function fanout(
  scenario: Scenario,
  peers: readonly Peer[],
  effort: Effort,
  heard?: (peer: Peer, round: number, outcome: FanoutRun | Error) => void,
): Promise<FanoutReport> {
  pin(cores.load);
  const able = peers.filter(({ name }) => scenario.only?.includes(name) ?? true);
  const rounds = await interleave(able, effort.rounds, (peer) => runScenario(scenario, peer, effort), heard);
  const summaries = rounds.map((one) => summary(rounds, one));
  return { scenario: scenario.name, about: scenario.about, peers: summaries, rounds };
}

function line(run: FanoutRun): string {
  const { latency, lateness } = run;
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
  const ms = (value: number) => value.toFixed(value < 10 ? 2 : 0);
  const faults = (["lost", "duplicates", "outOfOrder", "strays", "disconnected", "failedAttempts"] as const)
    .filter((name) => run[name] > 0)
    .map((name) => `${name} ${run[name]}`);
  if (run.overloaded) faults.push("overloaded");
  return [
    `${(run.deliveriesPerSecond / 1_000).toFixed(1)} k/s`,
    `${run.cpuPerDelivery.toFixed(2)} µs`,
    `p50/p99/p999 ${ms(latency.p50)}/${ms(latency.p99)}/${ms(latency.p999)} ms`,
    `server ${percent(run.serverCpuShare)}, load ${percent(run.cpuShare)}, redis ${percent(run.redisCpuShare)}`,
    `load core ${percent(run.loadCoreBusy)}, stolen ${percent(run.stolen)}, others ${percent(run.others)}`,
    ...(lateness.count > 0 ? [`late p99 ${ms(lateness.p99)} ms`] : []),
    `connected in ${run.connectSeconds.toFixed(2)} s`,
    ...faults,
  ].join("; ");
}

async function main(): Promise<void> {
  const { scenarios: wanted, peers, effort } = await readCommandLine(scenarios);
  for (const scenario of wanted) {
    console.log(`${scenario.name}: ${scenario.about}`);
    const report = await fanout(scenario, peers, effort, (peer, _round, outcome) =>
      console.log(`  ${peer.name.padEnd(12)}${outcome instanceof Error ? outcome.message : line(outcome)}`),
    );
    for (const { peer, deliveriesPerSecond, cpuPerDelivery, p50, p99 } of report.peers) {
      const figures = { "/s": deliveriesPerSecond, µs: cpuPerDelivery, "p50 ms": p50, "p99 ms": p99 };
      const texts = Object.entries(figures).map(([name, figure]) => `${name} ${compared(figure)}`);
      console.log(`  = ${peer.padEnd(12)}${texts.join("   ")}`);
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
