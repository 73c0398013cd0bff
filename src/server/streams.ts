import type { LiveQuery } from "../operations/operation.ts";
import type { Reading } from "../operations/reading.ts";
import type { StreamSummary } from "../operations/server-info.ts";
import { CacheError } from "../protocol/errors.ts";
import { type Sink, Subscription } from "./subscription.ts";
import type { Topic } from "./topic.ts";
import type { Topics } from "./topics.ts";

/** What the streams of a connection need of the server. */
export interface StreamsContext {
  readonly topics: Topics;
  readonly reading: Reading;
  readonly limits: { readonly max_streams: number; readonly max_topics: number };
}

/** A stream as it was asked for. */
export interface StreamRequest {
  readonly operation: string;
  readonly live: LiveQuery;
  readonly params: Readonly<Record<string, unknown>>;
}

interface Stream {
  readonly operation: string;
  /** As text: it is asked for by `list_streams` alone, and the names of a thousand symbols take less room so. */
  readonly params: string;
  readonly intervalMs: number;
  readonly subscriptions: readonly Subscription[];
}

/** The streams of one connection, and its subscriptions, which streams of the same topics share. */
export class Streams {
  readonly #context: StreamsContext;
  readonly #sink: Sink;
  readonly #streams = new Map<string, Stream>();
  readonly #subscriptions = new Map<string, Subscription>();
  #nextId = 1;

  constructor(context: StreamsContext, sink: Sink) {
    this.#context = context;
    this.#sink = sink;
  }

  /** How many there are. */
  get size(): number {
    return this.#streams.size;
  }

  /** The names of all topics that are followed. */
  get topics(): string[] {
    return [...this.#subscriptions.keys()];
  }

  /**
   * Opens a stream once its topics are live. `begin` is told its id and its topics before the first picture is sent.
   * @throws CacheError LIMIT_EXCEEDED, what `mayOpen` throws, and what the first read of a topic throws
   */
  async open(
    { operation, live, params }: StreamRequest,
    mayOpen: () => void,
    begin: (stream: string, topics: readonly string[]) => void,
  ): Promise<void> {
    const { topics: shared, reading, limits } = this.#context;
    const sources = live.topics(reading, params);
    const check = () => {
      mayOpen();
      atMost(limits.max_streams, this.#streams.size + 1, "streams on this connection");
      const fresh = sources.filter((source) => !this.#subscriptions.has(source.name));
      atMost(limits.max_topics, this.#subscriptions.size + fresh.length, "topics on this connection");
    };
    check();
    const held = await Promise.allSettled(sources.map((source) => shared.hold(live, source)));
    const topics = held.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    try {
      for (const one of held) if (one.status === "rejected") throw one.reason;
      // Once more: requests that came together were all let in before any of them had opened its stream.
      check();
    } catch (error) {
      for (const topic of topics) shared.release(topic);
      throw error;
    }
    const subscriptions = topics.map((topic) => this.#subscription(topic));
    const { interval_ms: interval } = params;
    const intervalMs = typeof interval === "number" ? interval : 0;
    const id = `s${this.#nextId++}`;
    this.#streams.set(id, { operation, params: JSON.stringify(params), intervalMs, subscriptions });
    begin(id, namesOf(subscriptions));
    for (const subscription of subscriptions) subscription.add(intervalMs);
  }

  /** Ends a stream. @throws CacheError STREAM_NOT_FOUND */
  end(id: string): void {
    const stream = this.#streams.get(id);
    if (!stream) throw noStream(id);
    this.#streams.delete(id);
    for (const subscription of stream.subscriptions) {
      const { topic } = subscription;
      if (subscription.delete(stream.intervalMs)) this.#subscriptions.delete(topic.name);
      this.#context.topics.release(topic);
    }
  }

  /** Ends all of them. */
  endAll(): void {
    for (const id of [...this.#streams.keys()]) this.end(id);
  }

  /** The socket takes frames again: what waited meanwhile goes out. */
  relieved(): void {
    for (const subscription of this.#subscriptions.values()) subscription.relieved();
  }

  /** What each of them is. */
  summaries(): StreamSummary[] {
    return Array.from(this.#streams, ([stream, { operation, params, subscriptions }]) => ({
      stream,
      operation,
      params: JSON.parse(params),
      topics: namesOf(subscriptions),
    }));
  }

  #subscription(topic: Topic): Subscription {
    const known = this.#subscriptions.get(topic.name);
    if (known) return known;
    const subscription = new Subscription(topic, this.#sink);
    this.#subscriptions.set(topic.name, subscription);
    return subscription;
  }
}

/** A stream that this connection does not have. */
export function noStream(id: string): CacheError {
  return new CacheError("STREAM_NOT_FOUND", `this connection has no stream ${JSON.stringify(id)}`);
}

const namesOf = (subscriptions: readonly Subscription[]) => subscriptions.map(({ topic }) => topic.name);

function atMost(limit: number, wanted: number, what: string): void {
  if (wanted > limit) throw new CacheError("LIMIT_EXCEEDED", `at most ${limit} ${what}`, { details: { limit } });
}
