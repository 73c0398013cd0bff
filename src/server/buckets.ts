/** Bounds for what clients wait for, in seconds. */
export const latencyBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Figures by size, as a Prometheus histogram shows them; counting one costs a few comparisons, and makes nothing. */
export class Buckets {
  /** The upper bound of each bucket, in increasing order; one more has no bound. */
  readonly bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  /** Counts one. */
  add(value: number): void {
    let at = 0;
    while (at < this.bounds.length && value > (this.bounds[at] as number)) at++;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#sum += value;
  }

  /** How many there are in each bucket; the last is the one without a bound. */
  get counts(): ArrayLike<number> {
    return this.#counts;
  }

  /** All of them together. */
  get sum(): number {
    return this.#sum;
  }
}
