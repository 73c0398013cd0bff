import { EndOfTurn } from "./end-of-turn.ts";
import type { Lag } from "./lag.ts";
import { textFrame } from "./text-frame.ts";

// What an update takes that waits, besides its text: objects, and the slot in the map.
const bytesPerUpdate = 200;

/** One update on its way: its frame is made once, whoever gets it in the turn in which it came. */
export class Update {
  /** Which item it concerns; a later update of the same item makes it superfluous. */
  readonly id: string;
  readonly updateId: number;
  readonly #members: string;
  #frame: Buffer | undefined;

  /** @param members the beginning of the frame, with all members but those that count */
  constructor(id: string, updateId: number, members: string) {
    this.id = id;
    this.updateId = updateId;
    this.#members = members;
    this.#frame = textFrame(`${members}"update_id":${updateId}}`);
  }

  get frame(): Buffer {
    return this.#frame ?? textFrame(`${this.#members}"update_id":${this.updateId}}`);
  }

  /** How much memory it takes where it waits, more or less. */
  get bytes(): number {
    return this.#members.length + bytesPerUpdate;
  }

  /** The turn is over: whoever lets it wait shall not keep the memory that its frame shares with others. */
  forgetFrame(): void {
    this.#frame = undefined;
  }

  /** The same update for a subscriber that was spared some before it. */
  frameAfter(skipped: number): Buffer {
    return textFrame(`${this.#members}"skipped":${skipped},"update_id":${this.updateId}}`);
  }
}

/** Several updates that leave together, as one chunk of bytes. */
export interface Batch {
  readonly chunk: Buffer;
  readonly size: number;
  /** The id of the last of them. */
  readonly lastId: number;
}

/** The updates of one turn. */
export interface News extends Batch {
  readonly updates: readonly Update[];
}

/** Whoever follows a topic. */
export interface Subscriber {
  /** Its place among the subscribers; kept by the topic, -1 while it is not one of them. */
  place: number;
  /** The whole picture, which replaces what was known, and the status that closes it. */
  begin(welcome: Batch): void;
  deliver(news: News): void;
  /** A stream_status. */
  tell(frame: Buffer): void;
}

/** Frames as one chunk. */
export function together(frames: readonly Buffer[]): Buffer {
  const [only] = frames;
  return frames.length === 1 && only ? only : Buffer.concat(frames);
}

const due = new EndOfTurn<Audience>();

/** Those who follow a topic. The updates of one turn of the event loop reach them together, as one chunk. */
export class Audience {
  readonly #lag: Lag;
  readonly #subscribers: Subscriber[] = [];
  #news: Update[] = [];
  #noticedAt: number | undefined;

  /** @param lag where it is counted how old news is when it leaves */
  constructor(lag: Lag) {
    this.#lag = lag;
  }

  /** How many there are. */
  get size(): number {
    return this.#subscribers.length;
  }

  /** One more; joining again changes nothing. */
  add(subscriber: Subscriber): void {
    if (subscriber.place < 0) subscriber.place = this.#subscribers.push(subscriber) - 1;
  }

  /** One less, who is sent nothing more; who is none of them may leave as well. */
  delete(subscriber: Subscriber): void {
    const { place } = subscriber;
    if (place < 0) return;
    const last = this.#subscribers.pop();
    if (last && last !== subscriber) {
      this.#subscribers[place] = last;
      last.place = place;
    }
    subscriber.place = -1;
  }

  /** Sends an update at the end of this turn. `noticedAt`: when Redis told of it, if it did. */
  send(update: Update, noticedAt: number | undefined): void {
    if (this.#news.length === 0) due.add(this);
    this.#noticedAt ??= noticedAt;
    this.#news.push(update);
  }

  /** Sends a stream_status, after the updates that are due. */
  tell(frame: Buffer): void {
    this.flush();
    for (const subscriber of this.#subscribers) subscriber.tell(frame);
  }

  /** Sends the updates that are due now. */
  flush(): void {
    const updates = this.#news;
    const last = updates.at(-1);
    if (!last) return;
    this.#news = [];
    const chunk = together(updates.map(({ frame }) => frame));
    const news = { updates, chunk, size: updates.length, lastId: last.updateId };
    for (const subscriber of this.#subscribers) subscriber.deliver(news);
    for (const update of updates) update.forgetFrame();
    if (this.#noticedAt !== undefined) this.#lag.sent(this.#noticedAt);
    this.#noticedAt = undefined;
  }
}
