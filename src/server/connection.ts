import type { Logger } from "pino";
import type { RawData, WebSocket } from "ws";
import { operationsByWireName } from "../operations/index.ts";
import type { LiveQuery, Operation, Query } from "../operations/operation.ts";
import type { Asking } from "../operations/reading.ts";
import type { StreamSummary } from "../operations/server-info.ts";
import { CacheError, type ErrorCode, errorCodes } from "../protocol/errors.ts";
import { maxRequestIdLength, type RequestId, type Response, type StreamOpened } from "../protocol/frames.ts";
import { type Outbox, textFrame } from "./outbox.ts";
import { type Sink, Subscription } from "./subscription.ts";
import type { Topic } from "./topic.ts";
import type { Topics } from "./topics.ts";

/** What one connection may hold at a time; told by `get_server_info`. */
export interface Limits {
  readonly max_frame_bytes: number;
  readonly max_in_flight: number;
  readonly max_streams: number;
  readonly max_topics: number;
  readonly congested_bytes: number;
  readonly max_backlog_bytes: number;
}

/** What a connection needs of the server. */
export interface ConnectionContext {
  readonly id: number;
  readonly topics: Topics;
  readonly epoch: string;
  readonly limits: Limits;
  readonly log: Logger;
  /** What reads may use; the connection adds itself. */
  readonly asking: Omit<Asking, "connection">;
}

const loggedRequestLength = 1_000;

interface Stream {
  readonly summary: StreamSummary;
  readonly topics: readonly Topic[];
}

/** A request whose envelope is right; its parameters are not looked at yet. */
interface Envelope {
  readonly requestId: RequestId;
  readonly operation: string;
  readonly params: unknown;
}

/** One client: reads its requests, answers them, and sends it what its streams bring. */
export class Connection implements Sink {
  /** Resolves when its socket is closed. */
  readonly closed: Promise<void>;
  readonly #socket: WebSocket;
  readonly #outbox: Outbox;
  readonly #context: ConnectionContext;
  readonly #asking: Asking;
  readonly #inFlight = new Set<RequestId>();
  readonly #streams = new Map<string, Stream>();
  readonly #subscriptions = new Map<string, Subscription>();
  #nextStream = 1;
  #updatesSent = 0;
  #congested = false;
  #draining = false;
  #closed = false;
  #heard = true;

