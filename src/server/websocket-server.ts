import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import { type WebSocket, WebSocketServer } from "ws";
import type { Reading } from "../operations/reading.ts";
import { type GatewaySummary, type ServerInfo, together } from "../operations/server-info.ts";
import { CacheError } from "../protocol/errors.ts";
import { protocolVersion } from "../protocol/frames.ts";
import type { RedisAddress } from "../redis/connection.ts";
import { Redis } from "../redis/redis.ts";
import { readAccounts } from "./accounts-file.ts";
import { Answers } from "./answers.ts";
import { Connection, type ConnectionContext } from "./connection.ts";
import { CorruptValues } from "./corrupt-values.ts";
import { createLogger } from "./log.ts";
import { Requests } from "./requests.ts";
import { readSettings, type SettingName, type Settings } from "./settings.ts";
import { Topics } from "./topics.ts";

/** The other processes that serve the same port. */
export interface Peers {
  /** How busy each of them is, without those that do not say so in time. */
  summaries(): Promise<readonly GatewaySummary[]>;
}

/** How a server is made: any setting of one process by its name, and a few things that no text can say. */
export type ServerOptions = { readonly [N in Exclude<SettingName, "workers">]?: Settings[N] | undefined } & {
  /** Where Redis is, as a URL or in parts; the same as the `redis…` settings. */
  readonly redis?: string | RedisAddress;
  /** A logger of your own. */
  readonly log?: Logger;
  /** The time in unix seconds. */
  readonly now?: () => number;
  /** Whose figures are added to its own where it says how busy the gateway is. */
  readonly peers?: Peers;
};

// All clients come back at once after a break; whoever finds no place in this queue has to try again after a second.
const backlog = 16_384;
const subprotocol = "fullon-cache.v1";

const { name, version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  name: string;
  version: string;
};

/**
 * The gateway: serves the operations over WebSocket, from one Redis. Many of them live in one process.
 *
 * @example
 * await using server = new CacheWebSocketServer({ port: 8765, redis: "redis://localhost:6379" });
 * await server.start();
 */
export class CacheWebSocketServer {
  readonly #settings: Settings;
  readonly #log: Logger;
  readonly #redis: Redis;
  readonly #context: ConnectionContext;
  readonly #corrupt: CorruptValues;
  readonly #peers: Peers | undefined;
  readonly #epoch = randomBytes(5).readUIntBE(0, 5).toString(36);
  readonly #startedAt = performance.now();
  readonly #connections = new Set<Connection>();
  readonly #websockets: WebSocketServer;
  #http: Server | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #nextConnection = 1;
  #reachable: boolean | undefined;
  #connected: Promise<void> | undefined;
  #started: Promise<this> | undefined;
  #stopping: Promise<void> | undefined;

  /** @throws SettingError an option that is not allowed */
  constructor(options: ServerOptions = {}) {
    const { redis, log, now = () => Date.now() / 1000, peers, ...given } = options;
    const settings = readSettings({ options: { ...given, ...(typeof redis === "string" && { redisUrl: redis }) } });
    this.#settings = settings;
    this.#log = log ?? createLogger(settings.logLevel, settings.logFormat);
    this.#corrupt = new CorruptValues(this.#log);
    this.#peers = peers;
    this.#redis = new Redis(
      {
        address: typeof redis === "object" ? redis : addressOf(settings),
        timeoutMs: settings.redisTimeoutMs,
        maxBackoffMs: 5_000,
      },
      { up: () => this.#redisUp(), down: (reason) => this.#redisDown(reason) },
    );
    const reading: Reading = {
      cache: this.#redis.cache,
      accounts: readAccounts(settings.accountsFile),
      staleAfter: settings.staleAfterS,
      now,
      corrupt: (error) => this.#corrupt.add(error),
    };
    const topics = new Topics({
      redis: this.#redis,
      reading,
      settings: { epoch: this.#epoch, rereadMs: settings.rereadMs, pollMs: settings.pollMs },
      bug: (err, topic) => this.#log.error({ err, topic }, "a topic failed for a reason that is a bug"),
    });
    const server = { info: () => this.#info(), summary: () => this.#summary(), redis: () => this.#redis.state };
    this.#context = {
      topics,
      requests: new Requests(),
      answers: new Answers(settings.nearCacheBytes, { ...reading, server }, () => this.#redis.leasedCache()),
      epoch: this.#epoch,
      limits: {
        max_frame_bytes: settings.maxFrameBytes,
        max_in_flight: settings.maxInFlight,
        max_streams: settings.maxStreams,
        max_topics: settings.maxTopics,
        congested_bytes: settings.congestedBytes,
        max_backlog_bytes: settings.maxBacklogBytes,
      },
      log: this.#log,
      reading,
    };
    this.#websockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: settings.maxFrameBytes,
      handleProtocols: (offered) => offered.has(subprotocol) && subprotocol,
    });
  }

  /** Where clients find it: `ws://127.0.0.1:8765`. @throws Error before it listens */
  get url(): string {
    const address = this.#http?.address() as AddressInfo | null | undefined;
    if (!address) throw new Error("the server has no address before start()");
    const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
    return `ws://${host}:${address.port}`;
  }

