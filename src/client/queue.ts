/** First in, first out, at the same cost however many wait. */
export class Queue<Value> {
  #values: (Value | undefined)[] = [];
  /** Where the oldest stands; what stood before it has been taken. */
  #head = 0;

  /** How many wait. */
  get size(): number {
    return this.#values.length - this.#head;
  }

  /** Puts a value behind the others. */
  push(value: Value): void {
    this.#values.push(value);
  }

  /** Takes the oldest. */
  shift(): Value | undefined {
    const value = this.#values[this.#head];
    // Let go of at once: a queue of long standing would keep alive what has been taken.
    this.#values[this.#head] = undefined;
    if (this.size > 1) this.#head++;
    else this.clear();
    // Half of it is empty, so moving the other half costs no more than what was taken so far.
    if (this.#head > 1_000 && this.#head > this.size) this.keep(() => true);
    return value;
  }

  /** Throws away all but what fits. */
  keep(fits: (value: Value) => boolean): void {
    this.#values = this.#values.slice(this.#head).filter((value) => fits(value as Value));
    this.#head = 0;
  }

  /** Throws away everything. */
  clear(): void {
    this.#values = [];
    this.#head = 0;
  }
}
