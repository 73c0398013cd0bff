import type { Update } from "../protocol/frames.ts";
import type { StreamFeed, StreamState } from "./feed.ts";

/** How a stream behaves. */
export interface StreamOptions {
  /** Ends the stream; `next()` then throws what the signal was aborted with. */
  readonly signal?: AbortSignal | undefined;
  /**
   * 0: every change; otherwise at most one update per item and interval, the latest, in milliseconds. Streams of the same
   * items keep each to its own interval.
   */
  readonly intervalMs?: number | undefined;
}

/**
 * The updates of a stream, for `for await`. `break` (or `return()`) ends it at the gateway, also while a `next()` waits.
 * @throws CacheError from `next()`: what the gateway refuses, CONNECTION_CLOSED
 */
export class Stream<Data, Key extends keyof Data = never>
  implements AsyncIterableIterator<Update<Data, Key>, undefined>, AsyncDisposable
{
  readonly #feed: StreamFeed;

  /** @internal */
  constructor(feed: StreamFeed) {
    this.#feed = feed;
  }

  /** How it is doing now. */
  get state(): StreamState {
    return this.#feed.state.now;
  }

  /** How it is doing, as values: the present state first, then every change (opening, live, stale, ended). */
  status(): AsyncIterableIterator<StreamState, undefined> {
    return this.#feed.state.watch();
  }

  /** The next update; waits for it. The first call asks the gateway. */
  next(): Promise<IteratorResult<Update<Data, Key>, undefined>> {
    return this.#feed.next() as Promise<IteratorResult<Update<Data, Key>, undefined>>;
  }

  /** Ends it. */
  async return(): Promise<IteratorResult<Update<Data, Key>, undefined>> {
    await this.#feed.return();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
