import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { Backlog, type BacklogLimits, type BacklogOwner } from "./backlog.ts";
import { EndOfTurn } from "./end-of-turn.ts";
import type { Sink } from "./subscription.ts";

// Sockets of the same audience are due the same chunks, and mostly one after the other: what was joined for the last one
// serves the next, until the turn is over.
const nothing = Buffer.alloc(0);
let lastChunks: readonly Buffer[] = [];
let lastJoined = nothing;

const due = new EndOfTurn<Outbox>(() => {
  lastChunks = [];
  lastJoined = nothing;
});

function joined(chunks: readonly Buffer[]): Buffer {
  const isSame = chunks.length === lastChunks.length && chunks.every((chunk, at) => chunk === lastChunks[at]);
  if (isSame) return lastJoined;
  lastChunks = chunks;
  lastJoined = Buffer.concat(chunks);
  return lastJoined;
}

// So much leaves at once, so that a socket that takes no more is noticed before more is made for it.
const muchBytes = 65_536;

/** The same bytes in memory of their own: small buffers share theirs with others, and would keep all of it. */
function alone(chunk: Buffer): Buffer {
  if (chunk.buffer.byteLength < 2 * chunk.length) return chunk;
  const copy = Buffer.allocUnsafeSlow(chunk.length);
  chunk.copy(copy);
  return copy;
}

/** Whose outbox it is. */
export interface OutboxOwner extends BacklogOwner {
  /** So many updates were left out, and are told as `skipped`. */
  skipped(count: number): void;
}

/**
 * The way to one client. What becomes due in one turn of the event loop leaves together in one write, because the system
 * call is what costs; an only frame leaves as soon as the turn ends. All that an update needs on its way is here: with a
 * thousand subscribers, each further object is another one that has left the processor's cache.
 */
export class Outbox extends Backlog<OutboxOwner> implements Sink {
  readonly #websocket: WebSocket;
  // Mostly one chunk is due: an array is made for more than that only.
  #first: Buffer | undefined;
  #chunks: Buffer[] | undefined;
  #bytes = 0;
  #updatesSent = 0;
  #isOver = false;

  /** @param socket the one that `websocket` speaks through: frames are written past it, everything else is its business */
  constructor(websocket: WebSocket, socket: Duplex, limits: BacklogLimits, owner: OutboxOwner) {
    super(socket, limits, owner);
    this.#websocket = websocket;
  }

  /** How many updates were sent so far. */
  get updatesSent(): number {
    return this.#updatesSent;
  }

  updates(chunk: Buffer, count: number): void {
    this.#updatesSent += count;
    this.add(chunk);
  }

  manyUpdates(chunk: Buffer, count: number): void {
    this.#updatesSent += count;
    this.addMuch(chunk);
  }

  status(frame: Buffer): void {
    this.add(frame);
  }

  skipped(count: number): void {
    this.owner.skipped(count);
  }

  /** Sends one frame or several at the end of this turn. */
  add(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#first === undefined) {
      this.#first = chunk;
      due.add(this);
    } else if (this.#chunks === undefined) this.#chunks = [this.#first, chunk];
    else this.#chunks.push(chunk);
  }

  /** The same where it may be one of many, or large: then some leave before the turn ends. */
  addMuch(chunk: Buffer): void {
    this.add(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < muchBytes) return;
    this.#bytes = 0;
    this.flush();
  }

  /** Sends what is due now. */
  flush(): void {
    const first = this.#first;
    if (first === undefined) return;
    const chunks = this.#chunks;
    this.#first = undefined;
    this.#chunks = undefined;
    // After a close frame nothing may follow.
    if (this.#websocket.readyState !== this.#websocket.OPEN) return;
    const { socket } = this;
    const chunk = chunks === undefined ? first : joined(chunks);
    if (!socket.write(socket.writableNeedDrain ? alone(chunk) : chunk)) this.pressed();
  }

  /** Sends what is due, and nothing more after it. */
  override end(): void {
    this.flush();
    this.#isOver = true;
    super.end();
  }
}
