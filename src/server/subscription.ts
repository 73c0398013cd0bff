import type { Batch, News, Subscriber, Update } from "./audience.ts";
import type { Topic } from "./topic.ts";

/** Where the frames of a subscription go. */
export interface Sink {
  /** Whether the socket takes no more for now. */
  readonly congested: boolean;
  /** So many updates, in one chunk. */
  updates(chunk: Buffer, count: number): void;
  /** The same where it may be much. */
  manyUpdates(chunk: Buffer, count: number): void;
  status(frame: Buffer): void;
  /** So many updates were left out, and are told as `skipped`. */
  skipped(count: number): void;
  /** So many bytes more wait here, or fewer; tells whether too many do. */
  keep(bytes: number): boolean;
  /** Calls `relieved` as soon as the socket takes frames again. */
  later(subscription: Subscription): void;
}

// Events have nothing that could make an older one superfluous, so for those that lag only the last ones are kept.
const maxPendingEvents = 10_000;

/** What a subscription needs that is slower than its topic, or shared. Most are neither, and there are very many. */
interface Pace {
  /** What each of its streams asked for, in milliseconds. */
  readonly intervals: number[];
  readonly waiting: Map<string, Update>;
  /** The last stream_status, where it has to wait. */
  status: Buffer | undefined;
  /** Whether the picture has to wait. */
  isPictureDue: boolean;
  /** The id of what was sent last. */
  lastId: number;
  /** Nothing is sent before, by the clock of `performance.now()`. */
  quietUntil: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * One connection's place at one topic, shared by its streams of that topic. Frames go straight through, unless the
 * connection is congested or asked for an interval: then only the latest update of every item waits here. Where even that
 * is too much, nothing waits, and the picture comes instead.
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
    const isFirst = this.place < 0 && this.#pace === undefined;
    const mustWait = this.place < 0 && this.#sink.congested;
    if (mustWait) this.#sink.later(this);
    else this.topic.join(this);
    if (isFirst && intervalMs === 0 && !mustWait) return;
    this.#pace ??= paceOf(isFirst ? [] : [0], this.topic.updateId);
    this.#pace.intervals.push(intervalMs);
    this.#pace.isPictureDue ||= mustWait;
  }

  /** One stream less; tells whether it was the last. */
  delete(intervalMs: number): boolean {
    const { intervals = [intervalMs] } = this.#pace ?? {};
    intervals.splice(intervals.indexOf(intervalMs), 1);
    if (intervals.length > 0) return false;
    if (this.#pace) this.#forget(this.#pace);
    this.topic.leave(this);
    return true;
  }

  begin({ chunk, size, lastId }: Batch): void {
    if (this.#sink.congested) this.#pace ??= paceOf([0], lastId);
    const pace = this.#pace;
    // What waited is part of the picture; but a stream that was told it knows that the picture is nothing new.
    if (pace && !this.#sendWaiting(pace)) {
      pace.isPictureDue = true;
      return;
    }
    if (pace) {
      this.#forget(pace);
      pace.lastId = lastId;
    }
    this.#sink.manyUpdates(chunk, size);
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
    if (!this.#sink.congested) {
      this.#sink.status(frame);
      return;
    }
    // All that came before it was sent, or there would be a pace.
    this.#pace ??= paceOf([0], this.topic.updateId);
    this.#pace.status = frame;
    this.#sink.later(this);
  }

  /** The socket takes frames again: what waits goes out, unless its interval is not over. */
  relieved(): void {
    const pace = this.#pace;
    if (pace === undefined || pace.intervals.length === 0) return;
    if (pace.status || pace.isPictureDue || performance.now() >= pace.quietUntil) this.flush();
    else this.#flushLater(pace);
  }

  /** Sends what waits, each with the number of updates that were left out before it, as far as the socket takes it. */
  flush(): void {
    const pace = this.#pace;
    if (pace === undefined || !this.#sendWaiting(pace)) return;
    if (pace.isPictureDue) this.topic.join(this);
    else if (pace.status) this.#sink.status(pace.status);
    pace.status = undefined;
  }

  /** Tells whether nothing waits any more, and more may be sent. */
  #sendWaiting(pace: Pace): boolean {
    for (const update of pace.waiting.values()) {
      if (this.#sink.congested) break;
      pace.waiting.delete(update.id);
      this.#sink.keep(-update.bytes);
      const skipped = update.updateId - pace.lastId - 1;
      pace.lastId = update.updateId;
      pace.quietUntil = performance.now() + intervalOf(pace);
      if (skipped > 0) this.#sink.skipped(skipped);
      this.#sink.manyUpdates(skipped === 0 ? update.frame : update.frameAfter(skipped), 1);
    }
    if (this.#sink.congested) this.#sink.later(this);
    return !this.#sink.congested;
  }

  #deliverOne(update: Update, pace: Pace): void {
    const { waiting } = pace;
    const { isOfEvents } = this.topic;
    if (pace.isPictureDue && !isOfEvents) return;
    if (!this.#sink.congested && waiting.size === 0 && performance.now() >= pace.quietUntil) {
      pace.lastId = update.updateId;
      pace.quietUntil = performance.now() + intervalOf(pace);
      this.#sink.updates(update.frame, 1);
      return;
    }
    const before = waiting.get(update.id);
    // Deleted first, so that what waits stays in the order of its ids.
    waiting.delete(update.id);
    waiting.set(update.id, update);
    const isFull = this.#sink.keep(update.bytes - (before?.bytes ?? 0));
    if (isFull || (isOfEvents && waiting.size > maxPendingEvents)) this.#giveWay(pace);
    if (this.#sink.congested) this.#sink.later(this);
    else this.#flushLater(pace);
  }

  /** Too much waits: of events the oldest are left out; of everything else all, because the picture has it. */
  #giveWay(pace: Pace): void {
    if (!this.topic.isOfEvents) {
      this.#drop(pace);
      pace.isPictureDue = true;
      return;
    }
    for (const oldest of pace.waiting.values()) {
      // The last stays: it tells how many are missing.
      if (pace.waiting.size === 1) return;
      pace.waiting.delete(oldest.id);
      if (!this.#sink.keep(-oldest.bytes)) return;
    }
  }

  /** Nothing waits any more. */
  #forget(pace: Pace): void {
    clearTimeout(pace.timer);
    pace.timer = undefined;
    pace.status = undefined;
    pace.isPictureDue = false;
    pace.quietUntil = 0;
    this.#drop(pace);
  }

  #drop({ waiting }: Pace): void {
    let bytes = 0;
    for (const update of waiting.values()) bytes += update.bytes;
    waiting.clear();
    this.#sink.keep(-bytes);
  }

  #flushLater(pace: Pace): void {
    pace.timer ??= setTimeout(
      () => {
        pace.timer = undefined;
        this.flush();
      },
      Math.max(0, pace.quietUntil - performance.now()),
    );
  }
}

function paceOf(intervals: number[], lastId: number): Pace {
  return {
    intervals,
    waiting: new Map(),
    status: undefined,
    isPictureDue: false,
    lastId,
    quietUntil: 0,
    timer: undefined,
  };
}

const intervalOf = ({ intervals }: Pace) => Math.min(...intervals);

const isIdle = (pace: Pace) => pace.waiting.size === 0 && !pace.isPictureDue && intervalOf(pace) === 0;
