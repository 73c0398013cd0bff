import { backoffMs } from "../protocol/backoff.ts";
import { CacheError, mayReconnect } from "../protocol/errors.ts";
import { timerMs, unref } from "./timer.ts";
import { subprotocols, type TokenSource } from "./token.ts";

/** How the connection is doing. */
export type ConnectionStatus =
  | { readonly state: "connecting"; readonly attempt: number }
  | { readonly state: "open" }
  | { readonly state: "waiting"; readonly attempt: number; readonly delayMs: number; readonly reason: CacheError }
  | { readonly state: "closed"; readonly reason?: CacheError };

/** What this library needs of a WebSocket; browsers, Node, Deno, Bun and the `ws` package have it. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(text: string): void;
  close(code?: number): void;
  /** Ends it at once, where it can be done (in the `ws` package). */
  terminate?(): void;
}

/** A WebSocket class. */
export type WebSocketClass = new (url: string, protocols?: string[]) => WebSocketLike;

/** How a link behaves; all times in milliseconds. */
export interface LinkOptions {
  readonly WebSocket: WebSocketClass;
  readonly connectTimeoutMs: number;
  /** The upper bound of the pause before a new attempt. */
  readonly maxBackoffMs: number;
  /** How often a sign of life is asked for; a connection that gave none since the last time is taken for dead. */
  readonly silenceMs: number;
  readonly token?: TokenSource | undefined;
}

/** What a link tells. */
export interface LinkEvents {
  opened(): void;
  received(text: string): void;
  /** Asks for a sign of life: whatever comes is one. */
  beat(): void;
  status(status: ConnectionStatus): void;
}

const firstBackoffMs = 200;
// A connection that ended sooner than this was not worth much: the next pause is longer, not short again.
const steadyMs = 5_000;
const farewellMs = 1_000;
/** What to look at when no connection can be made. */
const hints = {
  CONNECTION_FAILED: "Is the gateway running? Start one with: npx fullon-cache-api serve",
  UNAUTHORIZED: "The gateway wants a token, and another one if there was one",
  FORBIDDEN: "The gateway serves nobody from this address or origin",
} as const;

/** One socket that comes back: reconnects with full jitter, and finds out by itself when the other end is dead. */
export class Link {
  readonly #url: string;
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  #socket: WebSocketLike | undefined;
  #attempt = 0;
  #openedAt = Number.POSITIVE_INFINITY;
  #heard = true;
  #beatAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pulse: ReturnType<typeof setInterval> | undefined;
  #status: ConnectionStatus = { state: "connecting", attempt: 0 };

  constructor(url: string, options: LinkOptions, events: LinkEvents) {
    this.#url = url;
    this.#options = options;
    this.#events = events;
  }

  /** Connects. */
  open(): void {
    const { token, connectTimeoutMs } = this.#options;
    this.#tell({ state: "connecting", attempt: ++this.#attempt });
    this.#timer = unref(
      setTimeout(() => this.#abandon(`no connection within ${connectTimeoutMs} ms`), timerMs(connectTimeoutMs)),
    );
    if (typeof token === "function") void this.#connectWith(token, this.#timer);
    else this.#connect(token);
  }

