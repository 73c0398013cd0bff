/**
 * So many per second, and a burst on top. It is one for all; who is limited keeps one number, the moment at which all that
 * was taken so far is paid for.
 */
export class Rate {
  /** How many may be taken at once after a rest. */
  readonly burst: number;
  readonly #msEach: number;
  readonly #burstMs: number;

  /** @param perSecond 0: as many as one likes */
  constructor(perSecond: number, burst: number) {
    this.burst = burst;
    this.#msEach = perSecond === 0 ? 0 : 1_000 / perSecond;
    this.#burstMs = burst * this.#msEach;
  }

  /** One is taken: the number to keep. Times are in milliseconds, of any clock that does not go back. */
  take(paidAt: number, now: number): number {
    return Math.max(paidAt, now) + this.#msEach;
  }

  /** How long to wait until the rate is kept again, in milliseconds; not above 0: it is kept. */
  wait(paidAt: number, now: number): number {
    return paidAt - now - this.#burstMs;
  }

  /** Whether so much was taken in spite of it that there was time for two bursts. */
  isFlooded(paidAt: number, now: number): boolean {
    return this.wait(paidAt, now) > this.#burstMs;
  }
}
