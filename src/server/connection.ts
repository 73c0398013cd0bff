import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import type { RawData, WebSocket } from "ws";
import { operationsByWireName } from "../operations/index.ts";
import type { Asker } from "../operations/reading.ts";
import type { StreamSummary } from "../operations/server-info.ts";
import { CacheError, type ErrorCode } from "../protocol/errors.ts";
import { maxRequestIdLength, type RequestId, type StreamOpened } from "../protocol/frames.ts";
import { type Answer, type Answers, failure, success } from "./answers.ts";
import { Outbox, textFrame } from "./outbox.ts";
import { noStream, type StreamRequest, Streams, type StreamsContext } from "./streams.ts";
import type { Sink } from "./subscription.ts";

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
export interface ConnectionContext extends StreamsContext {
  readonly answers: Answers;
  readonly epoch: string;
  readonly limits: Limits;
  readonly log: Logger;
}

const loggedRequestLength = 1_000;

/** A request whose envelope is right; its parameters are not looked at yet. */
interface Envelope {
  readonly requestId: RequestId;
  readonly operation: string;
  readonly params: unknown;
}

/** One client: reads its requests, answers them, and sends it what its streams bring. */
export class Connection implements Sink, Asker {
  readonly id: number;
  readonly #socket: WebSocket;
  readonly #outbox: Outbox;
  readonly #context: ConnectionContext;
  // Most connections ask little or follow nothing: these are made when they are needed.
  #inFlight: Set<RequestId> | undefined;
  #streams: Streams | undefined;
  #updatesSent = 0;
  #congested = false;
  #draining = false;
  #closed = false;
  #heard = true;

  /** @param socket the one that `websocket` speaks through */
  constructor(id: number, websocket: WebSocket, socket: Duplex, context: ConnectionContext) {
    this.id = id;
    this.#socket = websocket;
    this.#outbox = new Outbox(websocket, socket, (backlog) => this.#pressed(backlog));
    this.#context = context;
    websocket.on("message", (data, isBinary) => this.#receive(data, isBinary));
    websocket.on("pong", () => {
      this.#heard = true;
    });
    socket.on("drain", () => this.#relieved());
  }

  /** Resolves when its socket is closed. */
  get closed(): Promise<void> {
    const socket = this.#socket;
    if (socket.readyState === socket.CLOSED) return Promise.resolve();
    return new Promise((resolve) => socket.once("close", () => resolve()));
  }

  /** How many streams it has. */
  get size(): number {
    return this.#streams?.size ?? 0;
  }

  /** How many updates it was sent so far. */
  get updatesSent(): number {
    return this.#updatesSent;
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
    const topics = this.#streams?.topics ?? [];
    this.#streams?.endAll();
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
    this.#streams?.endAll();
  }

  updates(chunk: Buffer, count: number): void {
    this.#updatesSent += count;
    this.#send(chunk);
  }

  status(frame: Buffer): void {
    this.#send(frame);
  }

  streams(): StreamSummary[] {
    return this.#streams?.summaries() ?? [];
  }

  unsubscribe(stream: string): void {
    if (!this.#streams) throw noStream(stream);
    this.#streams.end(stream);
  }

  #send(chunk: Buffer): void {
    if (!this.#closed) this.#outbox.add(chunk);
  }

  /** The socket has not taken everything. */
  #pressed(backlog: number): void {
    const { congested_bytes, max_backlog_bytes } = this.#context.limits;
    if (backlog > congested_bytes) this.#congested = true;
    if (backlog <= max_backlog_bytes || this.#closed) return;
    this.#closed = true;
    this.#context.log.warn({ connection: this.id, backlog }, "connection takes nothing: closed");
    this.#socket.terminate();
  }

  /** The socket has taken everything: what waited meanwhile goes out. */
  #relieved(): void {
    if (!this.#congested) return;
    this.#congested = false;
    this.#streams?.relieved();
  }

  #answer(requestId: RequestId | null, answer: Answer): void {
    this.#send(textFrame(`{"request_id":${JSON.stringify(requestId)}${answer}`));
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
      this.#answer(null, failure(new CacheError("MALFORMED_MESSAGE", what)));
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
    const inFlight = this.#inFlight;
    if (inFlight?.has(requestId))
      throw new CacheError("DUPLICATE_REQUEST_ID", `request_id ${JSON.stringify(requestId)} is still in flight`);
    if (this.#draining) throw goingAway();
    if (inFlight && inFlight.size >= limits.max_in_flight)
      throw new CacheError("LIMIT_EXCEEDED", `more than ${limits.max_in_flight} requests in flight`, {
        details: { limit: limits.max_in_flight },
      });
    const operation = operationsByWireName.get(name);
    if (!operation) throw unknownOperation(name);
    const fault = operation.check(params);
    if (fault) throw new CacheError("INVALID_PARAMS", fault.message, { details: { path: fault.path } });
    const asked = params as Record<string, unknown>;
    const answer =
      operation.kind === "live"
        ? this.#openStream(requestId, { operation: name, live: operation, params: asked })
        : this.#context.answers.to(name, operation, asked, this);
    if (answer instanceof Promise) void this.#answerLater(requestId, { operation: name, params }, answer);
    else this.#answer(requestId, answer);
  }

  /** Answers when the answer is there; what resolves to none has answered by itself. */
  async #answerLater(id: RequestId, asked: object, pending: Promise<Answer | undefined>): Promise<void> {
    this.#inFlight ??= new Set();
    this.#inFlight.add(id);
    try {
      const answer = await pending;
      if (answer) this.#answer(id, answer);
    } catch (error) {
      this.#fail(id, asked, error);
    } finally {
      this.#inFlight.delete(id);
      this.#closeIfDrained();
    }
  }

  #fail(requestId: RequestId | null, asked: object, error: unknown): void {
    if (error instanceof CacheError) {
      this.#answer(requestId, failure(error));
      return;
    }
    const request = JSON.stringify(asked).slice(0, loggedRequestLength);
    this.#context.log.error(
      { err: error, connection: this.id, request_id: requestId, request },
      "a request failed for a reason that is a bug",
    );
    this.#answer(requestId, failure(new CacheError("INTERNAL_ERROR", "the gateway failed: its log says why")));
  }

  async #openStream(requestId: RequestId, request: StreamRequest): Promise<undefined> {
    this.#streams ??= new Streams(this.#context, this);
    const mayOpen = () => {
      // A connection that is closed is answered, too: the answer goes nowhere.
      if (this.#draining || this.#closed) throw goingAway();
    };
    const { epoch } = this.#context;
    await this.#streams.open(request, mayOpen, (stream, topics) =>
      this.#answer(requestId, success({ stream, topics, epoch } satisfies StreamOpened)),
    );
  }

  #closeIfDrained(): void {
    if (this.#draining && !this.#inFlight?.size) this.close(1012, "DRAINING");
  }
}

function isRequestId(id: unknown): id is RequestId {
  return typeof id === "string" ? id.length > 0 && id.length <= maxRequestIdLength : Number.isSafeInteger(id);
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
