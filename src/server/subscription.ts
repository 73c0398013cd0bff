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

/** What a subscription needs that is slower than its topic, or shared. Most are neither, and there are very many. */
interface Pace {
  /** What each of its streams asked for, in milliseconds. */
  readonly intervals: number[];
  readonly waiting: Map<string, Update>;
  /** The id of what was sent last. */
  lastId: number;
  /** Nothing is sent before, by the clock of `performance.now()`. */
  quietUntil: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * One connection's place at one topic, shared by its streams of that topic. Frames go straight through, unless the
 * connection is congested or asked for an interval: then only the latest update of every item waits here.
 */
export class Subscription implements Subscriber {
  readonly topic: Topic;
  place = -1;
  readonly #sink: Sink;
  /** Missing while there is one stream, which wants every change, and nothing waits. */
  #pace: Pace | undefined;

  constructor(topic: Topic, sink: Sink) {
    this.topic = topic;
    this.#sink = sink;
  }

  /** One more stream of this topic: the picture comes (again), and the shortest interval holds. */
  add(intervalMs: number): void {
    const isFirst = this.place < 0;
    if (!isFirst || intervalMs > 0) {
      // The picture will say which id was the last.
      this.#pace ??= paceOf(isFirst ? [] : [0], 0);
      this.#pace.intervals.push(intervalMs);
    }
    this.topic.join(this);
  }

  /** One stream less; tells whether it was the last. */
  delete(intervalMs: number): boolean {
    const { intervals = [intervalMs] } = this.#pace ?? {};
    intervals.splice(intervals.indexOf(intervalMs), 1);
    if (intervals.length > 0) return false;
    this.#forget();
    this.topic.leave(this);
    return true;
  }

  begin({ chunk, size, lastId }: Batch): void {
    // What was waiting is part of the picture.
    this.#forget();
    if (this.#pace) this.#pace.lastId = lastId;
    this.#sink.updates(chunk, size);
  }

  deliver({ chunk, size, lastId, updates }: News): void {
    const pace = this.#pace;
    if (!this.#sink.congested && (pace === undefined || isIdle(pace))) {
      if (pace) pace.lastId = lastId;
      this.#sink.updates(chunk, size);
      return;
    }
    // Ids are without gaps: all before the first of these was sent.
    this.#pace ??= paceOf([0], lastId - size);
    for (const update of updates) this.#deliverOne(update, this.#pace);
  }

  tell(frame: Buffer): void {
    if (!this.#sink.congested) this.flush();
    this.#sink.status(frame);
  }

  /** The socket takes frames again: what waits goes out, unless its interval is not over. */
  relieved(): void {
    if (this.#pace === undefined) return;
    if (performance.now() >= this.#pace.quietUntil) this.flush();
    else this.#flushLater(this.#pace);
  }

  /** Sends what waits, each with the number of updates that were left out before it. */
  flush(): void {
    const pace = this.#pace;
    if (pace === undefined || pace.waiting.size === 0) return;
    for (const update of pace.waiting.values()) {
      const skipped = update.updateId - pace.lastId - 1;
      this.#send(update, skipped === 0 ? update.frame : update.frameAfter(skipped), pace);
    }
    pace.waiting.clear();
  }

  #deliverOne(update: Update, pace: Pace): void {
    const { waiting } = pace;
    if (!this.#sink.congested && waiting.size === 0 && performance.now() >= pace.quietUntil) {
      this.#send(update, update.frame, pace);
      return;
    }
    // Deleted first, so that what waits stays in the order of its ids.
    waiting.delete(update.id);
    waiting.set(update.id, update);
    if (this.topic.isOfEvents && waiting.size > maxPendingEvents) {
      const [oldest = update.id] = waiting.keys();
      waiting.delete(oldest);
    }
    if (!this.#sink.congested) this.#flushLater(pace);
  }

  #send(update: Update, frame: Buffer, pace: Pace): void {
    pace.lastId = update.updateId;
    pace.quietUntil = performance.now() + intervalOf(pace);
    this.#sink.updates(frame, 1);
  }

  #forget(): void {
    if (this.#pace === undefined) return;
    clearTimeout(this.#pace.timer);
    this.#pace.timer = undefined;
    this.#pace.quietUntil = 0;
    this.#pace.waiting.clear();
  }

  #flushLater(pace: Pace): void {
    pace.timer ??= setTimeout(
      () => {
        pace.timer = undefined;
        if (!this.#sink.congested) this.flush();
      },
      Math.max(0, pace.quietUntil - performance.now()),
    );
  }
}

function paceOf(intervals: number[], lastId: number): Pace {
  return { intervals, waiting: new Map(), lastId, quietUntil: 0, timer: undefined };
}

const intervalOf = ({ intervals }: Pace) => Math.min(...intervals);

const isIdle = (pace: Pace) => pace.waiting.size === 0 && intervalOf(pace) === 0;
