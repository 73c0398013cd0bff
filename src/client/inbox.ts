import { Queue } from "./queue.ts";

interface Entry<Value> {
  readonly value: Value;
  readonly key: string | undefined;
}

interface Taker<Given> {
  resolve(result: IteratorResult<Given, undefined>): void;
  reject(error: unknown): void;
}

/** How long a reader may be busy with what came in one turn before it counts as slow. */
const patienceMs = 100;

/**
 * Values in, taken one by one. Those without a key wait in a bounded queue. Of those with a key a reader that keeps up is
 * given every one: many come in a single turn of the event loop, before anybody had a chance to take the first. A slow
 * reader, which was busy when they came or takes too long over them, is given the latest of each key.
 */
export class Inbox<Value, Given = Value> implements AsyncIterator<Given, undefined> {
  readonly #limit: number;
  readonly #taken: (value: Value) => Given;
  readonly #isWanted: (value: Value) => boolean;
  /** What waits for a reader that keeps up; values without a key always. */
  readonly #queue = new Queue<Entry<Value>>();
  /** What waits for a slow reader, by key. */
  readonly #latest = new Map<string | undefined, Entry<Value>>();
  readonly #takers: Taker<Given>[] = [];
  /** Whether the reader waited for the first value with a key of this turn. */
  #isInTime = false;
  /** When the reader counts as slow, unless it has taken all by then. */
  #dueAt = Number.POSITIVE_INFINITY;
  #end: { readonly error?: unknown } | undefined;

  /**
   * @param limit how many values without a key wait at most; the oldest give way
   * @param taken called with each value in the moment in which it is taken; what it makes of it is given away
   * @param isWanted whether the reader has any use for a value, by what it has taken so far
   */
  constructor(
    limit: number,
    taken: (value: Value) => Given = (value) => value as never,
    isWanted: (value: Value) => boolean = () => true,
  ) {
    this.#limit = limit;
    this.#taken = taken;
    this.#isWanted = isWanted;
  }

  /** How many values wait. */
  get size(): number {
    return this.#queue.size + this.#latest.size;
  }

  /** Whether somebody waits for a value. */
  get isAwaited(): boolean {
    return this.#takers.length > 0;
  }

  /** Puts a value in. */
  put(value: Value, key?: string): void {
    if (this.#end) return;
    if (this.isAwaited) this.#serve(value, key);
    else if (key === undefined) {
      this.#queue.push({ value, key });
      if (this.#queue.size > this.#limit) this.#queue.shift();
    } else if (this.#isInTime) {
      if (this.#queue.size === 0) this.#dueAt = performance.now() + patienceMs;
      this.#queue.push({ value, key });
    } else {
      this.#conflate();
      this.#replace({ value, key });
    }
  }

  /** Throws away what waits and fits. */
  discard(fits: (value: Value) => boolean): void {
    this.#queue.keep(({ value }) => !fits(value));
    for (const [key, { value }] of this.#latest) if (fits(value)) this.#latest.delete(key);
  }

  /** No more values come; those that wait can still be taken, then the error, if there is one, is thrown once. */
  end(failure: { readonly error?: unknown } = {}): void {
    if (this.#end) return;
    this.#end = failure;
    for (const taker of this.#takers.splice(0)) this.#finish(taker);
  }

  /** Takes the oldest value, or waits for one. */
  next(): Promise<IteratorResult<Given, undefined>> {
    const entry = this.#take();
    if (entry) return Promise.resolve({ done: false, value: this.#taken(entry.value) });
    return new Promise((resolve, reject) => {
      const taker = { resolve, reject };
      if (this.#end) this.#finish(taker);
      else this.#takers.push(taker);
    });
  }

  /** Ends it and throws away what waits. */
  return(): Promise<IteratorResult<Given, undefined>> {
    this.#queue.clear();
    this.#latest.clear();
    this.end();
    this.#end = {};
    return Promise.resolve({ done: true, value: undefined });
  }

  #serve(value: Value, key: string | undefined): void {
    if (!this.#isWanted(value)) return;
    this.#takers.shift()?.resolve({ done: false, value: this.#taken(value) });
    if (key === undefined || this.#isInTime) return;
    this.#isInTime = true;
    // After whatever comes in this turn.
    queueMicrotask(() => {
      this.#isInTime = false;
    });
  }

  #take(): Entry<Value> | undefined {
    if (this.#queue.size > 0) {
      if (this.#dueAt !== Number.POSITIVE_INFINITY && performance.now() > this.#dueAt) this.#conflate();
      for (let entry = this.#queue.shift(); entry; entry = this.#queue.shift())
        if (this.#isWanted(entry.value)) return entry;
    }
    for (const [key, entry] of this.#latest) {
      this.#latest.delete(key);
      if (this.#isWanted(entry.value)) return entry;
    }
    return undefined;
  }

  /** The reader is slow. */
  #conflate(): void {
    for (let entry = this.#queue.shift(); entry; entry = this.#queue.shift()) this.#replace(entry);
  }

  #replace(entry: Entry<Value>): void {
    // Deleted first, so that values stay in the order in which they came.
    this.#latest.delete(entry.key);
    if (this.#isWanted(entry.value)) this.#latest.set(entry.key, entry);
  }

  #finish(taker: Taker<Given>): void {
    if (this.#end && "error" in this.#end) {
      taker.reject(this.#end.error);
      this.#end = {};
    } else taker.resolve({ done: true, value: undefined });
  }
}
