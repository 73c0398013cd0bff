import { parseArgs } from "node:util";
import type { Effort } from "./fanout.ts";
import type { Peer } from "./peer.ts";
import { peers } from "./peers/index.ts";
import type { Compared } from "./rounds.ts";

/** What a developer wants to have measured: `hot-64x8 --peers ours,ws --rounds 3 --seconds 2 --warmup 1`. */
export async function readCommandLine<Scenario extends { readonly name: string }>(
  all: readonly Scenario[],
): Promise<{ readonly scenarios: readonly Scenario[]; readonly peers: readonly Peer[]; readonly effort: Effort }> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      peers: { type: "string" },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "2" },
      warmup: { type: "string", default: "1" },
    },
  });
  const unknown = positionals.filter((name) => !all.some((scenario) => scenario.name === name));
  if (unknown.length > 0) throw new Error(`${unknown} is none of ${all.map(({ name }) => name)}`);
  return {
    scenarios: all.filter(({ name }) => positionals.length === 0 || positionals.includes(name)),
    peers: await able(peers.filter(({ name }) => values.peers?.split(",").includes(name) ?? true)),
    effort: {
      rounds: Number(values.rounds),
      seconds: Number(values.seconds),
      warmupSeconds: Number(values.warmup),
    },
  };
}

/** Those that can be measured on this machine; says why the others cannot. */
export async function able(peers: readonly Peer[]): Promise<readonly Peer[]> {
  const found: Peer[] = [];
  for (const peer of peers) {
    const missing = await peer.missing();
    if (missing === undefined) found.push(peer);
    else console.log(`bench: ${peer.name} is not here (${missing}): skipped.`);
  }
  return found;
}

/** A median, and ours as a multiple of it. */
export function compared({ median, oursTo }: Compared): string {
  const own = Number.isNaN(median)
    ? "–"
    : median < 1_000
      ? median.toPrecision(3)
      : Math.round(median).toLocaleString("en");
  if (!oursTo) return own;
  const [middle, min, max] = [oursTo.median, oursTo.min, oursTo.max].map((ratio) => ratio.toFixed(2));
  return `${own} (ours × ${middle}, ${min}–${max})`;
}