  constructor(socket: WebSocket, outbox: Outbox, context: ConnectionContext) {
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    this.#socket = socket;
    this.#outbox = outbox;
    this.#context = context;
    const connection = this;
    this.#asking = {
      ...context.asking,
      connection: {
        get updatesSent() {
          return connection.#updatesSent;
        },
        streams: () => [...this.#streams.values()].map(({ summary }) => summary),
        unsubscribe: (stream) => this.#unsubscribe(stream),
      },
    };
    socket.on("message", (data, isBinary) => this.#receive(data, isBinary));
    socket.on("pong", () => {
      this.#heard = true;
    });
  }

  /** How many streams it has. */
  get streams(): number {
    return this.#streams.size;
  }

  get congested(): boolean {
    return this.#congested;
  }

  /** Asks the client for a sign of life; closes the connection if it gave none since the last time. */
  beat(): void {
    if (!this.#heard) {
      this.close(4408, "no pong");
      this.#socket.terminate();
      return;
    }
    this.#heard = false;
    this.#socket.ping();
  }

  /** Says that the server goes away, ends its streams, answers what is in flight, and closes. */
  drain(): void {
    this.#draining = true;
    const topics = [...this.#subscriptions.keys()];
    this.#endStreams();
    const { epoch } = this.#context;
    for (const topic of topics)
      this.status(
        textFrame(JSON.stringify({ type: "stream_status", topic, state: "ended", epoch, error_code: "DRAINING" })),
      );
    this.#closeIfDrained();
  }

  /** Closes the socket after what is due has left. */
  close(code: number, reason: ErrorCode | "no pong"): void {
    this.#outbox.flush();
    this.#socket.close(code, reason);
  }

  /** Ends the connection at once. */
  terminate(): void {
    this.#socket.terminate();
  }

  /** The socket is closed: nothing is followed any more. */
  ended(): void {
    this.#closed = true;
    this.#endStreams();
  }

  update(frame: Buffer): void {
    this.#updatesSent++;
    this.#send(frame);
  }

  status(frame: Buffer): void {
    this.#send(frame);
  }

  /** The socket has taken everything: what waited meanwhile goes out. */
  relieved(): void {
    if (!this.#congested) return;
    this.#congested = false;
    for (const subscription of this.#subscriptions.values()) subscription.relieved();
  }

  #send(frame: Buffer): void {
    if (this.#closed) return;
    this.#outbox.add(frame);
    const { backlog } = this.#outbox;
    if (backlog > this.#context.limits.congested_bytes) this.#congested = true;
    if (backlog > this.#context.limits.max_backlog_bytes) {
      this.#closed = true;
      this.#context.log.warn({ connection: this.#context.id, backlog }, "connection takes nothing: closed");
      this.#socket.terminate();
    }
  }

  #respond(response: Response): void {
    this.#send(textFrame(JSON.stringify(response)));
  }

  #refuse(requestId: RequestId | null, error: CacheError): void {
    const { code, message, details } = error;
    this.#respond({
      request_id: requestId,
      success: false,
      error: message,
      error_code: code,
      retryable: errorCodes[code].retryable,
      details,
    });
  }

  #receive(data: RawData, isBinary: boolean): void {
    this.#heard = true;
    let message: unknown;
    try {
      // ws gives one Buffer for a whole message unless it is told otherwise.
      message = isBinary ? undefined : JSON.parse((data as Buffer).toString());
    } catch {
      message = undefined;
    }
    if (typeof message !== "object" || message === null || Array.isArray(message)) {
      const what = isBinary ? "a text frame is expected, this one is binary" : "the frame is not a JSON object";
      this.#refuse(null, new CacheError("MALFORMED_MESSAGE", what));
      return;
    }
    const { request_id: id, operation, params = {} } = message as Record<string, unknown>;
    const requestId = isRequestId(id) ? id : null;
    try {
      if (requestId === null)
        throw new CacheError(
          "INVALID_REQUEST",
          `request_id must be text of 1–${maxRequestIdLength} characters or an integer`,
          { details: { path: "request_id" } },
        );
      if (typeof operation !== "string")
        throw new CacheError("INVALID_REQUEST", "operation must be the name of an operation", {
          details: { path: "operation" },
        });
      this.#begin({ requestId, operation, params });
    } catch (error) {
      this.#fail(requestId, { operation, params }, error);
    }
  }

  #begin({ requestId, operation: name, params }: Envelope): void {
    const { limits } = this.#context;
    if (this.#inFlight.has(requestId))
      throw new CacheError("DUPLICATE_REQUEST_ID", `request_id ${JSON.stringify(requestId)} is still in flight`);
    if (this.#draining) throw goingAway();
    if (this.#inFlight.size >= limits.max_in_flight)
      throw new CacheError("LIMIT_EXCEEDED", `more than ${limits.max_in_flight} requests in flight`, {
        details: { limit: limits.max_in_flight },
      });
    const operation = operationsByWireName.get(name);
    if (!operation) throw unknownOperation(name);
    const fault = operation.check(params);
    if (fault) throw new CacheError("INVALID_PARAMS", fault.message, { details: { path: fault.path } });
    this.#inFlight.add(requestId);
    void this.#answer(requestId, name, operation, params as Record<string, unknown>);
  }

  async #answer(id: RequestId, name: string, operation: Operation, params: Record<string, unknown>): Promise<void> {
    try {
      if (operation.kind === "query") this.#succeed(id, await (operation as Query).read(this.#asking, params));
      else await this.#openStream(id, name, operation as LiveQuery, params);
    } catch (error) {
      this.#fail(id, { operation: name, params }, error);
    } finally {
      this.#inFlight.delete(id);
      this.#closeIfDrained();
    }
  }

  #succeed(requestId: RequestId, result: unknown): void {
    this.#respond({ request_id: requestId, success: true, result });
  }

