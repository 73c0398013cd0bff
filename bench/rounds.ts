import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cores } from "./machine.ts";
import type { Peer, RunningPeer } from "./peer.ts";
import { type BenchRedis, startRedis } from "./redis.ts";

/** What several runs gave of one figure. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The median of some figures and how far they are apart. */
export function spread(figures: readonly number[]): Spread {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
  const upper = sorted[Math.ceil((sorted.length - 1) / 2)] ?? Number.NaN;
  return { median: (at(0.5) + upper) / 2, min: at(0), max: at(1) };
}

/** All rounds of one peer; a round that failed is undefined. */
export interface Rounds<R> {
  readonly peer: string;
  readonly runs: readonly (R | undefined)[];
  /** Why rounds failed. */
  readonly failures: readonly string[];
}

/** What a run may use: its own server, and the Redis behind it. */
export interface Stage {
  readonly peer: RunningPeer;
  readonly redis: BenchRedis;
}

/** Thrown by a run for a peer that does not do what is measured: it is left out then. */
export class NotOffered extends Error {}

/** Runs something against a fresh server and a fresh Redis. */
export async function onStage<R>(
  peer: Peer,
  run: (stage: Stage) => Promise<R>,
  options: { readonly flags?: readonly string[]; readonly before?: (redis: BenchRedis) => Promise<void> } = {},
): Promise<R> {
  const directory = mkdtempSync(join(tmpdir(), "fullon-cache-api-bench-"));
  try {
    await using redis = await startRedis(cores.load);
    await options.before?.(redis);
    const place = { core: cores.server, redisPort: redis.port, directory };
    await using running = await peer.start(options.flags ? { ...place, flags: options.flags } : place);
    return await run({ peer: running, redis });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs the peers in turn, round by round, so that what the machine does meanwhile hits all of them alike. */
export async function interleave<R>(
  peers: readonly Peer[],
  rounds: number,
  run: (peer: Peer, round: number) => Promise<R>,
  heard: (peer: Peer, round: number, outcome: R | Error) => void = () => {},
): Promise<Rounds<R>[]> {
  const all = new Set(peers.map((peer) => ({ peer, runs: [] as (R | undefined)[], failures: [] as string[] })));
  for (let round = 0; round < rounds; round++)
    for (const one of all) {
      const { peer, runs, failures } = one;
      try {
        const result = await run(peer, round);
        runs.push(result);
        heard(peer, round, result);
      } catch (cause) {
        if (cause instanceof NotOffered) {
          all.delete(one);
          continue;
        }
        const error = cause instanceof Error ? cause : new Error(String(cause));
        runs.push(undefined);
        failures.push(error.message);
        heard(peer, round, error);
      }
    }
  return [...all].map(({ peer, runs, failures }) => ({ peer: peer.name, runs, failures }));
}

/** One figure over all rounds, and how ours relates to this peer in the same round. */
export interface Compared extends Spread {
  readonly oursTo: Spread | undefined;
}

/** Compares one figure of a peer with the first of all, which is ours. */
export function compare<R>(all: readonly Rounds<R>[], one: Rounds<R>, figure: (run: R) => number): Compared {
  const [ours] = all;
  const figures = one.runs.flatMap((run) => (run === undefined ? [] : [figure(run)]));
  const ratios = one.runs.flatMap((run, round) => {
    const own = ours?.runs[round];
    return run === undefined || own === undefined ? [] : [figure(own) / figure(run)];
  });
  return { ...spread(figures), oursTo: ratios.length === 0 || one === ours ? undefined : spread(ratios) };
}
