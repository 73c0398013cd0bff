import { setTimeout as pause } from "node:timers/promises";
import { holdConnections, type Opened } from "./load.ts";
import { LoadSpec, type Script } from "./load-spec.ts";
import { families, residentBytes } from "./machine.ts";
import { randomNumbers, someOf, topics as topicsOf } from "./payload.ts";
import type { Fanout, Peer, RunningPeer } from "./peer.ts";
import { NotOffered, onStage } from "./rounds.ts";

/** What many connections cost one server. */
export interface Held {
  readonly peer: string;
  readonly connections: number;
  readonly subscriptions: number;
  readonly bytesBefore: number;
  readonly bytes: number;
  /** How long it took until all were open, and everything that they had asked for was answered. */
  readonly opened: Opened;
  /** The same after all were dropped at once. */
  readonly storm?: Opened;
  /** How many the server has ended by itself. */
  readonly lost: number;
}

// Enough for a garbage collector to notice that nobody asks for anything any more.
const settleMs = 3_000;
const atOnce = 200;

/** What a client of a peer sends until it could follow something. */
function greeting({ fanout }: RunningPeer): Script {
  const parts = fanout?.client(topicsOf(1)) ?? [];
  if (parts.length === 0) throw new NotOffered("publish and subscribe");
  return { parts: parts.slice(0, Math.max(1, parts.length - 1)) };
}

/** Holds connections that do nothing, drops all of them if told to, and sees what they cost. */
export function idle(peer: Peer, connections: number, { storm = false } = {}): Promise<Held> {
  return hold(peer, connections, (running) => [greeting(running)], 0, storm);
}

/** Holds connections that follow `each` of `topics` topics. */
export function subscribed(peer: Peer, connections: number, each: number, topics: number): Promise<Held> {
  const all = topicsOf(topics);
  const random = randomNumbers();
  // As many different clients as it takes for every topic to be followed; more would only take longer to write down.
  const different = Math.min(connections, Math.max(1, Math.ceil((topics / each) * 10)));
  const scripts = ({ fanout }: RunningPeer) =>
    Array.from({ length: different }, () => ({
      parts: (fanout as Fanout).client(someOf(each, topics, random).flatMap((at) => all[at] ?? [])),
    }));
  return hold(peer, connections, scripts, connections * each, false);
}

function hold(
  peer: Peer,
  connections: number,
  scripts: (running: RunningPeer) => Script[],
  subscriptions: number,
  withStorm: boolean,
): Promise<Held> {
  return onStage(peer, async ({ peer: running }) => {
    const pids = families(running.pids);
    await pause(settleMs);
    const bytesBefore = residentBytes(pids);
    const spec = new LoadSpec("idle", running.port, connections).scripts(scripts(running)).opening(atOnce);
    await using held = await holdConnections(spec);
    await pause(settleMs);
    const bytes = residentBytes(pids);
    const storm = withStorm ? await held.storm(connections) : undefined;
    return {
      peer: peer.name,
      connections,
      subscriptions,
      bytesBefore,
      bytes,
      opened: held.opened,
      ...(storm && { storm }),
      lost: held.lost(),
    };
  });
}
