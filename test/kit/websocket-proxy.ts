import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import type { Frame } from "./gateway.ts";

interface Swallowing {
  fits(frame: Frame): boolean;
  done(frame: Frame): void;
}

/** A network that fails on demand, frame by frame: it stands between clients and a gateway. */
export class WebSocketProxy implements AsyncDisposable {
  /** Every frame that a client sent, in order. */
  readonly requests: Frame[] = [];
  /** How many connections were made so far. */
  connections = 0;
  readonly #server: WebSocketServer;
  readonly #target: string;
  readonly #swallowing = new Set<Swallowing>();
  #held: (() => void)[] | undefined;

  private constructor(server: WebSocketServer, target: string) {
    this.#server = server;
    this.#target = target;
    server.on("connection", (client) => this.#connect(client));
  }

  /** Starts to listen on a free port; `startWebSocketProxy` is its everyday name. */
  static async start(target: string): Promise<WebSocketProxy> {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    return new WebSocketProxy(server, target);
  }

  /** Where clients find it. */
  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The operations that clients asked for, in order. */
  get operations(): unknown[] {
    return this.requests.map(({ operation }) => operation);
  }

  /** Swallows the next frame from the gateway that fits; resolves with it when it came. */
  swallow(fits: (frame: Frame) => boolean): Promise<Frame> {
    return new Promise((resolve) => {
      const swallowing: Swallowing = {
        fits,
        done: (frame) => {
          this.#swallowing.delete(swallowing);
          resolve(frame);
        },
      };
      this.#swallowing.add(swallowing);
    });
  }

  /** Breaks every connection there is. */
  cut(): void {
    for (const client of this.#server.clients) client.terminate();
  }

  /** Keeps connections open, new ones too, but lets nothing through either way, not even a pong. */
  hold(): void {
    this.#held ??= [];
    for (const client of this.#server.clients) client.pause();
  }

  /** Lets through what was held, and all that follows. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const pass of held) pass();
    for (const client of this.#server.clients) client.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #connect(client: WebSocket): void {
    this.connections++;
    const gateway = new WebSocket(this.#target);
    const opened = new Promise((resolve) => gateway.once("open", resolve));
    client.on("message", async (data) => {
      this.requests.push(JSON.parse(String(data)) as Frame);
      await opened;
      this.#pass(() => gateway.send(String(data)));
    });
    gateway.on("message", (data) => this.#pass(() => this.#deliver(client, String(data))));
    for (const [socket, other] of [[client, gateway] as const, [gateway, client] as const]) {
      socket.on("error", () => {});
      socket.on("close", (code, reason) => {
        if (socket === gateway && code > 999 && code !== 1005 && code !== 1006) other.close(code, reason);
        else other.terminate();
      });
    }
    if (this.#held) client.pause();
  }

  #pass(pass: () => void): void {
    if (this.#held) this.#held.push(pass);
    else pass();
  }

  #deliver(client: WebSocket, text: string): void {
    const frame = JSON.parse(text) as Frame;
    for (const swallowing of this.#swallowing) {
      if (!swallowing.fits(frame)) continue;
      swallowing.done(frame);
      return;
    }
    client.send(text);
  }
}

/** Starts a proxy in front of the gateway at the given URL. */
export function startWebSocketProxy(target: string): Promise<WebSocketProxy> {
  return WebSocketProxy.start(target);
}
