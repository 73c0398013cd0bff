import type { Change, Feed } from "../operations/changes.ts";
import type { LiveQuery, TopicSource } from "../operations/operation.ts";
import type { Reading } from "../operations/reading.ts";
import { CacheError } from "../protocol/errors.ts";
import { reservedMembers, type StreamStatus } from "../protocol/frames.ts";
import type { Redis } from "../redis/redis.ts";
import { Audience, type Batch, type Subscriber, together, Update } from "./audience.ts";
import type { Lag } from "./lag.ts";
import { textFrame } from "./text-frame.ts";

/** How topics keep their pictures true. */
export interface TopicSettings {
  readonly epoch: string;
  /** How often a picture is read again although nobody said that it changed, in milliseconds; 0: never. */
  readonly rereadMs: number;
  /** The same where Redis cannot tell what changed. */
  readonly pollMs: number;
}

/** What a topic needs of its surroundings. */
export interface TopicContext {
  readonly redis: Redis;
  readonly reading: Reading;
  readonly settings: TopicSettings;
  readonly lag: Lag;
  /** An error that is a bug of ours. */
  bug(error: unknown, topic: string): void;
}

// A topic spends a tenth of its time reading, at most; short reads may follow each other at once now and then.
const timePerRead = 10;
const burstMs = 5;
// But it never rests longer than this: that one read was held up says little of the next.
const longestRestMs = 5_000;
const maxRetryMs = 30_000;

/** The members of an update that its data brings, as text without the braces. */
function body(data: object): string {
  const own = reservedMembers.some((name) => Object.hasOwn(data, name))
    ? Object.fromEntries(
        Object.entries(data).filter(([name]) => !(reservedMembers as readonly string[]).includes(name)),
      )
    : data;
  const text = JSON.stringify(own).slice(1, -1);
  return text === "" ? "" : `${text},`;
}

/** What tells a topic from all others. */
export function topicKey({ name, source }: TopicSource): string {
  return source === undefined ? name : `${source.length}:${source}:${name}`;
}

/**
 * One live query with its subscribers: one watcher, one read and one serialisation, however many follow. A read that
 * fails does not end it: it goes stale, says so, and reads again.
 */
export class Topic {
  readonly name: string;
  /** Its name, and what the name does not say of where it comes from. */
  readonly key: string;
  readonly #live: LiveQuery;
  readonly #feed: Feed;
  readonly #context: TopicContext;
  readonly #head: string;
  readonly #audience: Audience;
  readonly #picture = new Map<string, string>();
  // What newcomers get first, as long as nothing has happened since.
  #welcome: Batch | undefined;
  #updateId: number;
  #status: StreamStatus;
  #trouble: CacheError | undefined;
  #opened = false;
  #closed = false;
  // What the next look has to look at: some keys, or (undefined) everything.
  #stale: { keys: Set<string> | undefined } | undefined;
  // When Redis told of what the next look has to look at.
  #noticedAt: number | undefined;
  #looking = false;
  #restUntil = 0;
  #retryMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #reread: NodeJS.Timeout | undefined;
  #due: NodeJS.Timeout | undefined;

  constructor(source: TopicSource, live: LiveQuery, context: TopicContext, firstId: number) {
    const { name } = source;
    this.name = name;
    this.key = topicKey(source);
    this.#live = live;
    this.#feed = source.open();
    this.#context = context;
    this.#audience = new Audience(context.lag);
    this.#updateId = firstId;
    this.#head = `{"type":${JSON.stringify(live.type)},"topic":${JSON.stringify(name)},`;
    this.#status = this.#liveStatus();
  }

  /** The id of the last update. */
  get updateId(): number {
    return this.#updateId;
  }

  /** Whether every update of it is an event of its own, which no later one makes superfluous. */
  get isOfEvents(): boolean {
    return this.#live.identity === null;
  }

  /** Whether it has been read, and its picture is true for all that is known. */
  get isLive(): boolean {
    return this.#opened && this.#trouble === undefined;
  }

  /** Why nobody knows whether its picture is true; undefined while it is live. */
  get trouble(): CacheError | undefined {
    return this.#trouble;
  }

