/** Slows values down: the first passes at once, what comes in the interval after it at its end, the latest of every key. */
export class Pace<Value> {
  readonly #intervalMs: number;
  readonly #pass: (value: Value, key: string) => void;
  readonly #held = new Map<string, Value>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(intervalMs: number, pass: (value: Value, key: string) => void) {
    this.#intervalMs = intervalMs;
    this.#pass = pass;
  }

  /** How many values are held back. */
  get size(): number {
    return this.#held.size;
  }

  /** Lets a value pass now or at the end of the interval. One that is held under the same key gives way. */
  put(value: Value, key: string): void {
    if (this.#timer === undefined) {
      this.#pass(value, key);
      this.#rest();
      return;
    }
    // Deleted first, so that values stay in the order in which they came.
    this.#held.delete(key);
    this.#held.set(key, value);
  }

  /** Throws away what is held and fits. */
  discard(fits: (value: Value) => boolean): void {
    for (const [key, value] of this.#held) if (fits(value)) this.#held.delete(key);
  }

  /** Lets what is held pass now, and waits for nothing more. */
  end(): void {
    clearTimeout(this.#timer);
    this.#letPass();
  }

  #rest(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#held.size === 0) return;
      this.#letPass();
      this.#rest();
    }, this.#intervalMs);
  }

  #letPass(): void {
    const held = [...this.#held];
    this.#held.clear();
    for (const [key, value] of held) this.#pass(value, key);
  }
}
