import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

/** A WebSocket server that does to each connection what a test wants, and nothing of what a gateway does. */
export class Peer implements AsyncDisposable {
  /** How many connections were made so far. */
  connections = 0;
  readonly #server: WebSocketServer;

  private constructor(server: WebSocketServer, greet: (socket: WebSocket, nth: number) => void) {
    this.#server = server;
    server.on("connection", (socket) => greet(socket, ++this.connections));
  }

  /** Starts to listen on a free port, or on the given one; `startPeer` is its everyday name. */
  static async start(greet: (socket: WebSocket, nth: number) => void, port = 0): Promise<Peer> {
    const server = new WebSocketServer({ host: "127.0.0.1", port });
    await once(server, "listening");
    return new Peer(server, greet);
  }

  /** Where clients find it. */
  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** Starts one. `greet` gets every connection, counted from 1. */
export function startPeer(greet: (socket: WebSocket, nth: number) => void, port?: number): Promise<Peer> {
  return Peer.start(greet, port);
}
