/** Whoever wants to know that a time is over. */
interface Waiting {
  /** It will be over in so many seconds; told once. */
  warn(seconds: number): void;
  over(): void;
}

const longestTimerMs = 2 ** 31 - 1;

/** When something ends by the clock. Clocks are set, so besides a timer it takes somebody who looks now and then. */
export class Expiry {
  readonly #at: number;
  readonly #warnAt: number;
  readonly #now: () => number;
  readonly #waiting: Waiting;
  #isWarned = false;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param at unix seconds
   * @param warning how long before, in seconds
   */
  constructor(at: number, warning: number, now: () => number, waiting: Waiting) {
    this.#at = at;
    this.#warnAt = at - warning;
    this.#now = now;
    this.#waiting = waiting;
    this.look();
  }

  /** Looks at the clock. */
  look(): void {
    clearTimeout(this.#timer);
    const now = this.#now();
    if (now >= this.#at) {
      this.#waiting.over();
      return;
    }
    if (now >= this.#warnAt && !this.#isWarned) {
      this.#isWarned = true;
      this.#waiting.warn(this.#at - now);
    }
    const next = now < this.#warnAt ? this.#warnAt : this.#at;
    this.#timer = setTimeout(() => this.look(), Math.min((next - now) * 1_000, longestTimerMs)).unref();
  }

  /** Nobody wants to know any more. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
