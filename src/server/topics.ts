import type { LiveQuery, TopicSource } from "../operations/operation.ts";
import type { CacheError } from "../protocol/errors.ts";
import { Topic, type TopicContext, topicKey } from "./topic.ts";

interface Entry {
  readonly topic: Topic;
  readonly opened: Promise<void>;
  /** How many streams hold it, opening ones among them. */
  holders: number;
}

// So many topics are opened at a time: each read stays within its time limit, however many are wanted at once.
const lanes = 1_000;

/** The topics that anybody follows, each once. The first to hold one opens it, the last to let go ends it. */
export class Topics {
  readonly #context: TopicContext;
  readonly #entries = new Map<string, Entry>();
  readonly #lanes: Promise<void>[] = [];
  #nextLane = 0;
  // Within an epoch no id of a topic ever comes twice, not even when the topic ended meanwhile.
  #nextFirstId = 0;

  constructor(context: TopicContext) {
    this.#context = context;
  }

  /** How many there are. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Holds topics, all of them or none; resolves when they are live.
   * @throws CacheError what the first read of one throws, or why it is stale
   */
  async hold(live: LiveQuery, sources: readonly TopicSource[]): Promise<readonly Topic[]> {
    const held = sources.map((source) => this.#hold(live, source));
    if (held.every((one) => one instanceof Topic)) return held;
    const topics: Topic[] = [];
    let refusal: PromiseRejectedResult | undefined;
    for (const one of await Promise.allSettled(held)) {
      if (one.status === "fulfilled") topics.push(one.value);
      else refusal ??= one;
    }
    if (!refusal) return topics;
    for (const topic of topics) this.release(topic);
    throw refusal.reason;
  }

  #hold(live: LiveQuery, source: TopicSource): Topic | Promise<Topic> {
    const key = topicKey(source);
    const known = this.#entries.get(key);
    if (known) {
      known.holders++;
      return known.topic.isLive ? known.topic : this.#whenLive(known);
    }
    const topic = new Topic(source, live, this.#context, this.#nextFirstId);
    const entry = { topic, opened: this.#open(topic), holders: 1 };
    this.#entries.set(key, entry);
    return this.#whenLive(entry);
  }

  #open(topic: Topic): Promise<void> {
    const at = this.#nextLane++ % lanes;
    const opened = (this.#lanes[at] ?? Promise.resolve()).then(() => topic.open());
    this.#lanes[at] = opened.catch(() => {});
    return opened;
  }

  async #whenLive({ topic, opened }: Entry): Promise<Topic> {
    try {
      await opened;
      if (topic.trouble) throw topic.trouble;
      return topic;
    } catch (error) {
      this.release(topic);
      throw error;
    }
  }

  /** Lets go of a topic. */
  release(topic: Topic): void {
    const entry = this.#entries.get(topic.key);
    if (entry?.topic !== topic || --entry.holders > 0) return;
    this.#entries.delete(topic.key);
    this.#nextFirstId = Math.max(this.#nextFirstId, topic.updateId);
    topic.close();
  }

  /** All of them. */
  *[Symbol.iterator](): Iterator<Topic> {
    for (const { topic } of this.#entries.values()) yield topic;
  }

  /** Redis can be reached again: every picture is looked at. */
  restored(): void {
    for (const { topic } of this.#entries.values()) topic.stale();
  }

  /** Redis cannot be reached. */
  lost(error: CacheError): void {
    for (const { topic } of this.#entries.values()) topic.lost(error);
  }
}
