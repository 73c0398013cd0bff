import { createClient, ErrorReply, RESP_TYPES } from "redis";
import { backoffMs } from "../protocol/backoff.ts";
import { CacheError } from "../protocol/errors.ts";

/**
 * Every command the gateway may send, and nothing else: none of them writes. A command is checked here, at the one place
 * through which all of them pass, before it reaches the socket.
 */
export const allowedCommands = [
  "GET",
  "MGET",
  "HGET",
  "HMGET",
  "HGETALL",
  "LLEN",
  "LRANGE",
  "SCAN",
  "PING",
  "CLIENT TRACKING",
] as const;

/** One of {@link allowedCommands}. */
export type ReadCommand = (typeof allowedCommands)[number];

const allowed: ReadonlySet<string> = new Set(allowedCommands);

/** A reply as RESP has it, with maps as flat lists in both of its versions. */
export type Reply = string | number | null | readonly Reply[];

/** Where Redis is and how to get in. */
export interface RedisAddress {
  readonly url?: string;
  readonly host?: string;
  readonly port?: number;
  readonly database?: number;
  readonly username?: string;
  readonly password?: string;
}

/** What the server at the other end can do: tell what changed (RESP3 and CLIENT TRACKING), only push, or neither. */
export type Ability = "tracking" | "resp3" | "resp2";

/** Whoever wants to know how a connection fares. */
export interface ConnectionEvents {
  up(): void;
  down(reason: unknown): void;
  /** A tracked key was written; without a key, all of them were. */
  invalidated(key: string | undefined): void;
}

/** How a connection behaves. */
export interface ConnectionOptions {
  readonly address: RedisAddress;
  /** How it is called in Redis' CLIENT LIST. */
  readonly name: string;
  /** How long a read may take, in milliseconds. */
  readonly timeoutMs: number;
  /** How long to wait at most before another attempt to connect, in milliseconds. */
  readonly maxBackoffMs: number;
}

/** How often an idle connection shows that it is alive, in milliseconds. */
export const keepAliveMs = 10_000;
const hungMs = 10_000;
const connectTimeoutMs = 5_000;
const refusesGreeting = /^(ERR (?!max number of clients)|NOPERM\b|NOPROTO\b)/;

interface Pending {
  readonly since: number;
  expire(): void;
}

type Client = ReturnType<typeof open>;

function open({ address, name }: ConnectionOptions, ability: Ability) {
  const { url, host, port, ...login } = address;
  return createClient({
    ...login,
    ...(url !== undefined && { url }),
    name,
    RESP: ability === "resp2" ? 2 : 3,
    emitInvalidate: ability === "tracking",
    socket: {
      ...(host !== undefined && { host }),
      ...(port !== undefined && { port }),
      connectTimeout: connectTimeoutMs,
      // A new client for every attempt: what it can do is found out anew, and what was armed is armed by us.
      reconnectStrategy: false,
    },
    // A command that cannot be sent now fails now. The default time limit costs one AbortSignal per command: ours below
    // is one timer for all.
    disableOfflineQueue: true,
    commandOptions: { timeout: undefined, typeMapping: { [RESP_TYPES.MAP]: Array } },
    disableClientInfo: true,
    maintNotifications: "disabled",
  } as Parameters<typeof createClient>[0] & object);
}

/** One socket to Redis that comes back by itself, bounds every wait, and lets only reads through. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #events: ConnectionEvents;
  readonly #pending = new Set<Pending>();
  // `#opened` may still be shaking hands; `#client` is ready.
  #opened: Client | undefined;
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

  /** Connects, and again after every break. Resolves after the first attempt, whether it succeeded or not. */
  start(): Promise<void> {
    return new Promise((tried) => {
      this.#running ??= this.#run(tried);
    });
  }

  /** Ends the connection for good. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#opened?.destroy();
    this.#wake?.();
    clearTimeout(this.#watchdog);
    await this.#running;
  }

  /** Sends one read. @throws CacheError CACHE_UNAVAILABLE, CACHE_TIMEOUT, DATA_CORRUPT (a key of another type) */
  ask(command: ReadCommand, ...args: readonly string[]): Promise<Reply> {
    if (!allowed.has(command)) throw new Error(`${command} is not a command that the gateway may send`);
    return this.#send((client) => client.sendCommand<Reply>([...command.split(" "), ...args]), args[0]);
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
      try {
        const { client, ability, ended } = await this.#connect();
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
        if (!this.#closed) this.#events.down(reason);
      }
      tried();
      if (!this.#closed) await this.#pause(backoffMs(failures, 100, this.#options.maxBackoffMs));
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

  /** Finds out what the server can do by asking for the most first. */
  async #connect(): Promise<{ client: Client; ability: Ability; ended: Promise<unknown> }> {
    let refusal: unknown;
    for (const ability of ["tracking", "resp3", "resp2"] as const) {
      const client = open(this.#options, ability);
      this.#opened = client;
      const ended = new Promise<unknown>((resolve) => client.on("error", resolve).on("end", resolve));
      client.on("invalidate", (key: Buffer | string | null) =>
        this.#events.invalidated(key === null ? undefined : String(key)),
      );
      // connectTimeout bounds the connecting, this the greeting: a server that accepts may still never answer.
      const deadline = setTimeout(() => client.destroy(), connectTimeoutMs);
      try {
        await client.connect();
        return { client, ability, ended };
      } catch (error) {
        client.destroy();
        // Only a refusal of the greeting itself says something about what the server can do.
        if (this.#closed || !(error instanceof ErrorReply) || !refusesGreeting.test(error.message)) throw error;
        refusal = error;
      } finally {
        clearTimeout(deadline);
      }
    }
    throw refusal;
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
        this.#client?.destroy();
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
