import { operationsByWireName } from "../operations/index.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import { Buckets, latencyBounds } from "./buckets.ts";
import { Counts } from "./counts.ts";

/** The requests for one operation: how many, how they ended, how long they took. */
export class RequestTally {
  /** In seconds, of those that had to wait for their answer. */
  readonly waited = new Buckets(latencyBounds);
  /** Those that were answered with an error, by its code. */
  readonly failures = new Counts<ErrorCode>();
  #hits = 0;
  #refused = 0;

  /** How many were answered from the near cache. */
  get hits(): number {
    return this.#hits;
  }

  /** How many were answered at once, so that no clock was looked at. */
  get atOnce(): number {
    return this.#hits + this.#refused;
  }

  /** One was answered from the near cache; `code`: with an error. */
  hit(code: ErrorCode | undefined): void {
    this.#hits++;
    if (code !== undefined) this.failures.add(code);
  }

  /** One was answered with an error as soon as it came. */
  refuse(code: ErrorCode): void {
    this.#refused++;
    this.failures.add(code);
  }

  /** One was answered after so many milliseconds; `code`: with an error. */
  wait(ms: number, code: ErrorCode | undefined): void {
    this.waited.add(ms / 1_000);
    if (code !== undefined) this.failures.add(code);
  }
}

const unknown = "unknown";

/** The requests of all clients, by operation; those that name none that there is count as `unknown`. */
export class RequestTallies {
  readonly #tallies = new Map([...operationsByWireName.keys(), unknown].map((name) => [name, new RequestTally()]));

  /** Those for one operation, whatever a client gave as its name. */
  of(name: unknown): RequestTally {
    return (this.#tallies.get(name as string) ?? this.#tallies.get(unknown)) as RequestTally;
  }

  [Symbol.iterator](): Iterator<[operation: string, tally: RequestTally]> {
    return this.#tallies.entries();
  }
}
