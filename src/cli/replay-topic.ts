import type { LiveQuery } from "../operations/operation.ts";
import { isStatus, type RecordedFrame, type RecordedUpdate } from "./recording.ts";

/** Whoever is sent the frames of a topic. */
export interface Follower {
  take(frame: RecordedFrame): void;
}

type Status = Exclude<RecordedFrame, RecordedUpdate>;

/** A topic as it was at one moment of a recording: what a newcomer has to be shown, and who hears of what comes next. */
export class ReplayTopic {
  readonly name: string;
  readonly #live: LiveQuery;
  /** The last update of each item. */
  #picture = new Map<string, RecordedUpdate>();
  /** The picture that is coming in, which takes the place of the other one as a whole. */
  #incoming: RecordedUpdate[] = [];
  #status: Status | undefined;
  #epoch = "";
  #updateId = 0;
  readonly #followers = new Set<Follower>();
  #events = 0;
  #isOver = false;

  constructor(name: string, live: LiveQuery) {
    this.name = name;
    this.#live = live;
  }

  /** The next frame of the recording. */
  apply(frame: RecordedFrame): void {
    if (!isStatus(frame)) {
      if (frame.snapshot) {
        this.#incoming.push(frame);
        return;
      }
      this.#put(frame);
      this.#updateId = frame.update_id;
      this.#send(frame);
      return;
    }
    this.#status = frame;
    // With an id it ends a picture.
    if (frame.update_id !== undefined) {
      const shown = this.#incoming;
      this.#incoming = [];
      this.#picture.clear();
      for (const one of shown) this.#put(one);
      this.#epoch = frame.epoch;
      this.#updateId = frame.update_id;
      for (const one of shown) this.#send(one);
    }
    this.#send(frame);
  }

  /** The present picture and state as a newcomer gets them; nothing where the recording has not shown them yet. */
  welcome(): RecordedFrame[] {
    if (!this.#status) return [];
    const ends = { snapshot: true, epoch: this.#epoch, update_id: this.#updateId } as const;
    const shown = [...this.#picture.values()].map(
      ({ skipped: _skipped, ...frame }) => ({ ...frame, ...ends }) as RecordedUpdate,
    );
    const { count: _count, since, error_code, ...status } = this.#status;
    const state =
      status.state === "live"
        ? { count: shown.length }
        : { ...(since !== undefined && { since }), ...(error_code !== undefined && { error_code }) };
    return [...shown, { ...status, ...state, topic: this.name, epoch: this.#epoch, update_id: this.#updateId }];
  }

  /** Sends somebody what comes from now on. */
  follow(follower: Follower): void {
    this.#followers.add(follower);
    if (this.#isOver) follower.take(this.#ended());
  }

  /** Sends it no longer. */
  leave(follower: Follower): void {
    this.#followers.delete(follower);
  }

  /** Nothing more comes: tells it to all, and to whoever follows from now on. */
  end(): void {
    this.#isOver = true;
    this.#send(this.#ended());
  }

  #ended(): Status {
    return { type: "stream_status", topic: this.name, state: "ended", epoch: this.#epoch };
  }

  #send(frame: RecordedFrame): void {
    for (const follower of this.#followers) follower.take(frame);
  }

  #put(frame: RecordedUpdate): void {
    const key = itemOf(this.#live, frame) ?? String(this.#events++);
    if (frame.removed) this.#picture.delete(key);
    else this.#picture.set(key, frame);
    const [oldest] = this.#picture.keys();
    if (oldest !== undefined && this.#picture.size > (this.#live.retain ?? Number.POSITIVE_INFINITY))
      this.#picture.delete(oldest);
  }
}

/** What tells the item of an update from others; undefined where every update is an event of its own. */
export function itemOf({ identity }: LiveQuery, frame: RecordedUpdate): string | undefined {
  return identity === null ? undefined : JSON.stringify(identity.map((name) => frame[name]));
}
