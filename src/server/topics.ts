import type { LiveQuery, TopicSource } from "../operations/operation.ts";
import type { CacheError } from "../protocol/errors.ts";
import { Topic, type TopicContext } from "./topic.ts";

interface Entry {
  readonly topic: Topic;
  readonly opened: Promise<void>;
  /** How many streams hold it, opening ones among them. */
  holders: number;
}

/** The topics that anybody follows, each once. The first to hold one opens it, the last to let go ends it. */
export class Topics {
  readonly #context: TopicContext;
  readonly #entries = new Map<string, Entry>();
  // Within an epoch no id of a topic ever comes twice, not even when the topic ended meanwhile.
  #nextFirstId = 0;

  constructor(context: TopicContext) {
    this.#context = context;
  }

  /** How many there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** Holds a topic; resolves when it is live. @throws CacheError what its first read throws, or why it is stale */
  async hold(live: LiveQuery, source: TopicSource): Promise<Topic> {
    let entry = this.#entries.get(source.name);
    if (!entry) {
      const topic = new Topic(source.name, live, source.open(), this.#context, this.#nextFirstId);
      entry = { topic, opened: topic.open(), holders: 0 };
      this.#entries.set(source.name, entry);
    }
    entry.holders++;
    try {
      await entry.opened;
      const { trouble } = entry.topic;
      if (trouble) throw trouble;
      return entry.topic;
    } catch (error) {
      this.release(entry.topic);
      throw error;
    }
  }

  /** Lets go of a topic. */
  release(topic: Topic): void {
    const entry = this.#entries.get(topic.name);
    if (entry?.topic !== topic || --entry.holders > 0) return;
    this.#entries.delete(topic.name);
    this.#nextFirstId = Math.max(this.#nextFirstId, topic.updateId);
    topic.close();
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
