import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { EndOfTurn } from "./end-of-turn.ts";

/** A WebSocket text frame, unmasked as a server sends it; the same bytes serve every subscriber. */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(header + length);
  frame[0] = 0x81;
  if (header === 2) frame[1] = length;
  else if (header === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  // Where every character is one byte they need no encoding, only copying.
  frame.write(text, header, length === text.length ? "latin1" : "utf8");
  return frame;
}

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

/**
 * What is to be sent on one socket. What becomes due in one turn of the event loop leaves together in one write, because
 * the system call is what costs; an only frame leaves as soon as the turn ends.
 */
export class Outbox {
  readonly #websocket: WebSocket;
  readonly #socket: Duplex;
  readonly #pressed: (() => void) | undefined;
  // Mostly one chunk is due: an array is made for more than that only.
  #first: Buffer | undefined;
  #chunks: Buffer[] | undefined;
  #bytes = 0;

  /**
   * @param socket the one that `websocket` speaks through: frames are written past it, everything else is its business
   * @param pressed called whenever the socket has not taken all that was written; it will say `drain`
   */
  constructor(websocket: WebSocket, socket: Duplex, pressed?: () => void) {
    this.#websocket = websocket;
    this.#socket = socket;
    this.#pressed = pressed;
  }

  /** Sends one frame or several at the end of this turn. */
  add(chunk: Buffer): void {
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
    const socket = this.#socket;
    const chunk = chunks === undefined ? first : joined(chunks);
    if (!socket.write(socket.writableNeedDrain ? alone(chunk) : chunk)) this.#pressed?.();
  }
}