  #fail(requestId: RequestId | null, asked: object, error: unknown): void {
    if (error instanceof CacheError) {
      this.#refuse(requestId, error);
      return;
    }
    const request = JSON.stringify(asked).slice(0, loggedRequestLength);
    const { id: connection, log } = this.#context;
    log.error(
      { err: error, connection, request_id: requestId, request },
      "a request failed for a reason that is a bug",
    );
    this.#refuse(requestId, new CacheError("INTERNAL_ERROR", "the gateway failed: its log says why"));
  }

  async #openStream(
    requestId: RequestId,
    name: string,
    live: LiveQuery,
    params: Record<string, unknown>,
  ): Promise<void> {
    const { limits, topics: shared, epoch } = this.#context;
    const sources = live.topics(this.#asking, params);
    const mayOpen = () => {
      // A connection that is closed is answered, too: the answer goes nowhere.
      if (this.#draining || this.#closed) throw goingAway();
      atMost(limits.max_streams, this.#streams.size + 1, "streams on this connection");
      const fresh = sources.filter((source) => !this.#subscriptions.has(source.name));
      atMost(limits.max_topics, this.#subscriptions.size + fresh.length, "topics on this connection");
    };
    mayOpen();
    const held = await Promise.allSettled(sources.map((source) => shared.hold(live, source)));
    const topics = held.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    try {
      for (const one of held) if (one.status === "rejected") throw one.reason;
      // Once more: requests that came together were all let in before any of them had opened its stream.
      mayOpen();
    } catch (error) {
      for (const topic of topics) shared.release(topic);
      throw error;
    }
    const stream = `s${this.#nextStream++}`;
    const summary = { stream, operation: name, params, topics: topics.map((topic) => topic.name) };
    this.#streams.set(stream, { summary, topics });
    this.#succeed(requestId, { stream, topics: summary.topics, epoch } satisfies StreamOpened);
    const interval = params["interval_ms"];
    for (const topic of topics) {
      let subscription = this.#subscriptions.get(topic.name);
      if (!subscription) {
        subscription = new Subscription(topic, this);
        this.#subscriptions.set(topic.name, subscription);
      }
      subscription.add(stream, typeof interval === "number" ? interval : 0);
    }
  }

  #unsubscribe(id: string): void {
    const stream = this.#streams.get(id);
    if (!stream) throw new CacheError("STREAM_NOT_FOUND", `this connection has no stream ${JSON.stringify(id)}`);
    this.#streams.delete(id);
    for (const topic of stream.topics) {
      if (this.#subscriptions.get(topic.name)?.delete(id)) this.#subscriptions.delete(topic.name);
      this.#context.topics.release(topic);
    }
  }

  #endStreams(): void {
    for (const stream of [...this.#streams.keys()]) this.#unsubscribe(stream);
  }

  #closeIfDrained(): void {
    if (this.#draining && this.#inFlight.size === 0) this.close(1012, "DRAINING");
  }
}

function isRequestId(id: unknown): id is RequestId {
  return typeof id === "string" ? id.length > 0 && id.length <= maxRequestIdLength : Number.isSafeInteger(id);
}

function atMost(limit: number, wanted: number, what: string): void {
  if (wanted > limit) throw new CacheError("LIMIT_EXCEEDED", `at most ${limit} ${what}`, { details: { limit } });
}

function goingAway(): CacheError {
  return new CacheError("DRAINING", "the server is going away: connect again");
}

function unknownOperation(name: string): CacheError {
  const names = [...operationsByWireName.keys()];
  const alike = names.find((known) => known.replaceAll("_", "") === name.replace(/[^a-z]/gi, "").toLowerCase());
  const hint = alike === undefined ? "" : `: did you mean ${alike}?`;
  return new CacheError("INVALID_OPERATION", `there is no operation ${JSON.stringify(name.slice(0, 100))}${hint}`, {
    details: { operations: names },
  });
}
