import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Request, Requests } from "./requests.ts";

/** What the server behind the proxy should seem not to know, for example `["HELLO", "CLIENT TRACKING"]`. */
export interface ProxyOptions {
  readonly unknownCommands?: readonly string[];
}

/** A network that fails on demand: it stands between a client and a Redis. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #unknown: readonly string[];
  readonly #sockets = new Set<Socket>();
  // How the client of a pair of sockets called itself.
  readonly #names = new Map<Socket, string>();
  #isHolding = false;
  #isRefusing = false;

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

  /** The same for those connections only that told Redis this name. */
  holdNamed(name: string): void {
    for (const [socket, given] of this.#names) if (given === name) socket.pause();
  }

  /** Lets through what was held, and all that follows. */
  release(): void {
    this.#isHolding = false;
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
    if (this.#isRefusing) {
      client.resetAndDestroy();
      return;
    }
    const target = connect(this.#targetPort, "127.0.0.1");
    const requests = new Requests();
    client.on("data", (chunk) => {
      const name = /fullon-cache-api:\w+/.exec(chunk.toString("latin1"))?.[0];
      if (name !== undefined && !this.#names.has(client))
        for (const socket of [client, target]) this.#names.set(socket, name);
      if (this.#unknown.length === 0) target.write(chunk);
      else for (const request of requests.push(chunk)) target.write(this.#disguise(request));
    });
    target.on("data", (chunk) => client.write(chunk));
    for (const [socket, other] of [[client, target] as const, [target, client] as const]) {
      this.#sockets.add(socket);
      socket.setNoDelay();
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        this.#names.delete(socket);
        other.destroy();
      });
      if (this.#isHolding) socket.pause();
    }
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
