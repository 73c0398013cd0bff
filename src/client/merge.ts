import { Inbox } from "./inbox.ts";

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

class Merge<S extends Sources> implements AsyncIterableIterator<Merged<S>, undefined>, AsyncDisposable {
  readonly #sources: Map<string, AsyncIterator<unknown, unknown>>;
  /** The sources whose last value was taken. */
  #idle: string[];
  /** The sources whose next value is on its way. */
  readonly #asked = new Set<string>();
  readonly #inbox = new Inbox<{ readonly name: string; readonly value: unknown }, Merged<S>>(
    Number.POSITIVE_INFINITY,
    ({ name, value }) => {
      this.#idle.push(name);
      return [name, value] as Merged<S>;
    },
  );

  constructor(sources: S) {
    this.#sources = new Map(Object.entries(sources));
    this.#idle = [...this.#sources.keys()];
    if (this.#sources.size === 0) this.#inbox.end();
  }

  next(): Promise<IteratorResult<Merged<S>, undefined>> {
    this.#ask();
    return this.#inbox.next();
  }

  async return(): Promise<IteratorResult<Merged<S>, undefined>> {
    const ending = this.#endAll();
    void this.#inbox.return();
    await ending;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #ask(): void {
    const idle = this.#idle;
    this.#idle = [];
    for (const name of idle) {
      this.#asked.add(name);
      this.#sources
        .get(name)
        ?.next()
        .then(
          (result) => this.#arrived(name, result),
          (error: unknown) => this.#failed(name, error),
        );
    }
  }

  #arrived(name: string, { done, value }: IteratorResult<unknown, unknown>): void {
    this.#asked.delete(name);
    // After the end nobody wants it.
    if (!this.#sources.has(name)) return;
    if (!done) {
      this.#inbox.put({ name, value });
      if (this.#inbox.isAwaited) this.#ask();
      return;
    }
    this.#sources.delete(name);
    if (this.#sources.size === 0) this.#inbox.end();
  }

  #failed(name: string, error: unknown): void {
    if (!this.#sources.delete(name)) return;
    const fail = () => this.#inbox.end({ error });
    this.#endAll().then(fail, fail);
  }

  /** Ends what has not ended yet. */
  async #endAll(): Promise<void> {
    const ending = [...this.#sources].map(([name, source]) => {
      const ended = source.return?.();
      if (!this.#asked.has(name)) return ended;
      // A generator that waits for something ends when that has come, which may be never.
      ended?.catch(() => {});
      return undefined;
    });
    this.#sources.clear();
    await Promise.all(ending);
  }
}
