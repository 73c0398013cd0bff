import { CacheError, errorCodes, isErrorCode } from "../protocol/errors.ts";
import type { Response, StreamOpened, StreamStatus } from "../protocol/frames.ts";
import { at } from "./call-site.ts";
import { Inbox } from "./inbox.ts";
import { type ConnectionStatus, Link, type LinkOptions } from "./link.ts";
import { type AnyUpdate, StreamFeed, type StreamHost, type StreamRequest } from "./stream.ts";

/** How one call behaves. */
export interface CallOptions {
  /** Gives the call up. */
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for the answer, in milliseconds. */
  readonly timeoutMs?: number | undefined;
}

interface Call {
  readonly text: string;
  /** Concerns this one connection: it means nothing on the next. */
  readonly bound?: true;
  settle(result: unknown): void;
  fail(error: unknown): void;
}

const statusHistory = 100;
const firstRetryMs = 200;
const maxRetryMs = 10_000;

/** Calls and streams over one link: what is unanswered is asked again after a break, what is followed is followed again. */
export class Session implements StreamHost {
  readonly #link: Link;
  readonly #timeoutMs: number;
  readonly #calls = new Map<string, Call>();
  readonly #feeds = new Set<StreamFeed>();
  /** The id under which the gateway knows a stream on this connection. */
  readonly #ids = new Map<StreamFeed, string>();
  readonly #opening = new Set<StreamFeed>();
  readonly #retries = new Map<StreamFeed, ReturnType<typeof setTimeout>>();
  readonly #routes = new Map<string, Set<StreamFeed>>();
  readonly #watchers = new Set<Inbox<ConnectionStatus>>();
  #nextId = 1;
  #updates = 0;

