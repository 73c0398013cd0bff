/** Values in, taken one by one: at most one waits per key, or, for values without a key, a bounded number. */
export class Inbox<Value> implements AsyncIterator<Value, undefined> {
  readonly #limit: number;
  readonly #taken: (value: Value) => Value;
  readonly #values = new Map<string | symbol, Value>();
  readonly #takers: { resolve(result: IteratorResult<Value, undefined>): void; reject(error: unknown): void }[] = [];
  #end: { readonly error?: unknown } | undefined;

  /**
   * @param limit how many values without a key wait at most; the oldest give way
   * @param taken called with each value in the moment in which it is taken; what it makes of it is given away
   */
  constructor(limit: number, taken: (value: Value) => Value = (value) => value) {
    this.#limit = limit;
    this.#taken = taken;
  }

  /** How many values wait. */
  get size(): number {
    return this.#values.size;
  }

  /** Puts a value in. One that waits under the same key gives way. */
  put(value: Value, key: string | symbol = Symbol()): void {
    if (this.#end) return;
    const taker = this.#takers.shift();
    if (taker) {
      taker.resolve({ done: false, value: this.#taken(value) });
      return;
    }
    // Deleted first, so that values stay in the order in which they came.
    this.#values.delete(key);
    this.#values.set(key, value);
    if (typeof key === "symbol" && this.#values.size > this.#limit) {
      const [oldest = key] = this.#values.keys();
      this.#values.delete(oldest);
    }
  }

  /** Throws away what waits under a key. */
  delete(key: string): void {
    this.#values.delete(key);
  }

  /** Throws away what waits and fits. */
  discard(fits: (value: Value) => boolean): void {
    for (const [key, value] of this.#values) if (fits(value)) this.#values.delete(key);
  }

  /** No more values come; those that wait can still be taken, then the error, if there is one, is thrown once. */
  end(failure: { readonly error?: unknown } = {}): void {
    if (this.#end) return;
    this.#end = failure;
    for (const taker of this.#takers.splice(0)) this.#finish(taker);
  }

  /** Takes the oldest value, or waits for one. */
  next(): Promise<IteratorResult<Value, undefined>> {
    for (const [key, value] of this.#values) {
      this.#values.delete(key);
      return Promise.resolve({ done: false, value: this.#taken(value) });
    }
    return new Promise((resolve, reject) => {
      const taker = { resolve, reject };
      if (this.#end) this.#finish(taker);
      else this.#takers.push(taker);
    });
  }

  /** Ends it and throws away what waits. */
  return(): Promise<IteratorResult<Value, undefined>> {
    this.#values.clear();
    this.end();
    this.#end = {};
    return Promise.resolve({ done: true, value: undefined });
  }

  #finish(taker: { resolve(result: IteratorResult<Value, undefined>): void; reject(error: unknown): void }): void {
    if (this.#end && "error" in this.#end) {
      taker.reject(this.#end.error);
      this.#end = {};
    } else taker.resolve({ done: true, value: undefined });
  }
}
