import { pino } from "pino";
import { WebSocket, type ClientOptions as WebSocketOptions } from "ws";
import { type CacheClient, type ClientOptions, fullonCacheApi } from "../../src/client/websocket-client.ts";
import { CacheWebSocketServer, type ServerOptions } from "../../src/server/websocket-server.ts";
import { startRedis, type TestRedis } from "./redis.ts";

/** A frame that the gateway sent. */
export type Frame = Readonly<Record<string, unknown>>;

/** What can be made different about a gateway under test; its log lines are collected in `lines`. */
export type GatewayOptions = ServerOptions & { readonly to?: TestRedis };

/** A gateway on a free port, a Redis of its own with the minimal user, and connections to it, raw ones and clients. */
export class TestGateway implements AsyncDisposable {
  readonly redis: TestRedis;
  readonly server: CacheWebSocketServer;
  readonly lines: Frame[];
  readonly #ownsRedis: boolean;
  readonly #wires = new Set<Wire>();
  readonly #clients = new Set<CacheClient>();

  private constructor(redis: TestRedis, server: CacheWebSocketServer, lines: Frame[], ownsRedis: boolean) {
    this.redis = redis;
    this.server = server;
    this.lines = lines;
    this.#ownsRedis = ownsRedis;
  }

  /** Starts it; `startGateway` is its everyday name. */
  static async start({ to, ...options }: GatewayOptions): Promise<TestGateway> {
    const redis = to ?? (await startRedis());
    const lines: Frame[] = [];
    const log = pino({ level: "debug", base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const server = new CacheWebSocketServer({ port: 0, redis: redis.gatewayUrl, log, ...options });
    await server.start();
    return new TestGateway(redis, server, lines, !to);
  }

  /** A raw connection, for whoever has this token, if one is needed. */
  async wire(token?: string): Promise<Wire> {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const wire = await Wire.open(this.server.url, { headers });
    this.#wires.add(wire);
    return wire;
  }

  /** A client, of this gateway or of what stands before it; it is closed with the gateway at the latest. */
  async client({ url = this.server.url, ...options }: ClientOptions & { url?: string } = {}): Promise<CacheClient> {
    const client = await fullonCacheApi(url, options);
    this.#clients.add(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const wire of this.#wires) wire.close();
    for (const client of this.#clients) await client.close();
    await this.server.stop();
    if (this.#ownsRedis) await this.redis[Symbol.asyncDispose]();
  }
}

/** A gateway with a Redis of its own, unless it is given one. */
export function startGateway(options: GatewayOptions = {}): Promise<TestGateway> {
  return TestGateway.start(options);
}

/** One WebSocket that speaks the protocol as it is written, without the client library. */
export class Wire {
  readonly socket: WebSocket;
  /** Every frame that came, in order. */
  readonly frames: Frame[] = [];
  readonly #waiting = new Set<() => void>();
  #nextId = 1;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("message", (data) => {
      this.frames.push(JSON.parse(String(data)) as Frame);
      this.#wake();
    });
    socket.on("close", () => this.#wake());
  }

  /** Opens one. */
  static async open(url: string, options: WebSocketOptions = {}): Promise<Wire> {
    const socket = new WebSocket(url, options);
    const wire = new Wire(socket);
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    return wire;
  }

  /** Sends text as it is. */
  send(text: string | Buffer): void {
    this.socket.send(text);
  }

  /** Asks and waits for the answer, whichever it is. */
  async request(operation: string, params?: object): Promise<Frame> {
    const request_id = `r${this.#nextId++}`;
    this.send(JSON.stringify({ request_id, operation, ...(params && { params }) }));
    return this.frame((frame) => frame["request_id"] === request_id);
  }

  /** Asks and gives the result. @throws Error the answer is an error */
  async ask(operation: string, params?: object): Promise<unknown> {
    const answer = await this.request(operation, params);
    if (answer["success"] !== true) throw new Error(`${operation}: ${JSON.stringify(answer)}`);
    return answer["result"];
  }

  /** The first frame, from `from` on, that fits; waits for it. */
  async frame(fits: (frame: Frame) => boolean, from = 0): Promise<Frame> {
    return (await this.until((frames) => frames.slice(from).find(fits))) as Frame;
  }

  /** The updates of a topic that came so far. */
  updates(topic: string): Frame[] {
    return this.frames.filter(
      (frame) => frame["topic"] === topic && frame["update_id"] !== undefined && frame["type"] !== "stream_status",
    );
  }

  /** Waits until `look` finds something in the frames that came. */
  async until<T>(look: (frames: readonly Frame[]) => T | undefined | false): Promise<T> {
    for (;;) {
      const found = look(this.frames);
      if (found !== undefined && found !== false) return found;
      if (this.socket.readyState !== WebSocket.OPEN)
        throw new Error(`closed; last frames: ${JSON.stringify(this.frames.slice(-3))}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Resolves with the close code. */
  closed(): Promise<number> {
    return new Promise((resolve) => this.socket.once("close", resolve));
  }

  /** Ends it at once. */
  close(): void {
    this.socket.terminate();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
