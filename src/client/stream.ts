import { CacheError } from "../protocol/errors.ts";
import type { StreamStatus, Update } from "../protocol/frames.ts";
import { at } from "./call-site.ts";
import { Inbox } from "./inbox.ts";

/** How a stream is doing: asking for its picture, live, or stale because Redis is out of the gateway's reach. */
export interface StreamState {
  readonly state: "opening" | "live" | "stale" | "ended";
  /** The topic it concerns, where a stream has several. */
  readonly topic?: string;
  /** `stale`: since when, in unix seconds. */
  readonly since?: number;
  /** Why it is not live. */
  readonly reason?: string;
}

/** How a stream behaves. */
export interface StreamOptions {
  /** Ends the stream; `next()` then throws what the signal was aborted with. */
  readonly signal?: AbortSignal | undefined;
  /** 0: every change; otherwise at most one update per item and interval, the latest, in milliseconds. */
  readonly intervalMs?: number | undefined;
}

/** What a stream asks for. */
export interface StreamRequest {
  readonly operation: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** The members that tell one item from another; null where every update is an event of its own. */
  readonly identity: readonly string[] | null;
}

/** Where a stream stands in one topic. */
interface Position {
  epoch: string | undefined;
  /** The id of the last update, if it is known. */
  lastId: number | undefined;
  /** Whether the picture is whole: if not, nothing but a snapshot helps. */
  whole: boolean;
  /** The items of the picture, by key, each with what identifies it. */
  items: Map<string, AnyUpdate>;
  /** The items of the snapshot that is coming in. */
  incoming: Map<string, AnyUpdate> | undefined;
  /** The id of the last update that was taken out. */
  takenId: number | undefined;
}

/** An update of which only the envelope is known. */
export type AnyUpdate = Update<Record<string, unknown>, string>;

/** What a stream needs of its session. */
export interface StreamHost {
  /** The stream wants its snapshot (again). */
  opens(feed: StreamFeed): void;
  /** Nobody takes from it any more. */
  leaves(feed: StreamFeed): void;
}

const stateHistory = 100;

/**
 * One stream: takes frames in, keeps account of their ids, and hands out updates one by one. Asks for a fresh snapshot
 * when an id is missing. State that waits is replaced by newer state of the same item; events wait in a bounded queue;
 * what was left out is told by `skipped`.
 */
export class StreamFeed {
  readonly request: StreamRequest;
  readonly states = new Inbox<StreamState>(stateHistory);
  readonly #host: StreamHost;
  readonly #site: Error;
  readonly #inbox: Inbox<AnyUpdate>;
  readonly #positions = new Map<string, Position>();
  #state: StreamState = { state: "opening" };
  #begun = false;
  #ended = false;

  constructor(request: StreamRequest, host: StreamHost, buffer: number, site: Error) {
    this.request = request;
    this.#site = site;
    this.#host = host;
    this.#inbox = new Inbox(buffer);
  }

  /** How it is doing now. */
  get state(): StreamState {
    return this.#state;
  }

  /** Whether it is over. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The topics it follows. */
  get topics(): Iterable<string> {
    return this.#positions.keys();
  }

  /** The next update. Asks the gateway only when somebody waits for the first time. */
  async next(): Promise<IteratorResult<AnyUpdate, undefined>> {
    if (!this.#begun && !this.#ended) {
      this.#begun = true;
      this.#host.opens(this);
    }
    const result = await this.#inbox.next();
    return result.done ? result : { done: false, value: this.#counted(result.value) };
  }

  /** Nobody wants it any more. */
  async return(): Promise<IteratorResult<AnyUpdate, undefined>> {
    this.#finish({ state: "ended" });
    return this.#inbox.return();
  }

  /** It is over: what waits can still be taken, then the error, if there is one, is thrown. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#finish({ state: "ended", ...(error instanceof Error && { reason: error.message }) });
    this.#inbox.end(error === undefined ? {} : { error: error instanceof CacheError ? at(this.#site, error) : error });
  }

  /** The gateway has opened it: these are its topics. */
  opened(topics: readonly string[]): void {
    for (const topic of this.#positions.keys()) if (!topics.includes(topic)) this.#positions.delete(topic);
    for (const topic of topics) {
      const known = this.#positions.get(topic);
      if (known) known.whole = false;
      else
        this.#positions.set(topic, {
          epoch: undefined,
          lastId: undefined,
          whole: false,
          items: new Map(),
          incoming: undefined,
          takenId: undefined,
        });
    }
  }

  /** The connection broke, or the gateway cannot open it now: what is known stands until the next snapshot. */
  interrupted(reason: CacheError): void {
    for (const position of this.#positions.values()) {
      position.whole = false;
      position.incoming = undefined;
    }
    this.#tell({ state: "opening", reason: reason.message });
  }