  /** How busy this process is, whatever peers it has. */
  get summary(): GatewaySummary {
    let streams = 0;
    for (const connection of this.#connections) streams += connection.size;
    return {
      workers: 1,
      uptime: Math.round(performance.now() - this.#startedAt) / 1000,
      connections: this.#connections.size,
      streams,
      topics: this.#context.topics.size,
      corrupt_values: this.#corrupt.count,
      near_cache_bytes: this.#context.answers.bytes,
    };
  }

  /**
   * Connects to Redis and listens. Resolves when clients can connect, also while Redis cannot be reached: they are
   * answered CACHE_UNAVAILABLE until it can.
   * @throws Error the address is taken or not allowed, or the server was stopped
   */
  start(): Promise<this> {
    this.#started ??= this.#start();
    return this.#started;
  }

  async #start(): Promise<this> {
    if (this.#stopping) throw new Error("a server that was stopped does not start again");
    await this.connect();
    const http = createServer((_request, response) => {
      const text = `This is a WebSocket server: connect to ${this.url}\n`;
      response.writeHead(426, { Connection: "close", Upgrade: "websocket", "Content-Type": "text/plain" }).end(text);
    });
    http.on("upgrade", (request, socket, head) => this.handleUpgrade(request, socket, head));
    http.listen({ port: this.#settings.port, host: this.#settings.host, backlog });
    await once(http, "listening");
    this.#http = http;
    this.#log.info({ url: this.url, version, epoch: this.#epoch }, "listening");
    return this;
  }

  /** Connects to Redis without listening, for those who bring their own HTTP server. */
  connect(): Promise<void> {
    this.#connected ??= this.#redis.start();
    this.#heartbeat ??= setInterval(() => {
      for (const connection of this.#connections) connection.beat();
    }, this.#settings.pingMs).unref();
    return this.#connected;
  }

  /** Takes an `upgrade` event of an HTTP server. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const path = request.url?.split("?", 1)[0];
    if (this.#stopping) refuseUpgrade(socket, 503, { "Retry-After": "1" });
    else if (path !== "/" && path !== "/ws") refuseUpgrade(socket, 404);
    else this.#websockets.handleUpgrade(request, socket, head, (websocket) => this.handleClient(websocket, request));
  }

  /** Takes a WebSocket that is open already, with the request that opened it, whose socket it still speaks through. */
  handleClient(websocket: WebSocket, request: IncomingMessage): void {
    const id = this.#nextConnection++;
    const peer = request.socket.remoteAddress;
    const openedAt = performance.now();
    const connection = new Connection(id, websocket, request.socket, this.#context);
    this.#connections.add(connection);
    this.#log.info({ connection: id, peer }, "connection opened");
    websocket.on("error", (err) => this.#log.debug({ connection: id, err }, "connection failed"));
    websocket.on("close", (code) => {
      this.#connections.delete(connection);
      connection.ended();
      const seconds = Math.round(performance.now() - openedAt) / 1000;
      this.#log.info({ connection: id, code, seconds }, "connection closed");
    });
    if (this.#stopping) connection.drain();
  }

  /** Says DRAINING to every client, closes with 1012, and ends after `drainMs` at the latest. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    // One that is still starting would listen after it was stopped.
    await this.#started?.catch(() => {});
    clearInterval(this.#heartbeat);
    const http = this.#http;
    const closed = http && new Promise((resolve) => http.close(resolve));
    for (const connection of this.#connections) connection.drain();
    const deadline = setTimeout(() => {
      for (const connection of this.#connections) connection.terminate();
      http?.closeAllConnections();
    }, this.#settings.drainMs);
    while (this.#connections.size > 0) await Promise.all([...this.#connections].map((connection) => connection.closed));
    await closed;
    clearTimeout(deadline);
    await this.#redis.close();
    this.#log.info("stopped");
  }

  #info(): ServerInfo {
    return {
      name,
      version,
      protocol: protocolVersion,
      epoch: this.#epoch,
      limits: { ...this.#context.limits },
      redis: this.#redis.state,
    };
  }

  async #summary(): Promise<GatewaySummary> {
    const others = (await this.#peers?.summaries()) ?? [];
    return together([this.summary, ...others]);
  }

  #redisUp(): void {
    const { state } = this.#redis;
    this.#reachable = true;
    this.#log.info(state, "Redis can be reached");
    if (state.change_detection === "timed")
      this.#log.warn(
        { poll_ms: this.#settings.pollMs },
        "Redis cannot tell what changed (CLIENT TRACKING): what is followed is read again on a timer",
      );
    this.#context.topics.restored();
  }

  #redisDown(reason: unknown): void {
    // Once per outage; every further attempt only says the same.
    const level = this.#reachable === false ? "debug" : "warn";
    this.#reachable = false;
    this.#log[level]({ err: reason }, "Redis cannot be reached");
    this.#context.topics.lost(new CacheError("CACHE_UNAVAILABLE", "Redis cannot be reached", { cause: reason }));
  }
}

function addressOf(settings: Settings): RedisAddress {
  if (settings.redisUrl !== undefined) return { url: settings.redisUrl };
  return {
    host: settings.redisHost,
    port: settings.redisPort,
    database: settings.redisDb,
    ...(settings.redisUsername !== undefined && { username: settings.redisUsername }),
    ...(settings.redisPassword !== undefined && { password: settings.redisPassword }),
  };
}

function refuseUpgrade(socket: Duplex, status: number, headers: Readonly<Record<string, string>> = {}): void {
  // Nobody else listens to it any more: an error would end the process, and a client that stays would keep it open.
  socket.on("error", () => {}).once("finish", () => socket.destroy());
  const lines = Object.entries({ Connection: "close", "Content-Length": "0", ...headers });
  const head = lines.map(([header, value]) => `${header}: ${value}\r\n`).join("");
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n`);
}
