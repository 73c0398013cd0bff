import { toFullSecondMs } from "./full-second.ts";

/** Who is to check a key. */
export interface Checker {
  stale(key: string): void;
}

interface Rounds {
  /** Who has not been told yet in this round. */
  waiting: Checker[];
  /** Whether the key was written since it began. */
  isDue: boolean;
  toldAt: number;
  /** Set while a round is under way. */
  timer: NodeJS.Timeout | undefined;
}

// After a quiet time the check only lets the message arrive first; while writes do not cease, it is on every full second.
const messageMs = 10;
const quietMs = 1_000;
// A check costs some ten microseconds, so all checks of a key take a hundredth of the time at most, however many follow.
const atOnce = 1_000;

/** Tells those who hear the values of a key from a channel that they should check it: in rounds, a part every second. */
export class Hints {
  readonly #checkers: (key: string) => Iterable<Checker>;
  readonly #rounds = new Map<string, Rounds>();

  /** @param checkers who is to be told of a key */
  constructor(checkers: (key: string) => Iterable<Checker>) {
    this.#checkers = checkers;
  }

  /** The key was written. */
  written(key: string): void {
    const rounds = this.#rounds.get(key) ?? {
      waiting: [],
      isDue: false,
      toldAt: Number.NEGATIVE_INFINITY,
      timer: undefined,
    };
    this.#rounds.set(key, rounds);
    if (rounds.timer) rounds.isDue = true;
    else this.#begin(key, rounds);
  }

  /** Nobody is to be told any more. */
  forget(key: string): void {
    clearTimeout(this.#rounds.get(key)?.timer);
    this.#rounds.delete(key);
  }

  #begin(key: string, rounds: Rounds): void {
    rounds.isDue = false;
    rounds.waiting = [...this.#checkers(key)];
    this.#goOn(key, rounds);
  }

  #goOn(key: string, rounds: Rounds): void {
    rounds.timer = setTimeout(
      () => {
        rounds.timer = undefined;
        rounds.toldAt = performance.now();
        for (const checker of rounds.waiting.splice(-atOnce)) checker.stale(key);
        if (rounds.waiting.length > 0) this.#goOn(key, rounds);
        else if (rounds.isDue) this.#begin(key, rounds);
      },
      performance.now() - rounds.toldAt > quietMs ? messageMs : toFullSecondMs(),
    );
  }
}
