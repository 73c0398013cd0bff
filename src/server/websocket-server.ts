import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { type WebSocket, WebSocketServer } from "ws";
import type { Reading } from "../operations/reading.ts";
import { type GatewaySummary, type ServerInfo, together } from "../operations/server-info.ts";
import { CacheError } from "../protocol/errors.ts";
import { protocolVersion, subprotocol } from "../protocol/frames.ts";
import type { RedisAddress } from "../redis/greeting.ts";
import { Redis } from "../redis/redis.ts";
import { NotReadOnly, shortList } from "../redis/rights.ts";
import { Admission, noOf, type Place } from "./admission.ts";
import { Answers } from "./answers.ts";
import { Authenticator } from "./authenticator.ts";
import { Connection, type ConnectionContext } from "./connection.ts";
import { CorruptValues } from "./corrupt-values.ts";
import { Counts } from "./counts.ts";
import { createHttp, createPlainHttp, refuseUpgrade, renewCertificate, respond, webSocketPaths } from "./http.ts";
import { anyone } from "./identity.ts";
import { createLogger } from "./log.ts";
import { manualPages } from "./manual.ts";
import { Monitor, type Readiness, readinessOf } from "./monitor.ts";
import { name, version } from "./package.ts";
import { Rate } from "./rate.ts";
import { redisOptions } from "./redis-options.ts";
import { Requests } from "./requests.ts";
import { asText, type Scrape, scrapeOf } from "./scrape.ts";
import { isLoopback, limitsOf, readSettings, SettingError, type SettingName, type Settings } from "./settings.ts";
import { statusPages } from "./status-pages.ts";
import { Topics } from "./topics.ts";
import { findTracing } from "./tracing.ts";

