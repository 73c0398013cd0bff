import { CacheError } from "../protocol/errors.ts";
import type { StreamStatus } from "../protocol/frames.ts";
import { at } from "./call-site.ts";
import { Inbox } from "./inbox.ts";
import { onAbort } from "./on-abort.ts";
import { Pace } from "./pace.ts";
import { type AnyUpdate, type Arrival, Position } from "./position.ts";
import { Watched } from "./watched.ts";

/** How a stream is doing: asking for its picture, live, or stale because Redis is out of the gateway's reach. */
export interface StreamState {
  readonly state: "opening" | "live" | "stale" | "ended";
  /** `stale`: which topic is, where a stream has several. */
  readonly topic?: string;
  /** `stale`: since when, in unix seconds. */
  readonly since?: number;
  /** Why it is not live. */
  readonly reason?: string;
}

/** What a stream asks for. */
export interface StreamRequest {
  readonly operation: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** The members that tell one item from another; null where every update is an event of its own. */
  readonly identity: readonly string[] | null;
  /** How many items a picture holds at most; older ones leave it without a word. */
  readonly retain?: number | undefined;
}

/** How a stream is read. */
export interface FeedOptions {
  /** How many events wait at most. */
  readonly bufferSize: number;
  /** The line that asked for it. */
  readonly site: Error;
  readonly signal?: AbortSignal | undefined;
}

/** What a stream needs of its session. */
export interface StreamHost {
  /** The stream wants its picture (again); `opened`, `interrupted` or `end` is the answer. */
  opens(feed: StreamFeed): void;
  /** Nobody takes from it any more. */
  leaves(feed: StreamFeed): void;
}

/**
 * One stream: takes frames in and hands out updates one by one. Asks for a fresh picture when an update is missing. State
 * that waits is replaced by newer state of the same item; events wait in a bounded queue; `skipped` tells what was left out.
 */
export class StreamFeed {
  readonly request: StreamRequest;
  readonly state = new Watched<StreamState>({ state: "opening" });
  /** The interval that was asked for, in milliseconds. */
  readonly intervalMs: number;
  readonly #host: StreamHost;
  readonly #site: Error;
  readonly #signal: AbortSignal | undefined;
  readonly #inbox: Inbox<Arrival, AnyUpdate>;
  readonly #pace: Pace<Arrival>;
  readonly #positions = new Map<string, Position>();
  /** The topics that are not live. */
  readonly #waiting = new Map<string, StreamState>();
  /** Lets the signal go. */
  #release = (): void => {};
  #begun = false;
  // Until the gateway has opened it anew, what comes belongs to other streams of the same topics.
  #asking = false;

