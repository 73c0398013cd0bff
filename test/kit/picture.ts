import { isDeepStrictEqual } from "node:util";
import { operations } from "../../src/operations/index.ts";
import type { LiveQuery, Operation } from "../../src/operations/operation.ts";
import { dataOf } from "./answers.ts";
import type { Frame, Wire } from "./gateway.ts";

const liveByType = new Map<unknown, LiveQuery>(
  Object.values<Operation>(operations).flatMap((one) => (one.kind === "live" ? [[one.type, one] as const] : [])),
);

/**
 * What one connection knows of one topic, made of nothing but the frames that it got: a snapshot replaces, `removed`
 * deletes, of every item the latest counts. Throws at the first frame that breaks the rules of the protocol.
 */
export class TopicPicture {
  readonly #topic: string;
  readonly #items = new Map<string, Frame>();
  #snapshot: Frame[] = [];
  #lastId: number | undefined;
  #epoch: unknown;
  #state: unknown;
  #last: Frame[] = [];

  constructor(topic: string) {
    this.#topic = topic;
  }

  /** What is known now, in the order in which it became known. */
  get items(): Frame[] {
    return [...this.#items.values()];
  }

  /** The state that the last status told. */
  get state(): unknown {
    return this.#state;
  }

  /** Takes the next frame of the connection; those of other topics mean nothing to it. */
  take(frame: Frame): void {
    if (frame["topic"] !== this.#topic) return;
    this.#last = [...this.#last.slice(-4), frame];
    if (frame["type"] === "stream_status") this.#status(frame);
    else if (frame["snapshot"] === true) this.#snapshot.push(frame);
    else this.#change(frame);
  }

  #status(frame: Frame): void {
    const { state, count, epoch, update_id: id } = frame;
    this.#state = state;
    // With an id it says that the picture is whole, be it empty; without, only how the feed is.
    if (id === undefined) {
      if (this.#snapshot.length > 0) this.#wrong("a snapshot without an end", frame);
      return;
    }
    if (this.#snapshot.some((item) => item["update_id"] !== id || item["epoch"] !== epoch))
      this.#wrong("a snapshot of another count", frame);
    if (this.#epoch === epoch && (id as number) < (this.#lastId ?? 0)) this.#wrong("a snapshot that runs back", frame);
    if (state === "live" && count !== this.#snapshot.length) this.#wrong("a snapshot of another size", frame);
    this.#items.clear();
    for (const item of this.#snapshot) this.#items.set(identityOf(item), dataOf(item));
    this.#lastId = id as number;
    this.#epoch = epoch;
    this.#snapshot = [];
  }

  #change(frame: Frame): void {
    if (this.#snapshot.length > 0) this.#wrong("an update within a snapshot", frame);
    const { update_id: id, skipped = 0, removed } = frame as { update_id: number; skipped?: number; removed?: true };
    if (id !== (this.#lastId ?? Number.NaN) + 1 + skipped) this.#wrong(`a gap after ${this.#lastId}`, frame);
    this.#lastId = id;
    const identity = identityOf(frame);
    if (isEvent(frame) && this.#items.has(identity)) this.#wrong("an event that came before", frame);
    if (removed) this.#items.delete(identity);
    else this.#items.set(identity, dataOf(frame));
  }

  #wrong(what: string, frame: Frame): never {
    throw new Error(`${what}: ${JSON.stringify(frame)}; the last frames are ${JSON.stringify(this.#last)}`);
  }
}

/** What tells the item of an update from others of its topic. */
export function identityOf(update: Frame): string {
  const identity = liveByType.get(update["type"])?.identity;
  // Every event is an item of its own; a snapshot brings some of them again.
  return JSON.stringify(identity ? identity.map((name) => update[name]) : dataOf(update));
}

function isEvent(update: Frame): boolean {
  return liveByType.get(update["type"])?.identity === null;
}

/** The same of a raw connection that keeps its frames. */
export class Picture {
  readonly #wire: Wire;
  readonly #picture: TopicPicture;
  #read: number;

  /** `from`: the first frame that counts; earlier ones belong to a stream that is over. */
  constructor(wire: Wire, topic: string, from = 0) {
    this.#wire = wire;
    this.#picture = new TopicPicture(topic);
    this.#read = from;
  }

  /** What is known now, in the order in which it became known. */
  get items(): Frame[] {
    return this.#caughtUp().items;
  }

  /** The state that the last status told. */
  get state(): unknown {
    return this.#caughtUp().state;
  }

  #caughtUp(): TopicPicture {
    const { frames } = this.#wire;
    while (this.#read < frames.length) this.#picture.take(frames[this.#read++] as Frame);
    return this.#picture;
  }
}

/** Whether two sets of items are the same, in whatever order. */
export function sameItems(some: readonly unknown[], others: readonly unknown[]): boolean {
  const sorted = (items: readonly unknown[]) => items.map(canonical).toSorted();
  return isDeepStrictEqual(sorted(some), sorted(others));
}

/** JSON with the members of every object in order of their names. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