  constructor(url: string, options: LinkOptions & { readonly timeoutMs: number }) {
    this.#timeoutMs = options.timeoutMs;
    this.#link = new Link(url, options, {
      opened: () => this.#resume(),
      received: (text) => this.#receive(text),
      silent: () => this.#notify("ping", {}),
      status: (status) => this.#changed(status),
    });
  }

  /** How many updates came on all connections so far. */
  get updatesReceived(): number {
    return this.#updates;
  }

  /** How the connection is doing. */
  get status(): ConnectionStatus {
    return this.#link.status;
  }

  /** Begins to connect. */
  open(): void {
    this.#link.open();
  }

  /** Ends everything: calls fail with CONNECTION_CLOSED, streams end. */
  close(reason?: CacheError): void {
    this.#link.close(reason);
  }

  /** The states of the connection from now on, the present one first. */
  watch(): Inbox<ConnectionStatus> {
    const inbox = new Inbox<ConnectionStatus>(statusHistory);
    inbox.put(this.#link.status);
    if (this.#link.status.state === "closed") inbox.end();
    else this.#watchers.add(inbox);
    return inbox;
  }

  /** Ends a {@link watch}. */
  unwatch(inbox: Inbox<ConnectionStatus>): void {
    this.#watchers.delete(inbox);
  }

  /**
   * Asks one question. All questions are reads, so one that lost its connection is asked again on the next.
   * @throws CacheError what the gateway answers, REQUEST_TIMEOUT, CONNECTION_CLOSED; what `signal` was aborted with
   */
  call(
    operation: string,
    params: Readonly<Record<string, unknown>>,
    options: CallOptions,
    site: Error,
  ): Promise<unknown> {
    const { signal, timeoutMs = this.#timeoutMs } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#calls.delete(id);
      };
      const fail = (error: unknown) => {
        done();
        reject(error instanceof CacheError ? at(site, error) : error);
      };
      const abort = () => fail(signal?.reason);
      const late = () => fail(new CacheError("REQUEST_TIMEOUT", `${operation}: no answer within ${timeoutMs} ms`));
      const timer = setTimeout(late, timeoutMs);
      signal?.addEventListener("abort", abort);
      const settle = (result: unknown) => {
        done();
        resolve(result);
      };
      const id = this.#send(operation, params, { settle, fail });
    });
  }

  /** A stream, which asks for nothing until somebody takes from it. */
  stream(request: StreamRequest, buffer: number, site: Error): StreamFeed {
    return new StreamFeed(request, this, buffer, site);
  }

  opens(feed: StreamFeed): void {
    this.#feeds.add(feed);
    const { state } = this.#link.status;
    if (state === "closed") feed.end(new CacheError("CONNECTION_CLOSED", "the connection has been closed"));
    else if (state === "open") this.#subscribe(feed);
  }

  leaves(feed: StreamFeed): void {
    this.#feeds.delete(feed);
    clearTimeout(this.#retries.get(feed));
    this.#retries.delete(feed);
    this.#unroute(feed);
    this.#unsubscribe(this.#ids.get(feed));
    this.#ids.delete(feed);
  }

  #subscribe(feed: StreamFeed, attempt = 0): void {
    if (this.#opening.has(feed)) return;
    const { operation, params } = feed.request;
    const before = this.#ids.get(feed);
    this.#opening.add(feed);
    this.#send(operation, params, {
      bound: true,
      // Synchronously: the next frame may already be one of this stream.
      settle: (result) => {
        this.#opening.delete(feed);
        const { stream, topics } = result as StreamOpened;
        if (feed.ended) return this.#unsubscribe(stream);
        this.#unroute(feed);
        feed.opened(topics);
        for (const topic of topics) {
          const route = this.#routes.get(topic) ?? new Set();
          this.#routes.set(topic, route.add(feed));
        }
        this.#ids.set(feed, stream);
        this.#unsubscribe(before);
      },
      fail: (error) => {
        this.#opening.delete(feed);
        if (feed.ended) return;
        if (!(error instanceof CacheError) || !error.retryable) return feed.end(error);
        feed.interrupted(error);
        const delayMs = Math.random() * Math.min(maxRetryMs, firstRetryMs * 2 ** attempt);
        const retry = () => {
          this.#retries.delete(feed);
          if (this.#link.status.state === "open") this.#subscribe(feed, attempt + 1);
        };
        this.#retries.set(feed, setTimeout(retry, delayMs));
      },
    });
  }

  #unsubscribe(stream: string | undefined): void {
    if (stream !== undefined && this.#link.status.state === "open") this.#notify("unsubscribe", { stream });
  }

  /** Asks what needs no answer. */
  #notify(operation: string, params: Readonly<Record<string, unknown>>): void {
    this.#send(operation, params, { bound: true, settle: () => {}, fail: () => {} });
  }

  #unroute(feed: StreamFeed): void {
    for (const topic of feed.topics) {
      const route = this.#routes.get(topic);
      route?.delete(feed);
      if (route?.size === 0) this.#routes.delete(topic);
    }
  }

  #send(operation: string, params: Readonly<Record<string, unknown>>, call: Omit<Call, "text">): string {
    const id = `c${this.#nextId++}`;
    const text = JSON.stringify({ request_id: id, operation, params });
    if (this.#link.status.state === "closed")
      queueMicrotask(() => call.fail(new CacheError("CONNECTION_CLOSED", "the connection has been closed")));
    else {
      this.#calls.set(id, { ...call, text });
      this.#link.send(text);
    }
    return id;
  }

  /** A new connection: the gateway knows nothing of us any more. */
  #resume(): void {
    for (const { text } of this.#calls.values()) this.#link.send(text);
    for (const feed of this.#feeds) this.#subscribe(feed);
  }

  #changed(status: ConnectionStatus): void {
    for (const watcher of this.#watchers) watcher.put(status);
    if (status.state === "waiting") {
      // What belongs to the connection ends with it; questions stay and are asked again.
      this.#ids.clear();
      for (const [id, { bound }] of this.#calls) if (bound) this.#calls.delete(id);
      this.#opening.clear();
      for (const timer of this.#retries.values()) clearTimeout(timer);
      this.#retries.clear();
      for (const feed of this.#feeds) feed.interrupted(status.reason);
    } else if (status.state === "closed") {
      const error = status.reason ?? new CacheError("CONNECTION_CLOSED", "the connection has been closed");
      for (const feed of [...this.#feeds]) feed.end(status.reason);
      for (const { fail } of [...this.#calls.values()]) fail(error);
      this.#calls.clear();
      for (const watcher of this.#watchers) watcher.end();
      this.#watchers.clear();
    }
  }

  #receive(text: string): void {
    let frame: unknown;
    try {
      frame = JSON.parse(text);
    } catch {
      // Whatever this is, it does not come from a gateway; silence or a gap will tell.
      return;
    }
    if (typeof frame !== "object" || frame === null) return;
    if ("request_id" in frame) this.#answered(frame as Response);
    else if ("update_id" in frame && "type" in frame && frame.type !== "stream_status") {
      this.#updates++;
      const update = frame as AnyUpdate;
      for (const feed of this.#routes.get(update.topic) ?? []) feed.take(update);
    } else if ("type" in frame && frame.type === "stream_status") {
      const status = frame as StreamStatus;
      const route = [...(this.#routes.get(status.topic) ?? [])];
      for (const feed of route) {
        // A server that drains closes the connection next, and the stream goes on with the next one.
        if (status.state === "ended" && status.error_code !== "DRAINING") feed.end(ended(status));
        else feed.tell(status);
      }
    }
  }

  #answered(response: Response): void {
    const call = this.#calls.get(String(response.request_id));
    if (!call) return;
    if (response.success) {
      this.#calls.delete(String(response.request_id));
      call.settle(response.result);
      return;
    }
    // The question stays: the connection is about to end, and the next one can be asked.
    if (response.error_code === "DRAINING") return;
    this.#calls.delete(String(response.request_id));
    const { error, error_code, details } = response;
    const code = isErrorCode(error_code) ? error_code : "INTERNAL_ERROR";
    call.fail(new CacheError(code, error, { ...(details && { details }) }));
  }
}

function ended({ topic, error_code: code }: StreamStatus): CacheError {
  const known = isErrorCode(code) ? code : "INTERNAL_ERROR";
  return new CacheError(known, `${topic} was ended by the gateway: ${errorCodes[known].about}`);
}
