import type { Compared } from "./rounds.ts";

/** One figure of one peer in one scenario, as targets name it. */
export interface Figure {
  readonly scenario: string;
  readonly figure: string;
  readonly peer: string;
  readonly value: Compared;
}

/** What a section of the benchmark has found out. */
export interface Outcome {
  readonly figures: readonly Figure[];
  /** What ours lost, answered wrongly or could not do. */
  readonly faults: readonly string[];
  /** Everything that was measured, round by round. */
  readonly data: unknown;
}

/** A figure that was measured once, or that is the same in all rounds. */
export function single(value: number): Compared {
  return { median: value, min: value, max: value, oursTo: undefined };
}

/** Says that a run failed, and goes on. */
export function complain(peer: { readonly name: string }, round: number, outcome: unknown): void {
  if (outcome instanceof Error) console.log(`  ${peer.name} failed in round ${round + 1}: ${outcome.message}`);
}
