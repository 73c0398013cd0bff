import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import type { RawData, WebSocket } from "ws";
import type { Asker } from "../operations/reading.ts";
import type { StreamSummary } from "../operations/server-info.ts";
import { CacheError, type ErrorCode } from "../protocol/errors.ts";
import type { RequestId, StreamOpened } from "../protocol/frames.ts";
import { type Answer, type Answers, failure, success } from "./answers.ts";
import { Outbox, textFrame } from "./outbox.ts";
import type { Asked, AskedStream, Request, Requests } from "./requests.ts";
import { noStream, Streams, type StreamsContext } from "./streams.ts";
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
  readonly requests: Requests;
  readonly answers: Answers;
  readonly epoch: string;
  readonly limits: Limits;
  readonly log: Logger;
}

const loggedRequestLength = 1_000;

const binary: Request = {
  id: null,
  error: new CacheError("MALFORMED_MESSAGE", "a text frame is expected, this one is binary"),
};

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
    // ws gives one Buffer for a whole message unless it is told otherwise.
    const request = isBinary ? binary : this.#context.requests.read((data as Buffer).toString());
    if ("error" in request) this.#answer(request.id, failure(request.error));
    else this.#begin(request);
  }

  #begin(request: Exclude<Request, { error: CacheError }>): void {
    const { id } = request;
    const refusal = this.#refusal(id);
    if (refusal) {
      this.#answer(id, failure(refusal));
      return;
    }
    if ("stream" in request) void this.#answerLater(id, request.stream, this.#openStream(id, request.stream));
    else {
      const answer = this.#context.answers.to(request.asked, this);
      if (answer instanceof Promise) void this.#answerLater(id, request.asked, answer);
      else this.#answer(id, answer);
    }
  }

  /** Why no more may be asked now, if so. */
  #refusal(id: RequestId): CacheError | undefined {
    if (this.#draining) return goingAway();
    if (!this.#inFlight) return undefined;
    if (this.#inFlight.has(id))
      return new CacheError("DUPLICATE_REQUEST_ID", `request_id ${JSON.stringify(id)} is still in flight`);
    const limit = this.#context.limits.max_in_flight;
    if (this.#inFlight.size < limit) return undefined;
    return new CacheError("LIMIT_EXCEEDED", `more than ${limit} requests in flight`, { details: { limit } });
  }

  /** Answers when the answer is there; what resolves to none has answered by itself. */
  async #answerLater(id: RequestId, asked: Asked | AskedStream, pending: Promise<Answer | undefined>): Promise<void> {
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

  #fail(id: RequestId, { name: operation, params }: Asked | AskedStream, error: unknown): void {
    if (error instanceof CacheError) {
      this.#answer(id, failure(error));
      return;
    }
    const request = JSON.stringify({ operation, params }).slice(0, loggedRequestLength);
    this.#context.log.error(
      { err: error, connection: this.id, request_id: id, request },
      "a request failed for a reason that is a bug",
    );
    this.#answer(id, failure(new CacheError("INTERNAL_ERROR", "the gateway failed: its log says why")));
  }

  async #openStream(requestId: RequestId, asked: AskedStream): Promise<undefined> {
    this.#streams ??= new Streams(this.#context, this);
    const mayOpen = () => {
      // A connection that is closed is answered, too: the answer goes nowhere.
      if (this.#draining || this.#closed) throw goingAway();
    };
    const { epoch } = this.#context;
    await this.#streams.open(asked, mayOpen, (stream, topics) =>
      this.#answer(requestId, success({ stream, topics, epoch } satisfies StreamOpened)),
    );
  }

  #closeIfDrained(): void {
    if (this.#draining && !this.#inFlight?.size) this.close(1012, "DRAINING");
  }
}

function goingAway(): CacheError {
  return new CacheError("DRAINING", "the server is going away: connect again");
}
