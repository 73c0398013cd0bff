import { ErrorReply } from "redis";
import { backoffMs } from "../protocol/backoff.ts";
import { CacheError } from "../protocol/errors.ts";
import { type ReadCommand, type Reply, words } from "./commands.ts";
import { type Ability, type Client, type GreetingOptions, greet, type RedisAddress } from "./greeting.ts";

/** Whoever wants to know how a connection fares. */
export interface ConnectionEvents {
  up(): void;
  down(reason: unknown): void;
  /** A tracked key was written; without a key, all of them were. */
  invalidated(key: string | undefined): void;
  /** It answered something so many milliseconds after it was asked. */
  answered?(ms: number): void;
}

/** How a connection behaves. */
export interface ConnectionOptions extends Omit<GreetingOptions, "address"> {
  /** Where Redis is; a function is asked before every attempt to connect. */
  readonly address: RedisAddress | (() => Promise<RedisAddress>);
  /** How long a read may take, in milliseconds. */
  readonly timeoutMs: number;
  /** How long to wait at most before another attempt to connect, in milliseconds. */
  readonly maxBackoffMs: number;
}

/** How often an idle connection shows that it is alive, in milliseconds. */
export const keepAliveMs = 10_000;
const hungMs = 10_000;
const firstBackoffMs = 100;

interface Pending {
  readonly since: number;
  expire(): void;
}

/** One socket to Redis that comes back by itself, bounds every wait, and lets only reads through. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #events: ConnectionEvents;
  readonly #pending = new Set<Pending>();
  // Ends the socket there is, be it still shaking hands; `#client` is ready.
  #socket = new AbortController();
  #address: RedisAddress | undefined;
  #client: Client | undefined;
  #ability: Ability | undefined;
  #closed = false;
  #wake: (() => void) | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** What the server can do; undefined while it cannot be reached. */
  get ability(): Ability | undefined {
    return this.#ability;
  }

  /** Where it is connected, or is about to be; undefined while it is not. */
  get address(): RedisAddress | undefined {
    return this.#address;
  }

  /** Connects, and again after every break. Resolves after the first attempt, whether it succeeded or not. */
  start(): Promise<void> {
    return new Promise((tried) => {
      this.#running ??= this.#run(tried);
    });
  }

  /** Breaks the socket there is; another is made in its place. */
  drop(reason: Error): void {
    this.#socket.abort(reason);
  }

  /** Ends the connection for good. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#socket.abort();
    this.#wake?.();
    clearTimeout(this.#watchdog);
    await this.#running;
  }

  /** Sends one read. @throws CacheError CACHE_UNAVAILABLE, CACHE_TIMEOUT, DATA_CORRUPT (a key of another type) */
  ask(command: ReadCommand, ...args: readonly string[]): Promise<Reply> {
    const sent = words(command, args);
    return this.#send((client) => client.sendCommand<Reply>(sent), args[0]);
  }

  /** Resolves when everything that Redis sent before it saw this call has been heard. */
  async settled(): Promise<void> {
    await this.ask("PING");
  }

  /** Hears a channel; resolves when Redis has confirmed it. */
  async subscribe(channel: string, heard: (message: string, channel: string) => void): Promise<void> {
    await this.#send((client) => client.subscribe(channel, heard));
  }

  /** Hears all channels below a prefix, which must be a constant: it becomes a pattern. */
  async subscribeBelow(prefix: string, heard: (message: string, channel: string) => void): Promise<void> {
    await this.#send((client) => client.pSubscribe(`${prefix}*`, heard));
  }

  /** Hears a channel no longer. */
  async unsubscribe(channel: string, heard: (message: string, channel: string) => void): Promise<void> {
    // Without `heard`, node-redis would think that it still has the channel when it is asked for again right away.
    await this.#send((client) => client.unsubscribe(channel, heard));
  }

  /** Hears the channels below a prefix no longer. */
  async unsubscribeBelow(prefix: string, heard: (message: string, channel: string) => void): Promise<void> {
    await this.#send((client) => client.pUnsubscribe(`${prefix}*`, heard));
  }

  /** Sends something and waits for the answer, but not for ever. */
  #send<T>(act: (client: Client) => Promise<T>, key?: string): Promise<T> {
    const client = this.#client;
    if (!client) return Promise.reject(new CacheError("CACHE_UNAVAILABLE", "Redis cannot be reached"));
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        since: performance.now(),
        expire: () =>
          reject(new CacheError("CACHE_TIMEOUT", `Redis did not answer within ${this.#options.timeoutMs} ms`)),
      };
      this.#pending.add(pending);
      this.#watch();
      act(client).then(
        (reply) => {
          this.#pending.delete(pending);
          this.#events.answered?.(performance.now() - pending.since);
          resolve(reply);
        },
        (error: unknown) => {
          this.#pending.delete(pending);
          reject(cacheError(error, key));
        },
      );
    });
  }

  async #run(tried: () => void): Promise<void> {
    for (let failures = 0; !this.#closed; failures++) {
      const { signal } = this.#socket;
      try {
        const { address } = this.#options;
        this.#address = typeof address === "function" ? await address() : address;
        const options = { ...this.#options, address: this.#address };
        const { client, ability, ended } = await greet(options, signal, (key) => this.#events.invalidated(key));
        this.#client = client;
        this.#ability = ability;
        this.#events.up();
        tried();
        failures = 0;
        const keepAlive = setInterval(() => this.settled().catch(() => {}), keepAliveMs);
        const reason = await ended;
        clearInterval(keepAlive);
        client.destroy();
        throw reason;
      } catch (reason) {
        this.#client = undefined;
        this.#ability = undefined;
        this.#address = undefined;
        if (!this.#closed) {
          this.#socket = new AbortController();
          this.#events.down(signal.reason ?? reason);
        }
      }
      tried();
      if (!this.#closed) await this.#pause(backoffMs(failures, firstBackoffMs, this.#options.maxBackoffMs));
    }
    tried();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  // One coarse timer for all reads, running only while there are any. What has arrived is read before anything expires:
  // it may be this process that had no time.
  #watch(): void {
    this.#watchdog ??= setTimeout(() => setImmediate(() => this.#expire()), this.#options.timeoutMs / 4);
  }

  #expire(): void {
    this.#watchdog = undefined;
    const now = performance.now();
    for (const pending of this.#pending) {
      const waited = now - pending.since;
      if (waited < this.#options.timeoutMs) break;
      pending.expire();
      if (waited > hungMs) {
        // It accepts commands and answers none: only a new socket can help.
        this.#pending.clear();
        this.drop(new Error(`Redis did not answer for ${hungMs} ms`));
        return;
      }
    }
    if (this.#pending.size > 0) this.#watch();
  }
}

function cacheError(error: unknown, key?: string): CacheError {
  if (!(error instanceof ErrorReply))
    return new CacheError("CACHE_UNAVAILABLE", "the connection to Redis broke", { cause: error });
  const [kind = ""] = error.message.split(" ");
  if (kind === "WRONGTYPE")
    return new CacheError("DATA_CORRUPT", `the value at ${key} is of another type than it should be`, {
      details: { key },
      cause: error,
    });
  return new CacheError("CACHE_UNAVAILABLE", `Redis does not let the gateway read now (${kind})`, { cause: error });
}
