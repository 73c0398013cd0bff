import type { Pong } from "../operations/gateway.ts";
import { CacheError } from "../protocol/errors.ts";
import type { AuthStatus, Response, StreamStatus } from "../protocol/frames.ts";
import { type CallOptions, Calls } from "./calls.ts";
import { type FeedOptions, StreamFeed, type StreamRequest } from "./feed.ts";
import { type ConnectionStatus, Link, type LinkOptions } from "./link.ts";
import type { AnyUpdate } from "./position.ts";
import { Subscriptions } from "./subscriptions.ts";
import { Renewal } from "./token.ts";
import { Watched } from "./watched.ts";

/** Calls and streams over one link: what is unanswered is asked again after a break, what is followed is followed again. */
export class Session {
  /** How the connection is doing. */
  readonly status = new Watched<ConnectionStatus>({ state: "connecting", attempt: 0 });
  readonly #link: Link;
  readonly #calls: Calls;
  readonly #subscriptions: Subscriptions;
  readonly #renewal: Renewal;
  #updates = 0;
  /** How many updates had come when this connection began. */
  #updatesBefore = 0;

  constructor(url: string, options: LinkOptions & { readonly timeoutMs: number }) {
    this.#link = new Link(url, options, {
      opened: () => this.#resume(),
      received: (text) => this.#receive(text),
      beat: () => this.#beat(),
      status: (status) => this.#changed(status),
    });
    this.#calls = new Calls((text) => this.#link.send(text), options.timeoutMs);
    this.#subscriptions = new Subscriptions(this.#calls, options.timeoutMs);
    this.#renewal = new Renewal(options.token, (token) => this.#calls.ask("authenticate", { token }));
  }

  /** How many updates came on all connections so far. */
  get updatesReceived(): number {
    return this.#updates;
  }

  /** Begins to connect. */
  open(): void {
    this.#link.open();
  }

  /** Ends everything: calls fail with CONNECTION_CLOSED, streams end. */
  close(): void {
    this.#link.close();
  }

  /** Asks one question. @throws CacheError */
  call(
    operation: string,
    params: Readonly<Record<string, unknown>>,
    options: CallOptions,
    site: Error,
  ): Promise<unknown> {
    return this.#calls.call(operation, params, options, site);
  }

  /** A stream, which asks for nothing until somebody takes from it. */
  stream(request: StreamRequest, options: FeedOptions): StreamFeed {
    return new StreamFeed(request, this.#subscriptions, options);
  }

  #resume(): void {
    this.#updatesBefore = this.#updates;
    this.#calls.resume();
    this.#subscriptions.resume();
  }

  /** Asks for a sign of life, which also tells whether something was lost that nothing later gave away. */
  #beat(): void {
    const settle = (result: unknown) => {
      const missing = (result as Pong).updates_sent - (this.#updates - this.#updatesBefore);
      if (missing <= 0) return this.#subscriptions.alive();
      this.#updatesBefore -= missing;
      this.#subscriptions.lost();
    };
    this.#calls.ask("ping", {}, { settle, fail: () => {} });
  }

  #changed(status: ConnectionStatus): void {
    this.status.set(status);
    if (status.state !== "open") this.#renewal.stop();
    if (status.state === "waiting") {
      this.#calls.interrupt();
      this.#subscriptions.interrupt(status.reason);
    } else if (status.state === "closed") {
      this.status.end();
      this.#subscriptions.close(status.reason);
      this.#calls.close(status.reason ?? new CacheError("CONNECTION_CLOSED", "the connection has been closed"));
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
    const { request_id: id, type, update_id: updateId } = frame as Readonly<Record<string, unknown>>;
    if (id !== undefined) this.#calls.answered(frame as Response);
    else if (type === "stream_status") this.#subscriptions.tell(frame as StreamStatus);
    else if (type === "auth_status") this.#renewal.due((frame as AuthStatus).expires_in);
    else if (type !== undefined && updateId !== undefined) {
      this.#updates++;
      this.#subscriptions.take(frame as AnyUpdate);
    }
  }
}