  constructor(request: StreamRequest, host: StreamHost, { bufferSize, site, signal }: FeedOptions) {
    this.request = request;
    this.intervalMs = Number(request.params["interval_ms"] ?? 0);
    this.#host = host;
    this.#site = site;
    this.#signal = signal;
    this.#inbox = new Inbox(
      bufferSize,
      (arrival) => arrival.position.handOut(arrival),
      (arrival) => arrival.position.isWanted(arrival),
    );
    this.#pace = new Pace(this.intervalMs, (arrival, key) => this.#inbox.put(arrival, key));
  }

  /** Whether it is over. */
  get ended(): boolean {
    return this.state.now.state === "ended";
  }

  /** Whether the picture of each of its topics is whole. */
  get isWhole(): boolean {
    for (const { isWhole } of this.#positions.values()) if (!isWhole) return false;
    return true;
  }

  /** The topics it follows. */
  get topics(): Iterable<string> {
    return this.#positions.keys();
  }

  /** The next update. Asks the gateway only when somebody waits for the first time. */
  next(): Promise<IteratorResult<AnyUpdate, undefined>> {
    if (!this.#begun && !this.ended) this.#begin();
    return this.#inbox.next();
  }

  /** Nobody wants it any more. */
  async return(): Promise<void> {
    this.#pace.discard(() => true);
    this.#finish({ state: "ended" });
    await this.#inbox.return();
  }

  /** It is over: what waits can still be taken, then the error, if there is one, is thrown. */
  end(error?: unknown): void {
    this.#finish({ state: "ended", ...(error instanceof Error && { reason: error.message }) });
    this.#inbox.end(error === undefined ? {} : { error: error instanceof CacheError ? at(this.#site, error) : error });
  }

  /** The gateway has opened it: these are its topics, and the picture of each comes next. */
  opened(topics: readonly string[]): void {
    this.#asking = false;
    this.#waiting.clear();
    for (const [topic, position] of this.#positions) if (!topics.includes(topic)) this.#drop(topic, position);
    const { identity, retain } = this.request;
    for (const topic of topics) {
      this.#waiting.set(topic, { state: "opening" });
      if (!this.#positions.has(topic)) this.#positions.set(topic, new Position(topic, identity, retain));
    }
    this.#settle();
  }

  /** The connection broke, or the gateway cannot open it now: what is known stands until the next snapshot. */
  interrupted({ message }: CacheError): void {
    this.#asking = true;
    for (const position of this.#positions.values()) position.doubt();
    this.state.set({ state: "opening", reason: message });
  }

  /** An update did not come: the picture is asked for again. */
  lost(): void {
    if (this.#asking) return;
    this.interrupted(new CacheError("CONNECTION_FAILED", "an update was lost on the way"));
    this.#host.opens(this);
  }

  /**
   * An update of one of its topics came.
   * @param fastestMs the shortest interval that a stream of this topic asked for: the pace at which the gateway sends
   */
  take(update: AnyUpdate, fastestMs: number): void {
    const position = this.#positions.get(update.topic);
    if (!position || this.#asking) return;
    if (update.snapshot) {
      // The snapshot of another stream of the same topic: this one knows all of it.
      if (position.isAt(update.epoch, update.update_id)) return;
      if (!position.isIncoming) this.#discard(update.topic);
      this.#put(position.show(update));
      return;
    }
    const verdict = position.follow(update);
    if (verdict === "gap") this.lost();
    if (verdict !== "next") return;
    const arrival = position.arrival(update);
    const isTooFast = this.intervalMs > fastestMs || this.#pace.size > 0;
    if (isTooFast && arrival.key !== undefined) this.#pace.put(arrival, arrival.key);
    else this.#put(arrival);
  }

  /** The state of one of its topics came. */
  tell({ topic, state, epoch, count, update_id: id, since, error_code: code }: StreamStatus): void {
    const position = this.#positions.get(topic);
    if (!position || this.#asking) return;
    if (id !== undefined && !position.isAt(epoch, id)) {
      if (!position.isIncoming) this.#discard(topic);
      for (const arrival of position.complete(epoch, id, count)) this.#put(arrival);
    }
    if (!position.isWhole) {
      this.lost();
      return;
    }
    if (state === "live") this.#waiting.delete(topic);
    else if (state === "stale")
      this.#waiting.set(topic, { state, topic, ...(since !== undefined && { since }), ...(code && { reason: code }) });
    this.#settle();
  }

  #begin(): void {
    this.#begun = this.#asking = true;
    if (this.#signal?.aborted) this.#abort();
    else {
      this.#release = onAbort(this.#signal, () => this.#abort());
      this.#host.opens(this);
    }
  }

  /** Whoever aborts wants nothing more, not even what waits. */
  #abort(): void {
    for (const waiting of [this.#inbox, this.#pace]) waiting.discard(() => true);
    this.end(this.#signal?.reason);
  }

  /** A snapshot comes: what waits of the state before it has had its day. */
  #discard(topic: string): void {
    const isOlder = ({ update, key }: Arrival) => key !== undefined && update.topic === topic;
    this.#inbox.discard(isOlder);
    this.#pace.discard(isOlder);
  }

  /** A topic is no longer one of its topics, so its items are gone. */
  #drop(topic: string, position: Position): void {
    this.#discard(topic);
    for (const arrival of position.vanish()) this.#put(arrival);
    this.#positions.delete(topic);
  }

  #put(arrival: Arrival): void {
    this.#inbox.put(arrival, arrival.key);
  }

  /** It is live when all of its topics are. */
  #settle(): void {
    const [state = { state: "live" } as const] = this.#waiting.values();
    const { now } = this.state;
    if (state.state !== now.state || state.topic !== now.topic || state.reason !== now.reason) this.state.set(state);
  }

  #finish(state: StreamState): void {
    if (this.ended) return;
    this.state.set(state);
    this.state.end();
    this.#pace.end();
    this.#release();
    this.#host.leaves(this);
  }
}
