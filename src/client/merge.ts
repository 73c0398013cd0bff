/** What {@link merge} takes: sources by name. */
export type Sources = Readonly<Record<string, AsyncIterator<unknown, unknown>>>;

type ValueOf<Source> = Source extends AsyncIterator<infer Value, unknown> ? Value : never;

/** What {@link merge} gives: the name of a source with one of its values. */
export type Merged<S extends Sources> = { [Name in keyof S & string]: [name: Name, value: ValueOf<S[Name]>] }[keyof S &
  string];

/**
 * Several streams as one: pairs of a name and a value, in the order in which they come. Ends when all of them have
 * ended; ending it, or an error in one, ends them all. Nothing is taken from a source before its last value is taken.
 *
 * @example
 * for await (const [name, update] of merge({ tickers: cache.streamTickers("binance"), bots: cache.streamBotStatus() })) { … }
 */
export function merge<S extends Sources>(sources: S): AsyncIterableIterator<Merged<S>, undefined> & AsyncDisposable {
  return new Merge(sources);
}

type Arrival = { readonly name: string } & (
  | { readonly result: IteratorResult<unknown, unknown> }
  | { readonly error: unknown }
);

class Merge<S extends Sources> implements AsyncIterableIterator<Merged<S>, undefined>, AsyncDisposable {
  readonly #sources: Map<string, AsyncIterator<unknown, unknown>>;
  readonly #arrived: Arrival[] = [];
  readonly #asked = new Set<string>();
  readonly #takers: (() => void)[] = [];

  constructor(sources: S) {
    this.#sources = new Map(Object.entries(sources));
  }

  async next(): Promise<IteratorResult<Merged<S>, undefined>> {
    for (;;) {
      for (const [name, source] of this.#sources) this.#ask(name, source);
      const arrival = this.#arrived.shift();
      if (!arrival) {
        if (this.#sources.size === 0) return { done: true, value: undefined };
        await new Promise<void>((resolve) => this.#takers.push(resolve));
        continue;
      }
      const { name } = arrival;
      this.#asked.delete(name);
      if ("error" in arrival) {
        this.#sources.delete(name);
        await this.return();
        throw arrival.error;
      }
      if (!arrival.result.done) return { done: false, value: [name, arrival.result.value] as Merged<S> };
      this.#sources.delete(name);
    }
  }

  async return(): Promise<IteratorResult<Merged<S>, undefined>> {
    const idle = new Set(this.#arrived.map(({ name }) => name));
    const ending = [...this.#sources].map(([name, source]) => {
      const ended = source.return?.();
      // A generator that waits for something ends when that has come, which may be never.
      if (idle.has(name) || !this.#asked.has(name)) return ended;
      ended?.catch(() => {});
      return undefined;
    });
    this.#sources.clear();
    this.#arrived.length = 0;
    this.#wake();
    await Promise.all(ending);
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #ask(name: string, source: AsyncIterator<unknown, unknown>): void {
    if (this.#asked.has(name)) return;
    this.#asked.add(name);
    source.next().then(
      (result) => this.#arrive({ name, result }),
      (error: unknown) => this.#arrive({ name, error }),
    );
  }

  #arrive(arrival: Arrival): void {
    // After return() nobody wants it.
    if (!this.#sources.has(arrival.name)) return;
    this.#arrived.push(arrival);
    this.#wake();
  }

  #wake(): void {
    for (const taker of this.#takers.splice(0)) taker();
  }
}
