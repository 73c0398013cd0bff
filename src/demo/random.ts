/** Chance that repeats itself: the same seed gives the same numbers (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** A number from 0 to just below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A number from `low` to just below `high`. */
  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  /** A bell-shaped number around 0 with a deviation of about 1. */
  bell(): number {
    return (this.next() + this.next() + this.next() - 1.5) * 2;
  }

  /** True in the given share of cases. */
  chance(share: number): boolean {
    return this.next() < share;
  }
}
