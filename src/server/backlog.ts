import type { Duplex } from "node:stream";

/** How much may wait for one client, and for how long. */
export interface BacklogLimits {
  readonly congested_bytes: number;
  readonly max_backlog_bytes: number;
  readonly slow_ms: number;
}

/** Whose backlog it is. */
export interface BacklogOwner {
  /** Much waits: nothing more may be asked for. */
  hold(): void;
  /** All of it has been taken, and what had to wait meanwhile has been sent. */
  goOn(): void;
  /** Too much has waited for too long. */
  slow(): void;
}

/** Who has something to send that had to wait. */
interface Waiting {
  relieved(): void;
}

/**
 * What waits for one client: bytes that its socket has not taken, and updates that are kept for it. Over the first limit
 * it is congested until its socket has taken all; over the second it is full, and has `slow_ms` to take all.
 */
export abstract class Backlog<Owner extends BacklogOwner = BacklogOwner> {
  protected readonly socket: Duplex;
  readonly #limits: BacklogLimits;
  protected readonly owner: Owner;
  // In the order in which they have to be served, so that each has its turn also where the socket never takes all of them.
  #waiting: Set<Waiting> | undefined;
  #isCongested = false;
  #kept = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param socket it says `drain` when it has taken all */
  constructor(socket: Duplex, limits: BacklogLimits, owner: Owner) {
    this.socket = socket;
    this.#limits = limits;
    this.owner = owner;
    socket.on("drain", () => this.#drained());
  }

  /** Whether nothing should be sent for now that can wait. */
  get congested(): boolean {
    return this.#isCongested;
  }

  /** How many bytes wait. */
  get queuedBytes(): number {
    return this.socket.writableLength + this.#kept;
  }

  /** The socket has not taken all that was written. */
  protected pressed(): void {
    const { congested_bytes, max_backlog_bytes } = this.#limits;
    if (this.socket.writableLength <= Math.min(congested_bytes, max_backlog_bytes)) return;
    if (!this.#isCongested) this.owner.hold();
    this.#isCongested = true;
    this.isFull();
  }

  /** So many bytes more are kept, or fewer; tells whether it is full. */
  keep(bytes: number): boolean {
    this.#kept += bytes;
    return this.isFull();
  }

  /** Whether nothing more may wait. From then on the client has its time to take all. */
  isFull(): boolean {
    if (this.queuedBytes <= this.#limits.max_backlog_bytes) return false;
    // What waits for its interval is nothing that the client could take.
    if (this.#isCongested) this.#timer ??= setTimeout(() => this.owner.slow(), this.#limits.slow_ms);
    return true;
  }

  /** Tells it as soon as the socket takes more. */
  later(waiting: Waiting): void {
    this.#waiting ??= new Set();
    this.#waiting.add(waiting);
  }

  /** Nothing waits any more. */
  end(): void {
    clearTimeout(this.#timer);
    this.#waiting = undefined;
    this.#isCongested = false;
  }

  #drained(): void {
    if (!this.#isCongested) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isCongested = false;
    for (const waiting of this.#waiting ?? []) {
      this.#waiting?.delete(waiting);
      waiting.relieved();
      if (this.#isCongested) return;
    }
    this.owner.goOn();
  }
}
