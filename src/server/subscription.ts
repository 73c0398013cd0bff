import type { Batch, News, Subscriber, Update } from "./audience.ts";
import type { Topic } from "./topic.ts";

/** Where the frames of a subscription go. */
export interface Sink {
  /** Whether the socket takes no more for now. */
  readonly congested: boolean;
  /** So many updates, in one chunk. */
  updates(chunk: Buffer, count: number): void;
  status(frame: Buffer): void;
}

// Events have nothing that could make an older one superfluous, so for those that lag only the last ones are kept.
const maxPendingEvents = 10_000;

/** What waits for a subscriber that is slower than its topic. */
interface Waiting {
  readonly updates: Map<string, Update>;
  /** Nothing is sent before, by the clock of `performance.now()`. */
  quietUntil: number;
  timer: NodeJS.Timeout | undefined;
}

// The intervals of a subscription with one stream that wants every change: the usual case takes no memory of its own.
const everyChange: readonly number[] = [0];

/**
 * One connection's place at one topic, shared by its streams of that topic. Frames go straight through, unless the
 * connection is congested or asked for an interval: then only the latest update of every item waits here.
 */
export class Subscription implements Subscriber {
  readonly topic: Topic;
  place = -1;
  readonly #sink: Sink;
  // What each of its streams asked for, in milliseconds.
  #intervals: readonly number[] = [];
  #lastId = 0;
  #waiting: Waiting | undefined;

  constructor(topic: Topic, sink: Sink) {
    this.topic = topic;
    this.#sink = sink;
  }

  /** One more stream of this topic: the picture comes (again), and the shortest interval holds. */
  add(intervalMs: number): void {
    const isFirst = this.#intervals.length === 0;
    this.#intervals = isFirst && intervalMs === 0 ? everyChange : [...this.#intervals, intervalMs];
    this.topic.join(this);
  }

  /** One stream less; tells whether it was the last. */
  delete(intervalMs: number): boolean {
    this.#intervals = this.#intervals.toSpliced(this.#intervals.indexOf(intervalMs), 1);
    if (this.#intervals.length > 0) return false;
    this.#forget();
    this.topic.leave(this);
    return true;
  }

  begin({ chunk, size, lastId }: Batch): void {
    // What was waiting is part of the picture.
    this.#forget();
    this.#lastId = lastId;
    this.#sink.updates(chunk, size);
  }

  deliver({ chunk, size, lastId, updates }: News): void {
    if (this.#waiting === undefined && !this.#isPaced && !this.#sink.congested) {
      this.#lastId = lastId;
      this.#sink.updates(chunk, size);
    } else for (const update of updates) this.#deliverOne(update);
  }

  tell(frame: Buffer): void {
    if (!this.#sink.congested) this.flush();
    this.#sink.status(frame);
  }

  /** The socket takes frames again: what waits goes out, unless its interval is not over. */
  relieved(): void {
    if (this.#waiting === undefined) return;
    if (performance.now() >= this.#waiting.quietUntil) this.flush();
    else this.#flushLater(this.#waiting);
  }

  /** Sends what waits, each with the number of updates that were left out before it. */
  flush(): void {
    const waiting = this.#waiting;
    if (waiting === undefined || waiting.updates.size === 0) return;
    for (const update of waiting.updates.values()) {
      const skipped = update.updateId - this.#lastId - 1;
      this.#send(update, skipped === 0 ? update.frame : update.frameAfter(skipped));
    }
    waiting.updates.clear();
    this.#rest(waiting);
  }

  get #isPaced(): boolean {
    return this.#intervals !== everyChange && Math.min(...this.#intervals) > 0;
  }

  #deliverOne(update: Update): void {
    const waiting = this.#waiting ?? { updates: new Map(), quietUntil: 0, timer: undefined };
    this.#waiting = waiting;
    if (!this.#sink.congested && waiting.updates.size === 0 && performance.now() >= waiting.quietUntil) {
      this.#send(update, update.frame);
      this.#rest(waiting);
      return;
    }
    // Deleted first, so that what waits stays in the order of its ids.
    waiting.updates.delete(update.id);
    waiting.updates.set(update.id, update);
    if (this.topic.isOfEvents && waiting.updates.size > maxPendingEvents) {
      const [oldest = update.id] = waiting.updates.keys();
      waiting.updates.delete(oldest);
    }
    if (!this.#sink.congested) this.#flushLater(waiting);
  }

  #send(update: Update, frame: Buffer): void {
    this.#lastId = update.updateId;
    this.#sink.updates(frame, 1);
  }

  /** Something was sent: the interval begins. Where there is none, nothing waits any more. */
  #rest(waiting: Waiting): void {
    if (this.#isPaced) waiting.quietUntil = performance.now() + Math.min(...this.#intervals);
    else this.#forget();
  }

  #forget(): void {
    clearTimeout(this.#waiting?.timer);
    this.#waiting = undefined;
  }

  #flushLater(waiting: Waiting): void {
    waiting.timer ??= setTimeout(
      () => {
        waiting.timer = undefined;
        if (!this.#sink.congested) this.flush();
      },
      Math.max(0, waiting.quietUntil - performance.now()),
    );
  }
}
