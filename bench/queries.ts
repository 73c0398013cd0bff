import { fileURLToPath } from "node:url";
import { compared, readCommandLine } from "./command-line.ts";
import type { Effort } from "./fanout.ts";
import { type QueriesResult, runQueries } from "./load.ts";
import { LoadSpec } from "./load-spec.ts";
import { cores, pin } from "./machine.ts";
import { type Observed, observe } from "./observed.ts";
import { tickerPayload } from "./payload.ts";
import type { Peer, Queries } from "./peer.ts";
import { contents, manyTickers, type QueryScenario, queryScenarios } from "./questions.ts";
import { command } from "./redis.ts";
import { type Compared, compare, interleave, NotOffered, onStage, type Rounds, type Stage } from "./rounds.ts";

/** One run of one peer. */
export interface QueriesRun extends QueriesResult, Observed {
  readonly requestsPerSecond: number;
  /** CPU time of the server, in microseconds. */
  readonly cpuPerRequest: number;
}

/** What one peer reached in all rounds. */
export interface QueriesSummary {
  readonly peer: string;
  readonly requestsPerSecond: Compared;
  readonly cpuPerRequest: Compared;
  readonly p50: Compared;
  readonly p99: Compared;
  readonly p999: Compared;
  /** Why rounds failed. */
  readonly failures: readonly string[];
}

/** A scenario with all that was measured. */
export interface QueriesReport {
  readonly scenario: string;
  readonly about: string;
  readonly peers: readonly QueriesSummary[];
  readonly rounds: readonly Rounds<QueriesRun>[];
}

// Stands where ids go, and nowhere else.
const id = "9876543210";

/** What a peer is sent; undefined if it cannot be asked so. */
function asked(scenario: QueryScenario, queries: Queries) {
  const questions = scenario.questions.flatMap((question) => queries.question(question, id) ?? []);
  if (questions.length < scenario.questions.length) return undefined;
  const right = scenario.questions.slice(0, 1).map((question) => queries.right?.(question))[0];
  return {
    id,
    questions,
    inFlight: scenario.inFlight,
    answers: queries.answers,
    ...(right !== undefined && { right }),
  };
}

function specFor(scenario: QueryScenario, { peer, redis }: Stage, effort: Effort): LoadSpec {
  const questions = peer.queries && asked(scenario, peer.queries);
  if (!peer.queries || !questions) throw new NotOffered("it cannot be asked so");
  const spec = new LoadSpec("queries", peer.port, scenario.connections)
    .scripts([{ parts: peer.queries.greeting }])
    .questions(questions)
    .random()
    .times({ warmup: effort.warmupSeconds * 1_000, measured: effort.seconds * 1_000 });
  if (scenario.opening !== undefined) spec.opening(scenario.opening);
  if (scenario.writesPerSecond !== undefined) {
    const messages = manyTickers.map((topic) => ({
      bytes: command("HSET", `tickers:${topic.exchange}`, topic.symbol, tickerPayload(topic)),
    }));
    spec.publisher({ port: redis.port, greeting: [], messages, pace: { rate: scenario.writesPerSecond } });
  }
  return spec;
}

function checked(run: QueriesRun): QueriesRun {
  const faults = (["wrong", "unanswered", "unasked", "disconnected"] as const).filter((name) => run[name] > 0);
  if (run.requests === 0) throw new Error("no answer came");
  if (faults.length > 0)
    throw new Error(faults.map((name) => `${name}: ${run[name]} of ${run.allRequests}`).join(", "));
  return run;
}

/** Runs a scenario once, against a fresh server and a fresh Redis. @throws Error an answer is wrong or missing */
export function runQueryScenario(scenario: QueryScenario, peer: Peer, effort: Effort): Promise<QueriesRun> {
  return onStage(
    peer,
    async (stage) => {
      const run = await observe(stage, (window) => runQueries(specFor(scenario, stage, effort), window));
      return checked({
        ...run,
        requestsPerSecond: run.requests / run.seconds,
        cpuPerRequest: (run.serverCpuSeconds / run.requests) * 1e6,
      });
    },
    { before: (redis) => redis.send(contents()), ...(scenario.flags && { flags: scenario.flags }) },
  );
}

function summary(all: readonly Rounds<QueriesRun>[], one: Rounds<QueriesRun>): QueriesSummary {
  return {
    peer: one.peer,
    requestsPerSecond: compare(all, one, (run) => run.requestsPerSecond),
    cpuPerRequest: compare(all, one, (run) => run.cpuPerRequest),
    p50: compare(all, one, (run) => run.latency.p50),
    p99: compare(all, one, (run) => run.latency.p99),
    p999: compare(all, one, (run) => run.latency.p999),
    failures: one.failures,
  };
}

/** Runs a scenario with the peers in turn, ours first; those that cannot be asked so are left out. */
export async function queries(
  scenario: QueryScenario,
  peers: readonly Peer[],
  effort: Effort,
  heard?: (peer: Peer, round: number, outcome: QueriesRun | Error) => void,
): Promise<QueriesReport> {
  pin(cores.load);
  const rounds = await interleave(peers, effort.rounds, (peer) => runQueryScenario(scenario, peer, effort), heard);
  const summaries = rounds.map((one) => summary(rounds, one));
  return { scenario: scenario.name, about: scenario.about, peers: summaries, rounds };
}

function line(run: QueriesRun): string {
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
  const ms = (value: number) => value.toFixed(value < 10 ? 2 : 0);
  return [
    `${(run.requestsPerSecond / 1_000).toFixed(1)} k/s`,
    `${run.cpuPerRequest.toFixed(2)} µs`,
    `p50/p99 ${ms(run.latency.p50)}/${ms(run.latency.p99)} ms`,
    `server ${percent(run.serverCpuShare)}, load ${percent(run.cpuShare)}, redis ${percent(run.redisCpuShare)}`,
    `load core ${percent(run.loadCoreBusy)}, stolen ${percent(run.stolen)}, others ${percent(run.others)}`,
    ...(run.writes > 0 ? [`${run.writes} writes, late p99 ${ms(run.lateness.p99)} ms`] : []),
  ].join("; ");
}

async function main(): Promise<void> {
  const { scenarios, peers, effort } = await readCommandLine(queryScenarios);
  for (const scenario of scenarios) {
    console.log(`${scenario.name}: ${scenario.about}`);
    const report = await queries(scenario, peers, effort, (peer, _round, outcome) =>
      console.log(`  ${peer.name.padEnd(12)}${outcome instanceof Error ? outcome.message : line(outcome)}`),
    );
    for (const { peer, requestsPerSecond, cpuPerRequest, p50, p99 } of report.peers) {
      const figures = { "/s": requestsPerSecond, µs: cpuPerRequest, "p50 ms": p50, "p99 ms": p99 };
      const texts = Object.entries(figures).map(([name, figure]) => `${name} ${compared(figure)}`);
      console.log(`  = ${peer.padEnd(12)}${texts.join("  ")}`);
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
