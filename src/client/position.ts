import type { Update } from "../protocol/frames.ts";

/** An update of which only the envelope is known. */
export type AnyUpdate = Update<Record<string, unknown>, string>;

/** An update on its way to the reader: with the counting its id belongs to, and what identifies its item. */
export interface Arrival {
  readonly update: AnyUpdate;
  readonly epoch: string | undefined;
  /** Undefined where every update is an event of its own. */
  readonly key: string | undefined;
}

/** Where a stream stands in one topic: which id comes next, which snapshot is coming in, and what the reader knows. */
export class Position {
  readonly #topic: string;
  readonly #identity: readonly string[];
  readonly #retain: number;
  /** The items that the reader was given, by key. */
  readonly #known = new Map<string, AnyUpdate>();
  #epoch: string | undefined;
  #lastId = 0;
  #isWhole = false;
  /** The snapshot that is coming in: how many frames of it came, and which items they name. */
  #incoming: { frames: number; readonly keys: Set<string> } | undefined;
  /** What the reader took last. */
  #taken: { readonly id: number; readonly epoch: string | undefined } | undefined;

  constructor(topic: string, identity: readonly string[], retain = Number.POSITIVE_INFINITY) {
    this.#topic = topic;
    this.#identity = identity;
    this.#retain = retain;
  }

  /** Whether the picture is whole: if not, nothing but a snapshot helps. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Whether a snapshot is coming in. */
  get isIncoming(): boolean {
    return this.#incoming !== undefined;
  }

  /** Whether the picture is whole, and just the one that a snapshot of this counting and id shows. */
  isAt(epoch: string | undefined, id: number): boolean {
    return this.#isWhole && this.#epoch === epoch && this.#lastId === id;
  }

  /** Whether the reader was given an item. */
  knows(key: string): boolean {
    return this.#known.has(key);
  }

  /** The picture may be wrong: only a snapshot tells. */
  doubt(): void {
    this.#isWhole = false;
    this.#incoming = undefined;
  }

  /** A frame of a snapshot came. */
  show(update: AnyUpdate, key: string | undefined): Arrival {
    this.#isWhole = false;
    this.#incoming ??= { frames: 0, keys: new Set() };
    this.#incoming.frames++;
    if (key !== undefined) this.#incoming.keys.add(key);
    return { update, epoch: update.epoch, key };
  }

  /** The topic is none of the stream's any more: gives what tells the reader that its items are gone. */
  vanish(): Arrival[] {
    return [...this.#known].map(([key, item]) => this.#removal(key, item));
  }

  /** A snapshot is over, and whole if it had as many frames as it should: gives what tells the reader what is gone. */
  complete(epoch: string | undefined, id: number, count: number | undefined): Arrival[] {
    const { frames, keys } = this.#incoming ?? { frames: 0, keys: new Set() };
    this.doubt();
    if (count !== undefined && count !== frames) return [];
    this.#isWhole = true;
    this.#epoch = epoch;
    this.#lastId = id;
    this.#taken ??= { id, epoch };
    // A picture that is full may only have grown past the older ones.
    if (keys.size >= this.#retain) return [];
    return [...this.#known].filter(([key]) => !keys.has(key)).map(([key, item]) => this.#removal(key, item));
  }

  /** A change came: it is the next one, one that came before, or one that tells of another that did not come. */
  follow({ update_id: id, skipped = 0 }: AnyUpdate): "next" | "again" | "gap" {
    if (!this.#isWhole) return "gap";
    if (id <= this.#lastId) return "again";
    if (id !== this.#lastId + 1 + skipped) return "gap";
    this.#lastId = id;
    return "next";
  }

  /** A change on its way to the reader. */
  arrival(update: AnyUpdate, key: string | undefined): Arrival {
    return { update, epoch: this.#epoch, key };
  }

  /** The reader takes an update: it is told how many were left out before it, here or on the way. */
  handOut(arrival: Arrival): Arrival {
    const { update, epoch, key } = arrival;
    const taken = this.#taken;
    this.#taken = { id: update.update_id, epoch };
    if (key !== undefined) this.#learn(update, key);
    if (update.snapshot || !taken) return arrival;
    // Another counting begins with an update whose snapshot was empty, or has been replaced before it was taken.
    if (taken.epoch !== epoch) return { ...arrival, update: { ...update, ...(epoch !== undefined && { epoch }) } };
    const skipped = update.update_id - taken.id - 1;
    if (skipped === (update.skipped ?? 0)) return arrival;
    return { ...arrival, update: { ...update, skipped } };
  }

  #learn(update: AnyUpdate, key: string): void {
    if (update.removed) this.#known.delete(key);
    else this.#known.set(key, update);
    if (this.#known.size <= this.#retain) return;
    const [oldest = key] = this.#known.keys();
    this.#known.delete(oldest);
  }

  #removal(key: string, item: AnyUpdate): Arrival {
    const epoch = this.#epoch;
    const identity = Object.fromEntries(this.#identity.map((name) => [name, item[name]]));
    const envelope = {
      type: item.type,
      topic: this.#topic,
      removed: true,
      snapshot: true,
      update_id: this.#lastId,
    } as const;
    return { update: { ...identity, ...envelope, ...(epoch !== undefined && { epoch }) }, epoch, key };
  }
}
