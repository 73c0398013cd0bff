import type { Subscriber, Topic, Update } from "./topic.ts";

/** Where the frames of a subscription go. */
export interface Sink {
  /** Whether the socket takes no more for now. */
  readonly congested: boolean;
  update(frame: Buffer): void;
  status(frame: Buffer): void;
}

// Events have nothing that could make an older one superfluous, so for those that lag only the last ones are kept.
const maxPendingEvents = 10_000;

/**
 * One connection's place at one topic, shared by its streams of that topic. Frames go straight through, unless the
 * connection is congested or asked for an interval: then only the latest update of every item waits here.
 */
export class Subscription implements Subscriber {
  readonly topic: Topic;
  readonly #sink: Sink;
  readonly #pending = new Map<string, Update>();
  /** The interval that each stream of it asked for, in milliseconds. */
  readonly #intervals = new Map<string, number>();
  #intervalMs = 0;
  #lastId = 0;
  #quietUntil = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(topic: Topic, sink: Sink) {
    this.topic = topic;
    this.#sink = sink;
  }

  /** One more stream of this topic: the picture comes (again), and the shortest interval holds. */
  add(stream: string, intervalMs: number): void {
    this.#intervals.set(stream, intervalMs);
    this.#intervalMs = Math.min(...this.#intervals.values());
    this.topic.join(this);
  }

  /** One stream less; tells whether it was the last. */
  delete(stream: string): boolean {
    this.#intervals.delete(stream);
    if (this.#intervals.size > 0) {
      this.#intervalMs = Math.min(...this.#intervals.values());
      return false;
    }
    this.#forget();
    this.topic.leave(this);
    return true;
  }

  begin(frames: readonly Buffer[], updateId: number): void {
    // What was waiting is part of the picture.
    this.#forget();
    this.#lastId = updateId;
    for (const frame of frames) this.#sink.update(frame);
  }

  deliver(update: Update): void {
    if (!this.#sink.congested && this.#pending.size === 0 && this.#mayPass()) {
      this.#lastId = update.updateId;
      this.#sink.update(update.frame);
      return;
    }
    // Deleted first, so that what waits stays in the order of its ids.
    this.#pending.delete(update.id);
    this.#pending.set(update.id, update);
    if (this.topic.isOfEvents && this.#pending.size > maxPendingEvents) {
      const [oldest = update.id] = this.#pending.keys();
      this.#pending.delete(oldest);
    }
    if (!this.#sink.congested) this.#flushLater();
  }

  tell(frame: Buffer): void {
    if (!this.#sink.congested) this.flush();
    this.#sink.status(frame);
  }

  /** The socket takes frames again: what waits goes out, unless its interval is not over. */
  relieved(): void {
    if (performance.now() >= this.#quietUntil) this.flush();
    else this.#flushLater();
  }

  /** Sends what waits, each with the number of updates that were left out before it. */
  flush(): void {
    if (this.#pending.size === 0) return;
    this.#quietUntil = performance.now() + this.#intervalMs;
    for (const update of this.#pending.values()) {
      const skipped = update.updateId - this.#lastId - 1;
      this.#lastId = update.updateId;
      this.#sink.update(skipped === 0 ? update.frame : update.frameAfter(skipped));
    }
    this.#pending.clear();
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#quietUntil = 0;
    this.#pending.clear();
  }

  #mayPass(): boolean {
    if (this.#intervalMs === 0) return true;
    const now = performance.now();
    if (now < this.#quietUntil) return false;
    this.#quietUntil = now + this.#intervalMs;
    return true;
  }

  #flushLater(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        if (!this.#sink.congested) this.flush();
      },
      Math.max(0, this.#quietUntil - performance.now()),
    );
  }
}
