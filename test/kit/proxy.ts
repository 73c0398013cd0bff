import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { type Request, Requests } from "./requests.ts";

/** What the server behind the proxy should seem not to know, for example `["HELLO", "CLIENT TRACKING"]`. */
export interface ProxyOptions {
  readonly unknownCommands?: readonly string[];
}

/** One direction, or both: what clients send, and what they get. */
export type Way = "requests" | "answers" | "both";

/** A network that fails on demand: it stands between a client and a Redis. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #unknown: readonly string[];
  readonly #sockets = new Set<Socket>();
  readonly #clients = new Set<Socket>();
  // How the client of a pair of sockets called itself.
  readonly #names = new Map<Socket, string>();
  // What is on its way to a client, since answers are delayed; and how much more a client gets before it is cut off.
  readonly #late = new Map<Socket, Promise<void>>();
  readonly #left = new Map<Socket, number>();
  readonly #starved = new Set<Socket>();
  readonly #arrivals: number[] = [];
  #isHolding = false;
  #isRefusing = false;
  #delayMs = 0;
  #swallowed: Way | undefined;

  private constructor(targetPort: number, unknown: readonly string[]) {
    this.#targetPort = targetPort;
    this.#unknown = unknown.map((name) => name.toUpperCase());
    this.#server = createServer((client) => this.#accept(client));
  }

  /** Starts to listen on a free port; `startProxy` is its everyday name. */
  static async start(targetPort: number, { unknownCommands = [] }: ProxyOptions): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort, unknownCommands);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  /** How many clients are connected. */
  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** The same URL, by way of this proxy. */
  through(url: string): string {
    const detour = new URL(url);
    detour.port = `${this.port}`;
    return detour.href;
  }

  /** Breaks every connection there is. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Keeps connections open, new ones too, but lets nothing through either way. */
  hold(): void {
    this.#isHolding = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** The same one way only, on the connections there are: of what clients send (`requests`), or of what they get. */
  holdOneWay(way: "requests" | "answers"): void {
    for (const socket of this.#sockets) if (this.#clients.has(socket) === (way === "requests")) socket.pause();
  }

  /** The same for those connections only that told Redis this name. */
  holdNamed(name: string): void {
    for (const [socket, given] of this.#names) if (given === name) socket.pause();
  }

  /** When clients came so far, also those that were refused, in milliseconds as of `performance.now()`. */
  get arrivals(): readonly number[] {
    return this.#arrivals;
  }

  /** From now on answers arrive so much later, in their order. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Lets each connection there is have so many bytes more of its answers, and breaks it in the middle of what comes then. */
  truncate(bytes: number): void {
    for (const client of this.#clients) this.#left.set(client, bytes);
  }

  /**
   * Takes what is sent, on new connections, too, and delivers nothing: the other end looks alive, and is gone. What was
   * swallowed is lost: a connection that lost something breaks with `release`, as TCP would break it.
   */
  swallow(way: Way): void {
    this.#swallowed = way;
  }

  /** Lets through what was held, and all that follows. */
  release(): void {
    this.#isHolding = false;
    this.#swallowed = undefined;
    for (const client of this.#starved) client.resetAndDestroy();
    for (const socket of this.#sockets) socket.resume();
  }

  /** Breaks new connections as soon as they are made, or no longer does. */
  refuse(isRefusing: boolean): void {
    this.#isRefusing = isRefusing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }

  #accept(client: Socket): void {
    this.#arrivals.push(performance.now());
    if (this.#isRefusing) {
      client.resetAndDestroy();
      return;
    }
    const target = connect(this.#targetPort, "127.0.0.1");
    const requests = new Requests();
    this.#clients.add(client);
    client.on("data", (chunk) => {
      const name = /fullon-cache-api:\w+/.exec(chunk.toString("latin1"))?.[0];
      if (name !== undefined && !this.#names.has(client))
        for (const socket of [client, target]) this.#names.set(socket, name);
      if (this.#isLost("requests", client)) return;
      if (this.#unknown.length === 0) target.write(chunk);
      else for (const request of requests.push(chunk)) target.write(this.#disguise(request));
    });
    target.on("data", (chunk) => {
      if (!this.#isLost("answers", client)) this.#answer(client, chunk);
    });
    for (const [socket, other] of [[client, target] as const, [target, client] as const]) {
      this.#sockets.add(socket);
      socket.setNoDelay();
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        this.#clients.delete(socket);
        this.#names.delete(socket);
        this.#late.delete(socket);
        this.#left.delete(socket);
        this.#starved.delete(socket);
        // What is on its way still arrives.
        other.destroySoon();
      });
      if (this.#isHolding) socket.pause();
    }
  }

  #isLost(way: Way, client: Socket): boolean {
    const isLost = this.#swallowed === way || this.#swallowed === "both";
    if (isLost) this.#starved.add(client);
    return isLost;
  }

  #answer(client: Socket, chunk: Buffer): void {
    const left = this.#left.get(client) ?? Number.POSITIVE_INFINITY;
    if (left !== Number.POSITIVE_INFINITY) this.#left.set(client, left - chunk.length);
    const deliver = () => {
      client.write(chunk.subarray(0, Math.max(0, left)));
      if (chunk.length >= left) client.destroySoon();
    };
    const before = this.#late.get(client);
    if (!before && this.#delayMs === 0) {
      deliver();
      return;
    }
    const due = performance.now() + this.#delayMs;
    const delivered = Promise.resolve(before)
      .then(() => pause(Math.max(0, due - performance.now())))
      .then(deliver)
      .then(() => {
        if (this.#late.get(client) === delivered) this.#late.delete(client);
      });
    this.#late.set(client, delivered);
  }

  /** Turns a refused command into one that no Redis knows: so the server itself says no, and in its turn. */
  #disguise({ words, bytes }: Request): Buffer {
    const sent = words.join(" ").toUpperCase();
    const name = this.#unknown.find((unknown) => sent === unknown || sent.startsWith(`${unknown} `));
    if (name === undefined) return bytes;
    const stranger = `NO-SUCH-${name.replaceAll(" ", "-")}`;
    return Buffer.from(`*1\r\n$${stranger.length}\r\n${stranger}\r\n`);
  }
}

/** Starts a proxy in front of the Redis on the given port of this machine. */
export function startProxy(targetPort: number, options: ProxyOptions = {}): Promise<TcpProxy> {
  return TcpProxy.start(targetPort, options);
}
