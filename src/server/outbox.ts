import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";

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
  frame.write(text, header, "utf8");
  return frame;
}

const due = new Set<Outbox>();

function flushAll(): void {
  const outboxes = [...due];
  due.clear();
  for (const outbox of outboxes) outbox.flush();
}

/**
 * What is to be sent on one socket. Frames of one turn of the event loop leave together in one write, because the system
 * call is what costs; an only frame leaves as soon as the turn ends.
 */
export class Outbox {
  readonly #websocket: WebSocket;
  readonly #socket: Duplex;
  #frames: Buffer[] = [];

  /** `socket` is the one that `websocket` speaks through: frames are written past it, everything else is its business. */
  constructor(websocket: WebSocket, socket: Duplex) {
    this.#websocket = websocket;
    this.#socket = socket;
  }

  /** How many bytes the socket has not taken yet; 0 where it is not going to say when it has. */
  get backlog(): number {
    return this.#socket.writableNeedDrain ? this.#socket.writableLength : 0;
  }

  /** Sends a frame at the end of this turn. */
  add(frame: Buffer): void {
    this.#frames.push(frame);
    if (due.size === 0) process.nextTick(flushAll);
    due.add(this);
  }

  /** Sends what is due now. */
  flush(): void {
    const frames = this.#frames;
    if (frames.length === 0) return;
    this.#frames = [];
    const [only] = frames;
    // After a close frame nothing may follow.
    if (this.#websocket.readyState === this.#websocket.OPEN)
      this.#socket.write(frames.length === 1 && only ? only : Buffer.concat(frames));
  }
}
