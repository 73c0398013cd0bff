// The benchmark. Run it with: make bench, make bench-quick, or make bench-full.
import { parseArgs } from "node:util";
import { type ClientRow, measureClient } from "./client.ts";
import { able } from "./command-line.ts";
import { compareFanout, compareQueries } from "./comparison.ts";
import { compareConnections } from "./connections.ts";
import { measureGrowth, showGrowth } from "./growth.ts";
import { buildLoad } from "./load.ts";
import { cores, pin } from "./machine.ts";
import { type Figure, type Outcome, single } from "./outcome.ts";
import type { Peer } from "./peer.ts";
import { peers } from "./peers/index.ts";
import { type Form, type Plan, plans } from "./plan.ts";
import { plot } from "./plot.ts";
import { measureRedisLoad, showRedisLoad } from "./redis-load.ts";
import { folderOf, keep } from "./results.ts";
import { figure, ratio, table } from "./table.ts";
import { showTargets } from "./targets.ts";
import { compareWorkers } from "./workers.ts";

/** A part of the benchmark; its name is that of its file of results. */
interface Section {
  readonly name: string;
  readonly plan: unknown;
  run(): Promise<Outcome>;
}

const spreadOf = ({ median, least, most }: ClientRow["cost"]) => ({ median, min: least, max: most });

async function client({ rounds, updates }: NonNullable<Plan["client"]>): Promise<Outcome> {
  pin(cores.both);
  const data = await measureClient(rounds, updates);
  console.log(`\nclient: updates per second of CPU time, beside the bare socket (${rounds} × ${updates} updates)`);
  const rows = data.rows.map((row) => [
    row.name,
    figure(row.client),
    figure(row.bare),
    ratio(spreadOf(row.cost)),
    row.grownMb === undefined ? "" : `+${row.grownMb.toFixed(0)}`,
  ]);
  console.log(table([["", "client", "without", "cost ×", "MiB"], ...rows]));
  const figures = data.rows.flatMap((row): Figure[] => {
    const of = { scenario: `client: ${row.name}`, peer: "ours" };
    const cost = { ...spreadOf(row.cost), oursTo: undefined };
    return [
      { ...of, figure: "updates", value: single(row.client) },
      { ...of, figure: "cost", value: cost },
    ];
  });
  return { data, figures, faults: [] };
}

function sectionsOf(plan: Plan, present: readonly Peer[]): Section[] {
  const { growth, redisLoad, workers, client: clients } = plan;
  const all: Section[] = [
    { name: "fan-out", plan: plan.fanout, run: () => compareFanout(plan.fanout, present) },
    { name: "queries", plan: plan.queries, run: () => compareQueries(plan.queries, present) },
    { name: "connections", plan: plan.connections, run: () => compareConnections(plan.connections, present) },
  ];
  const shown = async <T extends Outcome>(measured: Promise<T>, show: (data: T["data"]) => void) => {
    const outcome = await measured;
    show(outcome.data);
    return outcome;
  };
  if (growth) all.push({ name: "growth", plan: growth, run: () => shown(measureGrowth(growth), showGrowth) });
  if (redisLoad)
    all.push({ name: "redis-load", plan: redisLoad, run: () => shown(measureRedisLoad(redisLoad), showRedisLoad) });
  if (workers) all.push({ name: "workers", plan: workers, run: () => compareWorkers(workers) });
  if (clients) all.push({ name: "client", plan: clients, run: () => client(clients) });
  return all;
}

async function main(form: Form, wanted: readonly string[]): Promise<void> {
  const began = performance.now();
  const seconds = (since: number) => Math.round((performance.now() - since) / 1_000);
  buildLoad();
  const present = await able(peers);
  for (const { name, about } of present) console.log(`  ${name.padEnd(13)}${about}`);
  console.log("  !n: in n rounds, others took more than 10 % of the machine (the hypervisor included).");
  const figures: Figure[] = [];
  const faults: string[] = [];
  for (const { name, plan, run } of sectionsOf(plans[form], present)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    console.log(`\n=== ${name} ===`);
    const start = performance.now();
    try {
      const outcome = await run();
      figures.push(...outcome.figures);
      faults.push(...outcome.faults);
      keep(form, { section: name, seconds: seconds(start), plan, data: outcome.data });
    } catch (cause) {
      faults.push(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
    console.log(`\n--- ${name}: ${seconds(start)} s`);
  }
  showTargets(figures);
  if (form !== "quick") plot(form);
  console.log(`\n${seconds(began)} s in all; everything that was measured is in ${folderOf(form)}.`);
  for (const fault of faults) console.log(`bench: ours: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean" }, full: { type: "boolean" } },
});
await main(values.quick ? "quick" : values.full ? "full" : "normal", positionals);
