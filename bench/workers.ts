import { setTimeout as pause } from "node:timers/promises";
import { ofFanout, ofQueries, outcomeOf, show } from "./comparison.ts";
import { type Effort, fanout } from "./fanout.ts";
import { cores } from "./machine.ts";
import { complain, type Outcome } from "./outcome.ts";
import type { Peer } from "./peer.ts";
import { ours } from "./peers/ours.ts";
import { queries } from "./queries.ts";
import { queryScenarios } from "./questions.ts";
import { scenarios } from "./scenarios.ts";

// It takes connections as soon as one worker is there, which would get them all.
const allReadyMs = 1_000;

/** Ours with so many processes, on all cores of the benchmark. */
function workers(count: number): Peer {
  return {
    ...ours,
    name: count === 1 ? "1 worker" : `${count} workers`,
    async start(place) {
      const flags = [...(place.flags ?? []), "--workers", `${count}`];
      const running = await ours.start({ ...place, core: cores.both, flags });
      await pause(allReadyMs);
      return running;
    },
  };
}

// What costs the server most and the load least: the load needs its share of the same two cores.
const asked = "bars-16x2";
const followed = "own-1000";
// A burst of connections goes to whichever worker is ready first; one by one they go to all in turn.
const opening = 1;

function named<T extends { readonly name: string }>(all: readonly T[], name: string): T {
  const found = all.find((one) => one.name === name);
  if (!found) throw new Error(`${name} is no scenario`);
  return found;
}

/** Compares two processes of ours with one, on both cores, and prints how they compare. */
export async function compareWorkers(effort: Effort): Promise<Outcome> {
  const both = [workers(2), workers(1)];
  const bars = named(queryScenarios, asked);
  const reads = {
    ...bars,
    name: "workers-bars",
    about: `${bars.about}, without the near cache`,
    flags: ["--near-cache-bytes", "0"],
    opening,
  };
  const answered = await queries(reads, both, effort, complain);
  show(ofQueries(answered), effort);
  const single = named(scenarios, followed);
  const delivered = await fanout({ ...single, name: "workers-own", opening }, both, effort, complain);
  show(ofFanout(delivered), effort);
  console.log("  (load and Redis run on one of the same two cores: what they need, the second worker cannot have)");
  const outcomes = [outcomeOf(ofQueries(answered)), outcomeOf(ofFanout(delivered))];
  return {
    figures: outcomes.flatMap(({ figures }) => figures),
    faults: outcomes.flatMap(({ faults }) => faults),
    data: { answered, delivered },
  };
}