  /** An update of one of its topics came. */
  take(update: AnyUpdate): void {
    const position = this.#positions.get(update.topic);
    if (!position) return;
    const key = this.#keyOf(update);
    if (update.snapshot) {
      // The snapshot of another stream of the same topic: this one knows all of it.
      if (position.whole && position.epoch === update.epoch && position.lastId === update.update_id) return;
      position.whole = false;
      position.incoming ??= new Map();
      position.epoch = update.epoch;
      position.lastId = update.update_id;
      if (key !== undefined) position.incoming.set(key, update);
    } else {
      if (!position.whole) return;
      const expected = position.lastId === undefined ? undefined : position.lastId + 1 + (update.skipped ?? 0);
      if (expected !== undefined && update.update_id !== expected) {
        // Twice the same is harmless; a gap is not.
        if (update.update_id < expected) return;
        position.whole = false;
        this.#host.opens(this);
        return;
      }
      position.lastId = update.update_id;
      if (key !== undefined) {
        if (update.removed) position.items.delete(key);
        else position.items.set(key, update);
      }
    }
    this.#inbox.put(update, key);
  }

  /** The state of one of its topics came. */
  tell(status: StreamStatus): void {
    const position = this.#positions.get(status.topic);
    if (!position) return;
    const { state, topic, since, error_code: code } = status;
    if (state === "live") {
      if (!position.whole && status.update_id !== undefined) this.#complete(topic, position, status.update_id);
      if (position.whole) this.#tell({ state, topic });
    } else if (state === "stale")
      this.#tell({ state, topic, ...(since !== undefined && { since }), ...(code !== undefined && { reason: code }) });
  }

  /** The snapshot is complete: what it did not name is gone. */
  #complete(topic: string, position: Position, updateId: number): void {
    const incoming = position.incoming ?? new Map<string, AnyUpdate>();
    for (const [key, known] of position.items) {
      if (incoming.has(key)) continue;
      const identity = Object.fromEntries((this.request.identity ?? []).map((name) => [name, known[name]]));
      const { type } = known;
      this.#inbox.put({ ...identity, type, topic, removed: true, snapshot: true, update_id: updateId }, key);
    }
    position.items = incoming;
    position.incoming = undefined;
    position.lastId = updateId;
    position.whole = true;
  }

  /** What identifies an item; nothing where updates are events. */
  #keyOf(update: AnyUpdate): string | undefined {
    const { identity } = this.request;
    return identity === null ? undefined : JSON.stringify([update.topic, ...identity.map((name) => update[name])]);
  }

  /** An update as it is handed out: with the number of those that were left out before it, here or on the way. */
  #counted(update: AnyUpdate): AnyUpdate {
    const position = this.#positions.get(update.topic);
    if (!position) return update;
    const before = position.takenId;
    position.takenId = update.update_id;
    if (update.snapshot || before === undefined) return update;
    const skipped = update.update_id - before - 1;
    if (skipped === (update.skipped ?? 0)) return update;
    const { skipped: _sent, ...rest } = update;
    return (skipped > 0 ? { ...rest, skipped } : rest) as AnyUpdate;
  }

  #finish(state: StreamState): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#tell(state);
    this.states.end();
    this.#host.leaves(this);
  }

  #tell(state: StreamState): void {
    this.#state = state;
    this.states.put(state);
  }
}

/**
 * The updates of a stream, for `for await`. `break` (or `return()`) ends it at the gateway, also while a `next()` waits.
 * @throws CacheError from `next()`: what the gateway refuses, CONNECTION_CLOSED
 */
export class Stream<Data, Key extends keyof Data = never>
  implements AsyncIterableIterator<Update<Data, Key>, undefined>, AsyncDisposable
{
  readonly #feed: StreamFeed;
  readonly #stop: () => void;

  /** @internal */
  constructor(feed: StreamFeed, signal: AbortSignal | undefined) {
    this.#feed = feed;
    const abort = () => feed.end(signal?.reason);
    this.#stop = () => signal?.removeEventListener("abort", abort);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort);
  }

  /** How it is doing now. */
  get state(): StreamState {
    return this.#feed.state;
  }

  /** How it is doing, as values: opening, live, stale, ended. */
  status(): AsyncIterableIterator<StreamState, undefined> {
    const { states } = this.#feed;
    return {
      next: () => states.next(),
      return: async () => ({ done: true, value: undefined }),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** The next update; waits for it. */
  async next(): Promise<IteratorResult<Update<Data, Key>, undefined>> {
    const result = await this.#feed.next();
    if (result.done) this.#stop();
    return result as IteratorResult<Update<Data, Key>, undefined>;
  }

  /** Ends it. */
  async return(): Promise<IteratorResult<Update<Data, Key>, undefined>> {
    this.#stop();
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
