/** Who can check whether what it knows is still true. */
export interface Checker {
  stale(key?: string): void;
}

interface Round {
  /** Who has not been told yet. */
  readonly waiting: Checker[];
  hasBegun: boolean;
  /** Whether the key was written since it began. */
  isDue: boolean;
}

// After a quiet time a check only lets the message arrive first. While there is always something to check, it is done on
// every full second: all who check share their reads.
const messageMs = 10;
const quietMs = 1_000;
// A check costs some ten microseconds, so all of them together take a hundredth of the time, however many topics there are.
const atOnce = 1_000;

/**
 * What a channel told is checked a little later, and so is what it did not tell although the key was written. Doubts wait
 * in line here; so many are looked into each second.
 */
export class Doubts {
  readonly #checkers: (key: string) => Iterable<Checker>;
  readonly #told = new Set<Checker>();
  readonly #written = new Map<string, Round>();
  #timer: NodeJS.Timeout | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;

  /** @param checkers who is to check a key */
  constructor(checkers: (key: string) => Iterable<Checker>) {
    this.#checkers = checkers;
  }

  /** Somebody was told something, and has to check it. */
  add(checker: Checker): void {
    this.#told.add(checker);
    this.#wait();
  }

  /** A key was written: all who are told its values have to check them. */
  written(key: string): void {
    const round = this.#written.get(key);
    if (round) round.isDue = round.hasBegun;
    else this.#written.set(key, { waiting: [...this.#checkers(key)], hasBegun: false, isDue: false });
    this.#wait();
  }

  /** Somebody need not check any more. */
  delete(checker: Checker): void {
    this.#told.delete(checker);
    this.#restIfEmpty();
  }

  /** Nobody is told the values of a key any more. */
  forget(key: string): void {
    this.#written.delete(key);
    this.#restIfEmpty();
  }

  get #isEmpty(): boolean {
    return this.#told.size === 0 && this.#written.size === 0;
  }

  #wait(): void {
    const isQuiet = performance.now() - this.#lastAt > quietMs;
    this.#timer ??= setTimeout(() => this.#check(), isQuiet ? messageMs : quietMs - (Date.now() % quietMs));
  }

  #restIfEmpty(): void {
    if (!this.#isEmpty) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #check(): void {
    this.#timer = undefined;
    this.#lastAt = performance.now();
    // Neither kind may crowd out the other.
    let left = this.#written.size === 0 ? atOnce : atOnce / 2;
    for (const checker of this.#told) {
      if (left-- === 0) break;
      this.#told.delete(checker);
      checker.stale();
    }
    left = atOnce / 2 + Math.max(0, left);
    for (const [key, round] of [...this.#written]) {
      if (left === 0) break;
      round.hasBegun = true;
      const part = round.waiting.splice(-left);
      left -= part.length;
      for (const checker of part) checker.stale(key);
      if (round.waiting.length > 0) break;
      // Behind the others, if it was written again.
      this.#written.delete(key);
      if (round.isDue) this.written(key);
    }
    if (!this.#isEmpty) this.#wait();
  }
}