/** The other processes that serve the same port. */
export interface Peers {
  /** How busy each of them is, without those that do not say so in time. */
  summaries(): Promise<readonly GatewaySummary[]>;
  /** The figures of each of them, likewise. */
  scrapes(): Promise<readonly Scrape[]>;
  /** Which of all of them this one is, counted from 1. */
  readonly number: number;
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
const weakSecretLength = 32;
// When the server stops, its connections are closed by so many at a time, this far apart: not all come back at once.
const drainedAtOnce = 100;
const drainEveryMs = 100;

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
  readonly #monitor = new Monitor();
  readonly #epoch = randomBytes(5).readUIntBE(0, 5).toString(36);
  readonly #startedAt = performance.now();
  readonly #connections = new Set<Connection>();
  readonly #admission: Admission;
  readonly #websockets: WebSocketServer;
  #http: Server | undefined;
  #metricsHttp: Server | undefined;
  #scraping: Promise<string> | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #nextConnection = 1;
  #reachable: boolean | undefined;
  // Why Redis must not be used, and what was said of its user last.
  #refusal: NotReadOnly | undefined;
  #warned = "";
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
    this.#redis = new Redis(redisOptions(settings, typeof redis === "object" ? redis : undefined), {
      up: () => this.#redisUp(),
      down: (reason) => this.#redisDown(reason),
      answered: (ms) => this.#monitor.redisAnswered(ms),
    });
    const authenticator = new Authenticator(settings, now);
    this.#admission = new Admission(settings, authenticator);
    const reading: Reading = {
      cache: this.#redis.cache,
      accounts: authenticator,
      staleAfter: settings.staleAfterS,
      now,
      corrupt: (error) => this.#corrupt.add(error),
    };
    const topics = new Topics({
      redis: this.#redis,
      reading,
      settings: { epoch: this.#epoch, rereadMs: settings.rereadMs, pollMs: settings.pollMs },
      lag: this.#monitor.lag,
      bug: (err, topic) => {
        this.#monitor.bug();
        this.#log.error({ err, topic }, "a topic failed for a reason that is a bug");
      },
    });
    const server = { info: () => this.#info(), summary: () => this.#summary(), redis: () => this.#redis.state };
    this.#context = {
      topics,
      requests: new Requests(),
      answers: new Answers(settings.nearCacheBytes, { ...reading, server }, () => this.#redis.leasedCache()),
      epoch: this.#epoch,
      limits: limitsOf(settings),
      authenticator,
      messageRate: new Rate(settings.messageRate, settings.messageBurst),
      refusals: new Counts(),
      skipped: (count) => this.#monitor.skipped(count),
      tracing: findTracing(version),
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

  /** Where clients find it: `ws://127.0.0.1:8765`, `wss://…` with TLS. @throws Error before it listens */
  get url(): string {
    const address = this.#http?.address() as AddressInfo | null | undefined;
    if (!address) throw new Error("the server has no address before start()");
    const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
    return `${this.#settings.tlsCertFile === undefined ? "ws" : "wss"}://${host}:${address.port}`;
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
      refusals: Object.fromEntries(this.#context.refusals),
    };
  }

  /** Whether clients should be sent here: not while Redis cannot be reached, nor once it stops. */
  get readiness(): Readiness {
    return readinessOf(this.#redis, this.#stopping !== undefined);
  }

  /** The figures of this process, whatever peers it has. */
  get scrape(): Scrape {
    const figures = this.#monitor.figures({
      version,
      context: this.#context,
      connections: this.#connections,
      redis: this.#redis,
      corrupt: this.#corrupt,
      isDraining: this.#stopping !== undefined,
    });
    return scrapeOf(figures, this.#peers?.number);
  }

  /** Its metrics and those of its peers as Prometheus reads them, for those who bring their own HTTP server. */
  metrics(): Promise<string> {
    this.#scraping ??= this.#scrapeAll().finally(() => {
      this.#scraping = undefined;
    });
    return this.#scraping;
  }

  async #scrapeAll(): Promise<string> {
    const others = (await this.#peers?.scrapes()) ?? [];
    return asText([this.scrape, ...others]);
  }

  /**
   * Connects to Redis and listens. Resolves when clients can connect, also while Redis cannot be reached: they are
   * answered CACHE_UNAVAILABLE until it can.
   * @throws Error the address is taken or not allowed, or the server was stopped
   * @throws SettingError it would be open to everybody, or a file is wrong, or it could write although it must not
   */
  start(): Promise<this> {
    this.#started ??= this.#start();
    return this.#started;
  }

  async #start(): Promise<this> {
    if (this.#stopping) throw new Error("a server that was stopped does not start again");
    this.#checkWhoMayRead();
    const { port, host, metricsPort } = this.#settings;
    const pages = { ...manualPages, ...statusPages(this, metricsPort === 0 ? "local" : "nobody") };
    const http = createHttp(this.#settings, (...request) => this.handleUpgrade(...request), pages);
    await this.connect();
    if (metricsPort !== 0) await this.#listenForMetrics();
    http.listen({ port, host, backlog });
    await once(http, "listening");
    this.#http = http;
    this.#log.info({ url: this.url, version, epoch: this.#epoch }, "listening");
    return this;
  }

  async #listenForMetrics(): Promise<void> {
    const { metricsPort: port, metricsHost: host } = this.#settings;
    const http = createPlainHttp(statusPages(this, "all"));
    this.#metricsHttp = http;
    http.listen({ port, host });
    await once(http, "listening").catch((error: Error) => {
      throw new SettingError(`METRICS_PORT ${port} on ${host} cannot be listened on: ${error.message}`);
    });
  }

  /**
   * Connects to Redis without listening, for those who bring their own HTTP server.
   * @throws SettingError with `requireReadOnly`, its user may do more than read
   */
  connect(): Promise<void> {
    this.#connected ??= this.#redis.start().then(() => {
      if (this.#refusal) throw new SettingError(`REQUIRE_READ_ONLY: ${this.#refusal.message}`);
    });
    const beat = () => {
      for (const connection of this.#connections) connection.beat();
    };
    // Where the whole process stood still, what clients said meanwhile is read first.
    this.#heartbeat ??= setInterval(() => setImmediate(beat), this.#settings.pingMs).unref();
    return this.#connected;
  }

  /** Takes an `upgrade` event of an HTTP server. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const path = request.url?.split("?", 1)[0];
    if (path !== undefined && webSocketPaths.includes(path)) void this.#upgrade(request, socket, head);
    else respond(socket, 404, {}, "");
  }

  /** Takes a WebSocket that is open already, with the request that opened it, whose socket it still speaks through. */
  handleClient(websocket: WebSocket, request: IncomingMessage): void {
    void this.#admit(websocket, request);
  }

  /**
   * Reads the certificate and the files of keys and accounts again. Whoever is connected keeps what he still may follow.
   * @throws SettingError one of them is wrong; then it goes on with what it had
   */
  reload(): void {
    const { authenticator, answers } = this.#context;
    if (this.#http) renewCertificate(this.#http, this.#settings);
    authenticator.reload();
    answers.clear();
    for (const connection of this.#connections) connection.renew();
    this.#log.info("certificate, keys and accounts were read again");
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const failed = () => socket.destroy();
    socket.on("error", failed);
    const place = await this.#placeFor(request);
    socket.off("error", failed);
    if (place instanceof CacheError) {
      refuseUpgrade(socket, place);
      return;
    }
    if (socket.destroyed) {
      place.leave();
      return;
    }
    const leave = () => place.leave();
    socket.once("close", leave);
    this.#websockets.handleUpgrade(request, socket, head, (websocket) => {
      // It would also keep the request as long as the connection.
      socket.off("close", leave);
      this.#welcome(websocket, request, place);
    });
  }

  async #admit(websocket: WebSocket, request: IncomingMessage): Promise<void> {
    // Nothing it says may be lost meanwhile.
    websocket.on("error", () => {});
    websocket.pause();
    const place = await this.#placeFor(request);
    websocket.resume();
    if (place instanceof CacheError) websocket.close(noOf(place).close, place.code);
    else if (websocket.readyState !== websocket.OPEN) place.leave();
    else this.#welcome(websocket, request, place);
  }

  /** A place for whoever sent this request, or why there is none. */
  async #placeFor(request: IncomingMessage): Promise<Place | CacheError> {
    try {
      const place = await this.#admission.admit(request);
      if (!this.#stopping) return place;
      place.leave();
      throw new CacheError("DRAINING", "the server is going away", { details: { retry_after_ms: 1_000 } });
    } catch (error) {
      const refusal = error instanceof CacheError ? error : new CacheError("INTERNAL_ERROR", "the gateway failed");
      const { code, message } = refusal;
      this.#context.refusals.add(code);
      if (refusal !== error) {
        this.#monitor.bug();
        this.#log.error({ err: error }, "a connection failed for a reason that is a bug");
      } else
        this.#log.info(
          { peer: request.socket.remoteAddress, origin: request.headers.origin, code, err: refusal.cause },
          `connection refused: ${message}`,
        );
      return refusal;
    }
  }

  #welcome(websocket: WebSocket, request: IncomingMessage, place: Place): void {
    const id = this.#nextConnection++;
    const openedAt = performance.now();
    const connection = new Connection(id, websocket, request.socket, place, this.#context);
    this.#connections.add(connection);
    this.#monitor.opened();
    const { address: peer, identity } = place;
    const user = identity === anyone ? undefined : identity.name;
    this.#log.info({ connection: id, peer, user }, "connection opened");
    websocket.on("error", (err) => this.#log.debug({ connection: id, err }, "connection failed"));
    websocket.on("close", (code) => {
      this.#connections.delete(connection);
      this.#monitor.closed(code, connection.updatesSent);
      connection.ended();
      place.leave();
      const seconds = Math.round(performance.now() - openedAt) / 1000;
      this.#log.info({ connection: id, code, seconds }, "connection closed");
    });
    if (this.#stopping) connection.drain();
  }

  /**
   * Says DRAINING to every client and closes with 1012; of many clients, to some after the others, within half of
   * `drainMs`. Ends after `drainMs` at the latest.
   */
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
    const close = () => new Promise((resolve) => (http ? http.close(resolve) : resolve(undefined)));
    // Who comes now finds the peers; where there are none, he is told when to come back.
    let closed = this.#peers && close();
    const deadline = setTimeout(() => {
      for (const connection of this.#connections) connection.terminate();
      http?.closeAllConnections();
    }, this.#settings.drainMs);
    await this.#drainInTurn();
    while (this.#connections.size > 0) await Promise.all([...this.#connections].map((connection) => connection.closed));
    closed ??= close();
    await closed;
    clearTimeout(deadline);
    await this.#redis.close();
    this.#metricsHttp?.close();
    this.#metricsHttp?.closeAllConnections();
    this.#log.info("stopped");
  }

  async #drainInTurn(): Promise<void> {
    const connections = [...this.#connections];
    const turns = Math.floor(this.#settings.drainMs / 2 / drainEveryMs);
    const atOnce = Math.max(drainedAtOnce, Math.ceil(connections.length / turns));
    for (let at = 0; at < connections.length; at += atOnce) {
      if (at > 0) await delay(drainEveryMs);
      for (const connection of connections.slice(at, at + atOnce))
        if (this.#connections.has(connection)) connection.drain();
    }
  }

  #checkWhoMayRead(): void {
    const { host, insecure, jwtSecret } = this.#settings;
    if (jwtSecret !== undefined && jwtSecret.length < weakSecretLength)
      this.#log.warn(`JWT_SECRET is shorter than ${weakSecretLength} characters: it can be guessed`);
    if (this.#context.authenticator.isRequired || isLoopback(host)) return;
    if (!insecure)
      throw new SettingError(
        `--host ${host} would show every account to whoever can reach it: say who may connect (JWT_SECRET, JWKS_URL, ` +
          "JWT_KEY_FILE or API_KEYS_FILE), or that it is meant so with --insecure",
      );
    this.#log.warn({ host }, "INSECURE: whoever can reach this address may read everything, every account included");
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
    this.#monitor.redisReached();
    this.#reachable = true;
    this.#refusal = undefined;
    this.#log.info(state, "Redis can be reached");
    this.#warnOfRights();
    if (state.change_detection === "timed")
      this.#log.warn(
        { poll_ms: this.#settings.pollMs },
        "Redis cannot tell what changed (CLIENT TRACKING): what is followed is read again on a timer",
      );
    this.#context.topics.restored();
  }

  #warnOfRights(): void {
    const { granted = [] } = this.#redis;
    const could = shortList(granted);
    if (could !== this.#warned && granted.length > 0)
      this.#log.warn({ could }, "the Redis user may do more than read: README.md has the rights that are enough");
    this.#warned = could;
  }

  #redisDown(reason: unknown): void {
    // Once per outage; every further attempt only says the same.
    const isNews = this.#reachable !== false;
    this.#reachable = false;
    if (reason instanceof NotReadOnly) {
      const level = this.#refusal?.message === reason.message ? "debug" : "error";
      this.#refusal = reason;
      this.#log[level]({ err: reason }, "Redis is not used, since REQUIRE_READ_ONLY is set");
    } else this.#log[isNews ? "warn" : "debug"]({ err: reason }, "Redis cannot be reached");
    this.#context.topics.lost(new CacheError("CACHE_UNAVAILABLE", "Redis cannot be reached", { cause: reason }));
  }
}
