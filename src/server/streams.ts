import { operationsByWireName } from "../operations/index.ts";
import type { LiveQuery, TopicSource } from "../operations/operation.ts";
import { type Need, needOf } from "../operations/permissions.ts";
import type { Reading } from "../operations/reading.ts";
import type { StreamSummary } from "../operations/server-info.ts";
import { CacheError } from "../protocol/errors.ts";
import type { Identity } from "./identity.ts";
import type { AskedStream } from "./requests.ts";
import { type Sink, Subscription } from "./subscription.ts";
import { type Topic, topicKey } from "./topic.ts";
import type { Topics } from "./topics.ts";

/** What the streams of a connection need of the server. */
export interface StreamsContext {
  readonly topics: Topics;
  readonly reading: Reading;
  readonly limits: { readonly max_streams: number; readonly max_topics: number };
}

/** Whose streams they are. */
export interface Follower {
  readonly identity: Identity;
}

/** What a stream is about. */
type About = Pick<AskedStream, "operation" | "params" | "need">;

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
  readonly #follower: Follower;
  readonly #sink: Sink;
  readonly #streams = new Map<string, Stream>();
  // By topic, for streams to find what they share. Made for the second stream: most connections have one only, and of a
  // million subscriptions this would be a quarter of the memory.
  #shared: Map<string, Subscription> | undefined;
  #nextId = 1;

  /** @param sink where their frames go */
  constructor(context: StreamsContext, follower: Follower, sink: Sink) {
    this.#context = context;
    this.#follower = follower;
    this.#sink = sink;
  }

  /** How many there are. */
  get size(): number {
    return this.#streams.size;
  }

  /** The names of all topics that are followed. */
  get topics(): string[] {
    return Array.from(this.#all(), ({ topic }) => topic.name);
  }

  /**
   * Opens a stream once its topics are live. `begin` is told its id and its topics before the first picture is sent.
   * @throws CacheError FORBIDDEN, LIMIT_EXCEEDED, what `mayOpen` throws, and what the first read of a topic throws
   */
  async open(
    asked: AskedStream,
    mayOpen: () => void,
    begin: (stream: string, topics: readonly string[]) => void,
  ): Promise<void> {
    const { name, operation: live, params } = asked;
    const { topics: shared, limits } = this.#context;
    const sources = this.#sources(asked);
    const check = () => {
      mayOpen();
      atMost(limits.max_streams, this.#streams.size + 1, "streams on this connection");
      const known = this.#byTopic();
      const fresh = known ? sources.filter((source) => !known.has(topicKey(source))) : sources;
      atMost(limits.max_topics, (known?.size ?? 0) + fresh.length, "topics on this connection");
    };
    check();
    const topics = await shared.hold(live, sources);
    try {
      // Once more: requests that came together were all let in before any of them had opened its stream, and it may be
      // somebody else who waits for it now.
      check();
      if (!this.#areStill(topics, asked)) throw forbidden();
    } catch (error) {
      for (const topic of topics) shared.release(topic);
      throw error;
    }
    const known = this.#byTopic();
    const subscriptions = topics.map((topic) => known?.get(topic.key) ?? new Subscription(topic, this.#sink));
    for (const subscription of subscriptions) known?.set(subscription.topic.key, subscription);
    const { interval_ms: interval } = params;
    const intervalMs = typeof interval === "number" ? interval : 0;
    const id = `s${this.#nextId++}`;
    this.#streams.set(id, { operation: name, params: JSON.stringify(params), intervalMs, subscriptions });
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
      if (subscription.delete(stream.intervalMs)) this.#shared?.delete(topic.key);
      this.#context.topics.release(topic);
    }
    if (this.#streams.size === 0) this.#shared = undefined;
  }

  /** Ends those that may not be followed any more; gives the topics that nobody here follows now. */
  recheck(): string[] {
    const before = this.topics;
    for (const [id, stream] of [...this.#streams]) if (!this.#mayGoOn(stream)) this.end(id);
    const left = new Set(this.topics);
    return before.filter((name) => !left.has(name));
  }

  /** Ends all of them. */
  endAll(): void {
    for (const id of [...this.#streams.keys()]) this.end(id);
  }

  /** The socket takes frames again: what waited meanwhile goes out. */
  relieved(): void {
    for (const subscription of this.#all()) subscription.relieved();
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

  /** What a stream is about, for whoever is connected now. @throws CacheError FORBIDDEN, and what finding it throws */
  #sources({ operation, params, need }: About): readonly TopicSource[] {
    this.#mustBeAllowed(need);
    const { accounts } = this.#follower.identity;
    const { reading } = this.#context;
    return operation.topics(accounts ? { ...reading, accounts } : reading, params);
  }

  /** Whether a stream is still about these topics. @throws CacheError FORBIDDEN, and what finding it throws */
  #areStill(topics: readonly Topic[], about: About): boolean {
    this.#mustBeAllowed(about.need);
    // What concerns no user is the same whoever asks, and there may be a thousand of them.
    return about.need.userId === undefined || areFrom(topics, this.#sources(about));
  }

  #mustBeAllowed(need: Need): void {
    const refusal = this.#follower.identity.permissions.refusal(need);
    if (refusal) throw refusal;
  }

  #mayGoOn({ operation: name, params: text, subscriptions }: Stream): boolean {
    const operation = operationsByWireName.get(name) as LiveQuery;
    const params = JSON.parse(text);
    const topics = subscriptions.map(({ topic }) => topic);
    try {
      return this.#areStill(topics, { operation, params, need: needOf(operation, params) });
    } catch {
      return false;
    }
  }

  /** Every subscription once. */
  #all(): Iterable<Subscription> {
    const [first] = this.#streams.values();
    return this.#shared?.values() ?? first?.subscriptions ?? [];
  }

  /** The subscriptions by topic; undefined as long as there is no stream. */
  #byTopic(): Map<string, Subscription> | undefined {
    if (this.#streams.size > 0)
      this.#shared ??= new Map(Array.from(this.#all(), (subscription) => [subscription.topic.key, subscription]));
    return this.#shared;
  }
}

/** A stream that this connection does not have. */
export function noStream(id: string): CacheError {
  return new CacheError("STREAM_NOT_FOUND", `this connection has no stream ${JSON.stringify(id)}`);
}

function forbidden(): CacheError {
  return new CacheError("FORBIDDEN", "this may not be followed any more");
}

/** Whether topics are what these sources open. */
function areFrom(topics: readonly Topic[], sources: readonly TopicSource[]): boolean {
  return topics.length === sources.length && sources.every((source, at) => topicKey(source) === topics[at]?.key);
}

const namesOf = (subscriptions: readonly Subscription[]) => subscriptions.map(({ topic }) => topic.name);

function atMost(limit: number, wanted: number, what: string): void {
  if (wanted > limit) throw new CacheError("LIMIT_EXCEEDED", `at most ${limit} ${what}`, { details: { limit } });
}
