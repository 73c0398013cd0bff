import { connect, type Socket } from "node:net";

/** A frame of the WebSocket protocol, as a server sends it. */
export interface ServerFrame {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** How a frame is written; what is left out is as it should be. */
export interface FrameParts {
  readonly opcode: number;
  readonly payload?: Buffer;
  readonly isLast?: boolean;
  /** The three bits that are reserved, from left to right. */
  readonly reserved?: number;
  /** Not masked: null. */
  readonly mask?: readonly number[] | null;
  /** In how many bits the length is written, where that is not the shortest form. */
  readonly lengthBits?: 7 | 16 | 64;
  /** The length that it says it has, whatever it is. */
  readonly says?: bigint;
}

export const text = 1;
export const close = 8;
export const ping = 9;
export const pong = 10;

/** The bytes of a frame from a client, right or wrong. */
export function frame(parts: FrameParts): Buffer {
  const { opcode, payload = Buffer.alloc(0), isLast = true, reserved = 0, mask = [1, 2, 3, 4] } = parts;
  const length = parts.says ?? BigInt(payload.length);
  const bits = parts.lengthBits ?? (length < 126n ? 7 : length < 65_536n ? 16 : 64);
  const head = Buffer.alloc(bits === 7 ? 2 : bits === 16 ? 4 : 10);
  head[0] = (isLast ? 0x80 : 0) | (reserved << 4) | opcode;
  head[1] = (mask ? 0x80 : 0) | (bits === 7 ? Number(length) : bits === 16 ? 126 : 127);
  if (bits === 16) head.writeUInt16BE(Number(length), 2);
  if (bits === 64) head.writeBigUInt64BE(length, 2);
  if (!mask) return Buffer.concat([head, payload]);
  const masked = payload.map((byte, at) => byte ^ (mask[at % 4] as number));
  return Buffer.concat([head, Buffer.from(mask), masked]);
}

/** The bytes of a close frame. */
export function closeFrame(code: number, reason: Buffer | string = ""): Buffer {
  const payload = Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]);
  return frame({ opcode: close, payload });
}

/** The lines that ask for a WebSocket, by name; undefined leaves one out. */
export function handshake(lines: Readonly<Record<string, string | undefined>> = {}, first = "GET / HTTP/1.1"): string {
  const all = {
    Host: "localhost",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...lines,
  };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  return `${first}\r\n${given.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}

/** A TCP connection to a gateway that says what it likes, byte by byte, and reads what comes as a client does. */
export class RawSocket {
  readonly socket: Socket;
  /** The head of the answer to the handshake. */
  head = "";
  /** What came after it. */
  readonly frames: ServerFrame[] = [];
  /** Resolves when the connection is over, whoever ended it. */
  readonly closed: Promise<void>;
  readonly #waiting = new Set<() => void>();
  #rest: Buffer = Buffer.alloc(0);
  #isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      this.#rest = Buffer.concat([this.#rest, chunk]);
      this.#read();
      this.#wake();
    });
    this.closed = new Promise((resolve) =>
      socket.once("close", () => {
        this.#isClosed = true;
        this.#wake();
        resolve();
      }),
    );
  }

  /** Connects, and says nothing yet; `connectRaw` is its everyday name. */
  static open(url: string, allowHalfOpen: boolean): Promise<RawSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: Number(new URL(url).port), allowHalfOpen });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new RawSocket(socket)));
    });
  }

  /** Whether the connection is over. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The status that the handshake was answered with; undefined as long as it is not. */
  get status(): number | undefined {
    const found = /^HTTP\/1\.1 (\d+)/.exec(this.head);
    return found ? Number(found[1]) : undefined;
  }

  /** The code of the close frame that came; 1005 where it has none, undefined where there was no close frame. */
  get closeCode(): number | undefined {
    const payload = this.frames.find(({ opcode }) => opcode === close)?.payload;
    return payload && (payload.length < 2 ? 1005 : payload.readUInt16BE(0));
  }

  /** The text frames that came. */
  get texts(): string[] {
    return this.frames.filter(({ opcode }) => opcode === text).map(({ payload }) => payload.toString());
  }

  /** Sends bytes, in pieces of the given size: each on its own, as far as the system lets it. Waits while none are taken. */
  async send(bytes: Buffer | string, piece = Number.POSITIVE_INFINITY): Promise<void> {
    const all = Buffer.from(bytes as string);
    const size = Math.min(piece, all.length);
    for (let at = 0; at < all.length && !this.#isClosed; at += size) {
      const isTaken = this.socket.write(all.subarray(at, at + size));
      if (isTaken) await new Promise((resolve) => setImmediate(resolve));
      else await Promise.race([new Promise((resolve) => this.socket.once("drain", resolve)), this.closed]);
    }
  }

  /** Waits until something is so, or the connection is over. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo() && !this.#isClosed) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** Opens a WebSocket in it. @throws Error it is refused */
  async upgrade(): Promise<this> {
    await this.send(handshake());
    await this.until(() => this.status !== undefined);
    if (this.status !== 101) throw new Error(`refused: ${this.head}`);
    return this;
  }

  /** Ends it with a reset. */
  reset(): Promise<void> {
    this.socket.resetAndDestroy();
    return this.closed;
  }

  /** Ends it. */
  end(): Promise<void> {
    this.socket.destroy();
    return this.closed;
  }

  #read(): void {
    if (this.head === "") {
      const end = this.#rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.head = this.#rest.toString("latin1", 0, end + 2);
      this.#rest = this.#rest.subarray(end + 4);
    }
    if (this.status !== 101) return;
    for (;;) {
      const rest = this.#rest;
      if (rest.length < 2) return;
      const short = (rest[1] as number) & 0x7f;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (rest.length < head) return;
      const length = head === 2 ? short : head === 4 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
      if (rest.length < head + length) return;
      this.frames.push({ opcode: (rest[0] as number) & 0x0f, payload: rest.subarray(head, head + length) });
      this.#rest = rest.subarray(head + length);
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

/** Connects to the gateway at a URL. */
export function connectRaw(url: string, allowHalfOpen = false): Promise<RawSocket> {
  return RawSocket.open(url, allowHalfOpen);
}