  /** How many connections follow it. */
  get followers(): number {
    return this.#audience.size;
  }

  /** Since when its picture may not be true, in unix seconds; undefined while it is live. */
  get staleSince(): number | undefined {
    return this.#status.since;
  }

  /** Watches and looks for the first time. @throws CacheError what the read throws */
  async open(): Promise<void> {
    await this.#context.redis.watch(this.#feed.watch, this);
    if (!this.#context.redis.state.connected) throw new CacheError("CACHE_UNAVAILABLE", "Redis cannot be reached");
    // Whatever was told already while it was not yet open, the first look is at everything.
    this.#stale = { keys: undefined };
    await this.#look();
    this.#opened = true;
    if (this.#stale) this.#schedule();
  }

  /** Ends it. */
  close(): void {
    this.#closed = true;
    for (const timer of [this.#timer, this.#reread, this.#due]) clearTimeout(timer);
    this.#context.redis.unwatch(this.#feed.watch, this);
  }

  /** Gives a newcomer the picture, and from now on every update. Joining again gives the picture again. */
  join(subscriber: Subscriber): void {
    // What is due is part of the picture already.
    this.#audience.flush();
    this.#audience.add(subscriber);
    subscriber.begin(this.#welcome ?? this.#makeWelcome());
  }

  /** Sends a subscriber nothing more. */
  leave(subscriber: Subscriber): void {
    this.#audience.delete(subscriber);
  }

  /** A watched key was written; without a key, anything may have been. */
  stale(key?: string): void {
    this.#noticedAt ??= this.#context.lag.notice();
    this.#outdate(key);
  }

  #outdate(key?: string): void {
    // Which key was written matters to those alone that follow a family of them.
    if (key === undefined || !this.#feed.watch.families) this.#stale = { keys: undefined };
    else if (this.#stale) this.#stale.keys?.add(key);
    else this.#stale = { keys: new Set([key]) };
    this.#schedule();
  }

  /** A message came on a watched channel. */
  heard(channel: string, message: string): void {
    // Messages overtake the notice of the key on the other connection, and what was told must not be read older.
    for (const key of this.#feed.watch.keys ?? []) this.#context.redis.outdated(key);
    const changes = this.#feed.hear?.(channel, message);
    if (changes) this.#apply(changes, this.#context.lag.notice());
    // Writers may overtake each other between writing and publishing: what counts in the end is what was written.
    if (changes?.length !== 0) this.#context.redis.doubt(this);
  }

  /** Redis cannot be reached: what is known stands, but nobody knows whether it is still true. */
  lost(error: CacheError): void {
    if (this.#opened) this.#goStale(error);
  }

  #liveStatus(): StreamStatus {
    const { epoch } = this.#context.settings;
    return { type: "stream_status", topic: this.name, state: "live", epoch, count: this.#picture.size };
  }

  #tell(status: StreamStatus): void {
    this.#status = status;
    this.#welcome = undefined;
    this.#audience.tell(textFrame(JSON.stringify(status)));
  }

  #goStale(error: CacheError): void {
    const isNews = this.#trouble?.code !== error.code;
    this.#trouble = error;
    if (!isNews) return;
    const { epoch } = this.#context.settings;
    const since = this.#status.since ?? this.#context.reading.now();
    this.#tell({ type: "stream_status", topic: this.name, state: "stale", epoch, since, error_code: error.code });
  }

  #schedule(): void {
    if (!this.#opened || this.#closed || this.#looking) return;
    const wait = Math.max(0, this.#restUntil - burstMs - performance.now());
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (wait === 0) void this.#lookAgain();
    else this.#timer = setTimeout(() => void this.#lookAgain(), wait);
  }

  async #lookAgain(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      await this.#look();
    } catch (error) {
      if (this.#closed) return;
      if (!(error instanceof CacheError)) this.#context.bug(error, this.name);
      this.#goStale(error instanceof CacheError ? error : new CacheError("INTERNAL_ERROR", "a read failed"));
      this.#stale = { keys: undefined };
      this.#restUntil = 0;
      this.#retryMs = Math.min(maxRetryMs, Math.max(500, this.#retryMs * 2));
      this.#timer = setTimeout(() => void this.#lookAgain(), this.#retryMs * (0.5 + Math.random() / 2));
      return;
    }
    if (this.#stale) this.#schedule();
  }

  async #look(): Promise<void> {
    this.#looking = true;
    // What else Redis tells in the same breath belongs to the same look.
    await Promise.resolve();
    const keys = this.#stale?.keys;
    this.#stale = undefined;
    const noticedAt = this.#noticedAt;
    this.#noticedAt = undefined;
    const start = performance.now();
    try {
      const { changes, doubt } = await this.#feed.look(this.#context.reading, keys);
      if (this.#closed) return;
      this.#apply(changes, noticedAt);
      this.#retryMs = 0;
      // A read may succeed while the other connection, which tells what changes, is not back yet.
      if (this.#trouble && this.#context.redis.state.connected) {
        this.#trouble = undefined;
        this.#tell(this.#liveStatus());
      }
      if (doubt) this.#context.redis.doubt(this);
    } finally {
      this.#looking = false;
      const end = performance.now();
      const rest = Math.max(this.#restUntil, start) + timePerRead * (end - start);
      this.#restUntil = Math.min(rest, end + longestRestMs);
    }
    this.#wait();
  }

  /** Looks again when the clock says so: after a while without news, and when time alone changes the picture. */
  #wait(): void {
    const { redis, reading, settings } = this.#context;
    const every = redis.state.change_detection === "timed" ? settings.pollMs : settings.rereadMs;
    clearTimeout(this.#reread);
    if (every > 0) this.#reread = setTimeout(() => this.#outdate(), every).unref();
    clearTimeout(this.#due);
    const due = this.#feed.due?.();
    if (due === undefined) return;
    this.#due = setTimeout(
      () => {
        this.#stale ??= { keys: new Set() };
        this.#schedule();
      },
      Math.min(2 ** 31 - 1, Math.max(1, (due - reading.now()) * 1000 + 1)),
    ).unref();
  }

  #apply(changes: readonly Change[], noticedAt: number | undefined): void {
    for (const { id, value, aged } of changes) {
      const known = this.#picture.get(id);
      let members: string;
      if (aged) {
        this.#picture.delete(id);
        this.#welcome = undefined;
        continue;
      }
      if (value) {
        members = body(value);
        this.#picture.set(id, members);
        if (this.#picture.size > (this.#live.retain ?? Number.POSITIVE_INFINITY)) {
          const [oldest = id] = this.#picture.keys();
          this.#picture.delete(oldest);
        }
      } else if (known !== undefined) {
        this.#picture.delete(id);
        members = `${this.#identity(known)}"removed":true,`;
      } else continue;
      this.#welcome = undefined;
      const updateId = ++this.#updateId;
      if (this.#audience.size > 0) this.#audience.send(new Update(id, updateId, `${this.#head}${members}`), noticedAt);
    }
  }

  #makeWelcome(): Batch {
    const { epoch } = this.#context.settings;
    const lastId = this.#updateId;
    const end = `"snapshot":true,"epoch":${JSON.stringify(epoch)},"update_id":${lastId}}`;
    const frames = Array.from(this.#picture.values(), (members) => textFrame(`${this.#head}${members}${end}`));
    // Where the picture is empty, this is the only place that tells a newcomer which id comes next.
    const status = { ...(this.#trouble ? this.#status : this.#liveStatus()), update_id: lastId };
    const welcome = { chunk: together([...frames, textFrame(JSON.stringify(status))]), size: frames.length, lastId };
    // Whom one follows, others may follow soon; what has one follower only is not worth the memory.
    if (this.#audience.size > 1) this.#welcome = welcome;
    return welcome;
  }

  /** The members that tell an item from others, of one that is gone. */
  #identity(members: string): string {
    const known = JSON.parse(`{${members}"":0}`) as Record<string, unknown>;
    return body(Object.fromEntries((this.#live.identity ?? []).map((name) => [name, known[name]])));
  }
}
