import type { Update } from "../protocol/frames.ts";
import { Keys } from "./keys.ts";

/** An update of which only the envelope is known. */
export type AnyUpdate = Update<Record<string, unknown>, string>;

/** An update on its way to the reader: with the counting its id belongs to, and what identifies its item. */
export interface Arrival {
  readonly position: Position;
  readonly update: AnyUpdate;
  readonly epoch: string | undefined;
  /** Undefined where every update is an event of its own. */
  readonly key: string | undefined;
}

/** Where a stream stands in one topic: which id comes next, which snapshot is coming in, and what the reader knows. */
export class Position {
  readonly #topic: string;
  readonly #identity: readonly string[];
  /** What identifies its items; nothing does where updates are events. */
  readonly #keys: Keys | undefined;
  readonly #retain: number;
  /** The items that the reader was given, by key. */
  readonly #known = new Map<string, AnyUpdate>();
  #epoch: string | undefined;
  #lastId = 0;
  #isWhole = false;
  /** The snapshot that is coming in: how many frames of it came, and which items they name. */
  #incoming: { frames: number; readonly keys: Set<string> } | undefined;
  /** The id that the reader took last, and the counting it belongs to. */
  #takenId: number | undefined;
  #takenEpoch: string | undefined;

  constructor(topic: string, identity: readonly string[] | null, retain = Number.POSITIVE_INFINITY) {
    this.#topic = topic;
    this.#identity = identity ?? [];
    this.#keys = identity ? new Keys(topic, identity) : undefined;
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

  /** Whether to tell the reader: of the end of what it never heard of, it need not hear either. */
  isWanted({ update, key }: Arrival): boolean {
    return !update.removed || key === undefined || this.#known.has(key);
  }

  /** The picture may be wrong: only a snapshot tells. */
  doubt(): void {
    this.#isWhole = false;
    this.#incoming = undefined;
  }

  /** A frame of a snapshot came. */
  show(update: AnyUpdate): Arrival {
    const key = this.#keys?.of(update);
    this.#isWhole = false;
    this.#incoming ??= { frames: 0, keys: new Set() };
    this.#incoming.frames++;
    if (key !== undefined) this.#incoming.keys.add(key);
    return { position: this, update, epoch: update.epoch, key };
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
    if (this.#takenId === undefined) {
      this.#takenId = id;
      this.#takenEpoch = epoch;
    }
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
  arrival(update: AnyUpdate): Arrival {
    return { position: this, update, epoch: this.#epoch, key: this.#keys?.of(update) };
  }

  /** The reader takes an update: it is told how many were left out before it, here or on the way. */
  handOut({ update, epoch, key }: Arrival): AnyUpdate {
    const [takenId, takenEpoch] = [this.#takenId, this.#takenEpoch];
    this.#takenId = update.update_id;
    this.#takenEpoch = epoch;
    if (key !== undefined) this.#learn(update, key);
    if (update.snapshot || takenId === undefined) return update;
    // Another counting begins with an update whose snapshot was empty, or has been replaced before it was taken.
    if (takenEpoch !== epoch) return { ...update, ...(epoch !== undefined && { epoch }) };
    const skipped = update.update_id - takenId - 1;
    return skipped === (update.skipped ?? 0) ? update : { ...update, skipped };
  }

  #learn(update: AnyUpdate, key: string): void {
    if (update.removed) this.#known.delete(key);
    else if (!this.#known.has(key)) this.#known.set(key, update);
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
    const update = { ...identity, ...envelope, ...(epoch !== undefined && { epoch }) };
    return { position: this, update, epoch, key };
  }
}
