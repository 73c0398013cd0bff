import { cores, openFilesAllowed, pin } from "./machine.ts";
import { complain, type Figure, type Outcome, single } from "./outcome.ts";
import type { Peer } from "./peer.ts";
import { ours } from "./peers/ours.ts";
import { type Compared, compare, interleave, type Rounds, spread } from "./rounds.ts";
import { type Held, idle, subscribed } from "./scale.ts";
import { figure, ratio, table } from "./table.ts";

/** How many connections are held, how often, and by which peers (all where it is not told). */
export interface ConnectionsPlan {
  readonly connections: number;
  readonly rounds: number;
  readonly peers?: readonly string[];
  /** How many of how many topics each connection follows then; ours only. */
  readonly subscribed?: { readonly each: number; readonly topics: number };
}

// Beside the connections, a server has a few files open.
const spareFiles = 200;

function grown({ bytes, bytesBefore }: Held): number {
  return bytes - bytesBefore;
}

function sum(held: Rounds<Held>, count: (one: Held) => number): number {
  return held.runs.reduce((total, run) => total + (run === undefined ? 0 : count(run)), 0);
}

const measures: Readonly<Record<string, (held: Held) => number>> = {
  bytes: (held) => grown(held) / held.connections,
  "seconds to open": ({ opened }) => opened.seconds,
  "failed attempts": ({ opened }) => opened.failed,
  "seconds of the storm": ({ storm }) => storm?.seconds ?? Number.NaN,
  "failed in the storm": ({ storm }) => storm?.failed ?? Number.NaN,
};

function idleFigures(all: readonly Rounds<Held>[]): Figure[] {
  return all.flatMap((one) =>
    Object.entries(measures).map(([name, of]) => ({
      scenario: "idle",
      figure: name,
      peer: one.peer,
      value: compare(all, one, of),
    })),
  );
}

function showIdle(all: readonly Rounds<Held>[], figures: readonly Figure[], { connections, rounds }: ConnectionsPlan) {
  console.log(`\nidle: ${connections.toLocaleString("en")} connections that do nothing (${rounds} ×)`);
  const rows = all.map((one) => {
    const value = (name: string) =>
      figures.find((found) => found.peer === one.peer && found.figure === name)?.value ?? spread([]);
    const bytes = value("bytes") as Compared;
    const load = spread(one.runs.flatMap((run) => run?.storm?.cpuShare ?? [])).median;
    return [
      one.peer,
      figure(bytes.median / 1_000),
      ratio(bytes.oursTo),
      ...["seconds to open", "failed attempts", "seconds of the storm", "failed in the storm"].map((name) =>
        figure(value(name).median),
      ),
      figure(load * 100),
      `${sum(one, ({ lost }) => lost)}`,
    ];
  });
  const head = [
    "kB/connection",
    `${ours.name} ÷`,
    "s to open",
    "failed",
    "s after a storm",
    "failed",
    "load %",
    "lost",
  ];
  console.log(table([["", ...head], ...rows]));
}

async function measureSubscribed(
  { connections, rounds, subscribed: what }: ConnectionsPlan,
  idleBytes: number,
): Promise<{ figures: Figure[]; held: Rounds<Held>[] }> {
  if (!what) return { figures: [], held: [] };
  const { each, topics } = what;
  const held = await interleave([ours], rounds, (peer) => subscribed(peer, connections, each, topics), complain);
  const runs = held.flatMap((one) => one.runs.filter((run) => run !== undefined));
  const bytes = spread(runs.map((run) => (run.bytes - idleBytes) / run.subscriptions));
  const text = (value: number) => value.toLocaleString("en");
  console.log(
    `\nsubscribed: ${text(connections)} connections follow ${each} of ${text(topics)} topics each: ${text(connections * each)} subscriptions`,
  );
  const seconds = spread(runs.map((run) => run.opened.seconds));
  console.log(`  ${bytes.median.toFixed(0)} bytes/subscription, opened in ${seconds.median.toFixed(1)} s`);
  const value = (of: typeof bytes) => ({ ...of, oursTo: undefined });
  const of = { scenario: "subscribed", peer: ours.name };
  return {
    held,
    figures: [
      { ...of, figure: "bytes", value: value(bytes) },
      { ...of, figure: "seconds to open", value: value(seconds) },
    ],
  };
}

/** Holds many connections, with and without subscriptions, and prints what they cost. */
export async function compareConnections(plan: ConnectionsPlan, peers: readonly Peer[]): Promise<Outcome> {
  if (plan.connections + spareFiles > openFilesAllowed())
    throw new Error(`${plan.connections} connections need a higher limit of open files: see ulimit -n`);
  pin(cores.load);
  const chosen = peers.filter(({ name }) => plan.peers?.includes(name) ?? true);
  const all = await interleave(chosen, plan.rounds, (peer) => idle(peer, plan.connections, { storm: true }), complain);
  const figures = idleFigures(all);
  showIdle(all, figures, plan);
  const [own] = all;
  const idleBytes = spread(own?.runs.flatMap((run) => run?.bytes ?? []) ?? []).median;
  const followed = await measureSubscribed(plan, idleBytes);
  const held = [...(own ? [own] : []), ...followed.held];
  return {
    figures: [
      ...figures,
      ...followed.figures,
      { scenario: "idle", figure: "lost", peer: ours.name, value: single(own ? sum(own, ({ lost }) => lost) : 0) },
    ],
    faults: held.flatMap((one) => [
      ...one.failures.map((failure) => `connections: ${failure}`),
      ...(sum(one, ({ lost }) => lost) > 0 ? ["connections: some were lost"] : []),
    ]),
    data: { idle: all, subscribed: followed.held },
  };
}
