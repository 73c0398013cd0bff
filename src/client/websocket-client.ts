import type { CacheError } from "../protocol/errors.ts";
import { wireName } from "../protocol/names.ts";
import { at, callSite } from "./call-site.ts";
import type { CallOptions } from "./calls.ts";
import type { ConnectionStatus, WebSocketClass } from "./link.ts";
import { onAbort } from "./on-abort.ts";
import { type Operations, type Signature, signatures } from "./operations.ts";
import { Session } from "./session.ts";
import { Stream } from "./stream.ts";
import type { TokenSource } from "./token.ts";

/** How a client behaves; all times in milliseconds. */
export interface ClientOptions {
  /** How long a call waits for its answer, reconnecting included; 10,000 unless told. */
  readonly timeoutMs?: number;
  /** How long an attempt to connect may take; 10,000 unless told. */
  readonly connectTimeoutMs?: number;
  /** The upper bound of the pause before connecting again, which is random below it; 30,000 unless told. */
  readonly maxBackoffMs?: number;
  /**
   * How often the gateway is asked for a sign of life, and whether an update was lost; 10,000 unless told. After twice as
   * much silence the connection is given up.
   */
  readonly silenceMs?: number;
  /** How many events (trades) wait for a slow reader before the oldest are dropped and counted; 10,000 unless told. */
  readonly bufferSize?: number;
  /**
   * Says who you are: a token, an API key, or a function that gets one. The function is asked before every connection and
   * before the token expires; a text is used as long as it holds.
   */
  readonly token?: TokenSource;
  /** Keep trying when the first attempt to connect fails, instead of throwing. */
  readonly waitOnFirstConnect?: boolean;
  /** Gives up connecting. */
  readonly signal?: AbortSignal;
  /** The WebSocket class to use; that of the `ws` package in Node.js, the global one everywhere else, unless told. */
  readonly WebSocket?: WebSocketClass;
}

/** A connection to the gateway, with a method for every operation. */
export interface CacheClient extends Operations, AsyncDisposable {
  /** Where the gateway is. */
  readonly url: string;
  /** How many updates came so far; `ping()` tells how many were sent on the present connection. */
  readonly updatesReceived: number;
  /** How the connection is doing, as values: the present state first, then every change; ends when it is closed. */
  status(): AsyncIterableIterator<ConnectionStatus, undefined>;
  /** Resolves when the connection has ended for good, with the reason if it was not `close()`. */
  closed(): Promise<CacheError | undefined>;
  /** Ends everything: streams end, calls that wait fail with CONNECTION_CLOSED. */
  close(): Promise<void>;
}

function isOptions(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Parameters by their names on the wire, from positional arguments and then one object of options. What it holds besides
 * goes along: the gateway knows best what it does not know.
 */
function parametersOf({ params: names }: Signature, given: readonly unknown[]) {
  const last = given.at(-1);
  const { signal, timeoutMs, ...named } = (isOptions(last) ? last : {}) as CallOptions & Record<string, unknown>;
  const params = Object.fromEntries(Object.entries(named).map(([name, value]) => [wireName(name), value]));
  const positional = isOptions(last) ? given.slice(0, -1) : given;
  for (const [at, value] of positional.entries()) {
    const name = names[at];
    if (name !== undefined && value !== undefined) params[name] = value;
  }
  return { params, options: { signal, timeoutMs } };
}

// The WebSocket of Node.js itself cannot end a connection whose other end is dead, nor say why it was refused.
function isNode(): boolean {
  type Versions = Readonly<Record<string, string | undefined>>;
  const versions = (globalThis as { process?: { readonly versions?: Versions } }).process?.versions ?? {};
  return versions["node"] !== undefined && versions["bun"] === undefined && versions["deno"] === undefined;
}

async function webSocketClass(): Promise<WebSocketClass> {
  const known = (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
  if (known && !isNode()) return known;
  const { WebSocket } = await import("ws");
  // A gateway compresses nothing, and what is not UTF-8 is no JSON of its either.
  const options = { perMessageDeflate: false, skipUTF8Validation: true };
  return class extends WebSocket {
    constructor(url: string, protocols: string[] = []) {
      super(url, protocols, options);
    }
  } as unknown as WebSocketClass;
}

/**
 * Connects to the gateway; resolves when it can be asked. From then on the connection heals itself: what is unanswered is
 * asked again, streams go on with a fresh snapshot.
 *
 * @param url where the gateway is, as `ws://…` or `wss://…`
 * @throws CacheError CONNECTION_FAILED: the gateway cannot be reached (unless `waitOnFirstConnect`); UNAUTHORIZED,
 * FORBIDDEN: it does not let you in
 *
 * @example
 * await using cache = await fullonCacheApi("ws://localhost:8765");
 * for await (const ticker of cache.streamTickers("binance", ["BTC/USDT"])) console.log(ticker.price);
 */
export async function fullonCacheApi(url = "ws://localhost:8765", options: ClientOptions = {}): Promise<CacheClient> {
  const { timeoutMs = 10_000, connectTimeoutMs = 10_000, maxBackoffMs = 30_000, silenceMs = 10_000 } = options;
  const { bufferSize = 10_000, waitOnFirstConnect = false, signal, token } = options;
  const site = callSite(fullonCacheApi);
  signal?.throwIfAborted();
  const WebSocket = options.WebSocket ?? (await webSocketClass());
  const session = new Session(url, { WebSocket, timeoutMs, connectTimeoutMs, maxBackoffMs, silenceMs, token });
  await connected(session, waitOnFirstConnect, signal, site);
  return Object.assign(new Client(url, session), methodsOf(session, bufferSize));
}

async function connected(
  session: Session,
  patient: boolean,
  signal: AbortSignal | undefined,
  site: Error,
): Promise<void> {
  const release = onAbort(signal, () => session.close());
  try {
    session.open();
    for await (const status of session.status.watch()) {
      signal?.throwIfAborted();
      if (status.state === "open") return;
      const isOver = status.state === "closed" || (status.state === "waiting" && !patient);
      if (isOver && status.reason) throw at(site, status.reason);
    }
  } catch (error) {
    session.close();
    throw error;
  } finally {
    release();
  }
}

/** A method for every operation. */
function methodsOf(session: Session, bufferSize: number): Operations {
  const methods = Object.entries(signatures).map(([name, signature]: [string, Signature]) => {
    const operation = wireName(name);
    const method = (...given: unknown[]): unknown => {
      const { params, options } = parametersOf(signature, given);
      const site = callSite(method);
      const { identity, retain } = signature;
      if (identity === undefined) return session.call(operation, params, options, site);
      const { signal } = options;
      return new Stream(session.stream({ operation, params, identity, retain }, { bufferSize, site, signal }));
    };
    return [name, method];
  });
  return Object.fromEntries(methods) as Operations;
}

/** What a client can do besides asking. */
class Client implements Omit<CacheClient, keyof Operations> {
  readonly url: string;
  readonly #session: Session;
  readonly #closed: Promise<CacheError | undefined>;

  constructor(url: string, session: Session) {
    this.url = url;
    this.#session = session;
    this.#closed = this.#untilClosed();
  }

  get updatesReceived(): number {
    return this.#session.updatesReceived;
  }

  status(): AsyncIterableIterator<ConnectionStatus, undefined> {
    return this.#session.status.watch();
  }

  closed(): Promise<CacheError | undefined> {
    return this.#closed;
  }

  async close(): Promise<void> {
    this.#session.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session.close();
  }

  async #untilClosed(): Promise<CacheError | undefined> {
    for await (const status of this.status()) if (status.state === "closed") return status.reason;
    return undefined;
  }
}