  async #connectWith(
    token: Exclude<TokenSource, string>,
    timer: ReturnType<typeof setTimeout> | undefined,
  ): Promise<void> {
    // Meanwhile it may have been closed, or have taken too long.
    const isWanted = () => this.#timer === timer && this.#status.state === "connecting";
    try {
      const got = await token();
      if (isWanted()) this.#connect(got);
    } catch (cause) {
      if (!isWanted()) return;
      this.#detach();
      const why = cause instanceof Error ? `: ${cause.message}` : "";
      this.#retry(new CacheError("UNAUTHORIZED", `no token could be got for ${this.#url}${why}`, { cause }));
    }
  }

  #connect(token: string | undefined): void {
    let socket: WebSocketLike;
    try {
      const { WebSocket } = this.#options;
      socket = token === undefined ? new WebSocket(this.#url) : new WebSocket(this.#url, subprotocols(token));
    } catch (cause) {
      // What no socket can be made of will not become better.
      const why = cause instanceof Error ? cause.message : "this is no WebSocket URL";
      this.close(new CacheError("CONNECTION_FAILED", `no connection can be made to ${this.#url}: ${why}`, { cause }));
      return;
    }
    this.#socket = socket;
    let cause: unknown;
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => {
      this.#heard = true;
      if (typeof data === "string") this.#events.received(data);
    };
    socket.onerror = (event) => {
      cause = (event as { error?: unknown }).error;
    };
    socket.onclose = ({ code, reason }) => this.#lost(code, reason, cause);
  }

  /** Sends text, if the connection is open. */
  send(text: string): void {
    if (this.#status.state === "open") this.#socket?.send(text);
  }

  /** Ends it for good. */
  close(reason?: CacheError): void {
    if (this.#status.state === "closed") return;
    const socket = this.#detach();
    socket?.close(1000);
    // A server that does not say goodbye is not waited for.
    if (socket?.terminate) unref(setTimeout(() => socket.terminate?.(), farewellMs));
    this.#tell(reason ? { state: "closed", reason } : { state: "closed" });
  }

  #opened(): void {
    clearTimeout(this.#timer);
    this.#openedAt = this.#beatAt = performance.now();
    this.#heard = true;
    this.#pulse = unref(setInterval(() => this.#beat(), timerMs(this.#options.silenceMs)));
    this.#tell({ state: "open" });
    this.#events.opened();
  }

  #beat(): void {
    const { silenceMs } = this.#options;
    const pauseMs = performance.now() - this.#beatAt;
    this.#beatAt += pauseMs;
    // Where the whole process stood still, what was heard may not have been looked at yet.
    if (!this.#heard && pauseMs < 1.5 * silenceMs) {
      this.#abandon(`nothing was heard for ${silenceMs} ms and more`);
      return;
    }
    this.#heard = false;
    this.#events.beat();
  }

  /** Gives up a socket that may never say that it is closed. */
  #abandon(why: string): void {
    const socket = this.#detach();
    if (socket?.terminate) socket.terminate();
    else socket?.close();
    this.#retry(new CacheError("CONNECTION_FAILED", `the connection to ${this.#url} is dead: ${why}`));
  }

  #lost(code: number, reason: string, cause: unknown): void {
    const wasOpen = this.#status.state === "open";
    this.#detach();
    const why = [`code ${code}`, reason, cause instanceof Error ? cause.message : ""].filter(Boolean).join(", ");
    const refused = wasOpen ? undefined : refusalIn(cause);
    const hint = hints[refused ?? "CONNECTION_FAILED"];
    const message = wasOpen
      ? `the connection to ${this.#url} was closed (${why})`
      : `the connection to ${this.#url} could not be made (${why}). ${hint}`;
    const details = { close_code: code, ...(reason !== "" && { reason }) };
    const failed = wasOpen ? "CONNECTION_CLOSED" : "CONNECTION_FAILED";
    const error = new CacheError(refused ?? failed, message, { details, cause });
    // The same token would be refused again.
    const isFinal = refused !== undefined && typeof this.#options.token !== "function";
    if (mayReconnect(code) && !isFinal) this.#retry(error);
    else this.close(error);
  }

  #retry(reason: CacheError): void {
    if (performance.now() - this.#openedAt > steadyMs) this.#attempt = 0;
    this.#openedAt = Number.POSITIVE_INFINITY;
    const delayMs = backoffMs(this.#attempt, firstBackoffMs, timerMs(this.#options.maxBackoffMs));
    this.#tell({ state: "waiting", attempt: this.#attempt, delayMs, reason });
    if (this.#status.state === "waiting") this.#timer = setTimeout(() => this.open(), delayMs);
  }

  #detach(): WebSocketLike | undefined {
    clearTimeout(this.#timer);
    clearInterval(this.#pulse);
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) {
      // Without a listener for errors the ws package would throw the next one at the process.
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.onerror = () => {};
    }
    return socket;
  }

  #tell(status: ConnectionStatus): void {
    this.#status = status;
    this.#events.status(status);
  }
}

/** Why an upgrade was refused for good, where the WebSocket class tells it; browsers do not. */
function refusalIn(cause: unknown): Exclude<keyof typeof hints, "CONNECTION_FAILED"> | undefined {
  const [, status] = /server response: (\d+)/.exec(cause instanceof Error ? cause.message : "") ?? [];
  return status === "401" ? "UNAUTHORIZED" : status === "403" ? "FORBIDDEN" : undefined;
}
