import { Buckets, latencyBounds } from "./buckets.ts";

/**
 * How old news is when it leaves: from the moment at which Redis told of it until it was written to the sockets of all
 * who follow its topic. The clock is looked at once per turn of the event loop at either end, and never per subscriber.
 */
export class Lag {
  /** In seconds, one for every topic that had news in a turn. */
  readonly seconds = new Buckets(latencyBounds);
  #now: number | undefined;
  #sent: number[] = [];

  /** The moment at which what is heard in this turn came, in milliseconds. */
  notice(): number {
    if (this.#now !== undefined) return this.#now;
    process.nextTick(this.#turnEnds);
    this.#now = performance.now();
    return this.#now;
  }

  /** The news of one topic, which came then, is with the outboxes of all that follow it. */
  sent(noticedAt: number): void {
    // Outboxes have their turn before: they were asked for it before this.
    if (this.#sent.length === 0) process.nextTick(this.#written);
    this.#sent.push(noticedAt);
  }

  readonly #turnEnds = (): void => {
    this.#now = undefined;
  };

  readonly #written = (): void => {
    const sent = this.#sent;
    this.#sent = [];
    const now = performance.now();
    for (const noticedAt of sent) this.seconds.add((now - noticedAt) / 1_000);
  };
}
