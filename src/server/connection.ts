import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import type { RawData, WebSocket } from "ws";
import type { Accounts } from "../operations/account-map.ts";
import type { Asker } from "../operations/reading.ts";
import type { IdentitySummary, StreamSummary } from "../operations/server-info.ts";
import { CacheError, type ErrorCode } from "../protocol/errors.ts";
import type { AuthStatus, RequestId, StreamOpened, StreamStatus } from "../protocol/frames.ts";
import { type Place, tooFast } from "./admission.ts";
import { type Answer, type Answers, codeOf, failure, success } from "./answers.ts";
import type { Authenticator } from "./authenticator.ts";
import type { Counts } from "./counts.ts";
import { Expiry } from "./expiry.ts";
import { type Identity, nobody } from "./identity.ts";
import { Outbox } from "./outbox.ts";
import type { Rate } from "./rate.ts";
import type { Asked, AskedStream, Request, Requests } from "./requests.ts";
import type { Limits } from "./settings.ts";
import { type Follower, noStream, Streams, type StreamsContext } from "./streams.ts";
import { textFrame } from "./text-frame.ts";
import type { Tracing } from "./tracing.ts";

/** What a connection needs of the server. */
export interface ConnectionContext extends StreamsContext {
  readonly requests: Requests;
  readonly answers: Answers;
  readonly epoch: string;
  readonly limits: Limits;
  readonly authenticator: Authenticator;
  readonly messageRate: Rate;
  readonly refusals: Counts<ErrorCode>;
  /** Counts updates that were left out for a client, and told as `skipped`. */
  readonly skipped: (count: number) => void;
  /** Where requests that have to wait become spans; undefined where nobody collects any. */
  readonly tracing: Tracing | undefined;
  readonly log: Logger;
}

const loggedRequestLength = 1_000;
const expiryWarningS = 60;
// Short answers are always given: there are no more of them than requests in flight.
const shortAnswer = 1_000;
// How long a slow client may take to see why it is cut off.
const farewellMs = 2_000;

const binary = new CacheError("MALFORMED_MESSAGE", "a text frame is expected, this one is binary");

/** One client: reads its requests, answers them, and sends it what its streams bring. */
export class Connection implements Follower, Asker {
  readonly id: number;
  readonly #socket: WebSocket;
  readonly #outbox: Outbox;
  readonly #context: ConnectionContext;
  readonly #place: Place;
  // Most connections ask little or follow nothing: these are made when they are needed.
  #inFlight: Set<RequestId> | undefined;
  #streams: Streams | undefined;
  /** What came while it was congested; no more than one read of the socket brings. */
  #unread: [data: RawData, isBinary: boolean][] | undefined;
  #draining = false;
  #closed = false;
  #heard = true;
  // When its messages so far are paid for, in milliseconds: see Rate. That is not before the last one.
  #paidAt = performance.now();
  // When the last of them came.
  #heardAt = this.#paidAt;
  #expiry: Expiry | undefined;

  /** @param socket the one that `websocket` speaks through */
  constructor(id: number, websocket: WebSocket, socket: Duplex, place: Place, context: ConnectionContext) {
    this.id = id;
    this.#place = place;
    this.#socket = websocket;
    this.#outbox = new Outbox(websocket, socket, context.limits, this);
    this.#context = context;
    websocket.on("message", (data, isBinary) => this.#receive(data, isBinary));
    websocket.on("pong", () => {
      this.#heard = true;
    });
    websocket.on("ping", () => this.#isTooFast());
    this.#watchIdentity();
  }

  get identity(): Identity {
    return this.#place.identity;
  }

  get accounts(): Accounts | undefined {
    return this.identity.accounts;
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
    return this.#outbox.updatesSent;
  }

  /** Whether nothing should be sent to it for now that can wait. */
  get congested(): boolean {
    return this.#outbox.congested;
  }

  /** How many bytes wait for it. */
  get queuedBytes(): number {
    return this.#outbox.queuedBytes;
  }

  /** Asks the client for a sign of life; closes the connection if it gave none since the last time. */
  beat(): void {
    if (!this.#heard && this.congested) {
      // Its pong would stand behind what it does not take.
      this.slow();
      return;
    }
    if (!this.#heard) {
      this.close(4408, "no pong");
      this.#socket.terminate();
      return;
    }
    this.#heard = false;
    const { idle_ms } = this.#context.limits;
    const isIdle = idle_ms > 0 && this.size === 0 && !this.#inFlight?.size;
    if (isIdle && performance.now() - this.#paidAt > idle_ms) {
      this.close(1000, "idle");
      return;
    }
    this.#expiry?.look();
    if (this.#closed) return;
    this.#socket.ping();
  }

  /** Who is connected may be somebody else now, or nobody who may be here. */
  renew(): void {
    const identity = this.#context.authenticator.renewed(this.identity);
    if (identity === nobody) return;
    if (identity) this.#become(identity);
    else this.#refuseToGoOn(4501, "UNAUTHORIZED");
  }

  async authenticate(token: string): Promise<IdentitySummary> {
    const identity = await this.#context.authenticator.identify(token);
    if (this.#closed) throw goingAway();
    this.#become(identity);
    const { userId = null, permissions, expiresAt = null } = identity;
    return { user_id: userId, scopes: [...permissions.scopes], expires_at: expiresAt };
  }

  /** Says that the server goes away, ends its streams, answers what is in flight, and closes. */
  drain(): void {
    this.#draining = true;
    this.#endStreams("DRAINING");
    this.#closeIfDrained();
  }

  /** Closes the socket after what is due has left. */
  close(code: number, reason: ErrorCode | "no pong" | "idle"): void {
    this.ended();
    this.#socket.close(code, reason);
    // Its own close frame has to be read.
    this.#socket.resume();
  }

  /** Ends the connection at once. */
  terminate(): void {
    this.#socket.terminate();
  }

  /** The socket is closed, or will be: nothing is followed any more. */
  ended(): void {
    this.#closed = true;
    this.#expiry?.stop();
    this.#outbox.end();
    this.#unread = undefined;
    this.#streams?.endAll();
  }

  /** Nothing more is taken from the client, until it has taken what waits for it. */
  hold(): void {
    this.#socket.pause();
  }

  goOn(): void {
    this.#heard = true;
    const unread = this.#unread ?? [];
    this.#unread = undefined;
    for (const [data, isBinary] of unread) this.#receive(data, isBinary);
    if (!this.congested) this.#socket.resume();
  }

  slow(): void {
    if (this.#closed) return;
    this.#context.refusals.add("SLOW_CONSUMER");
    this.#context.log.warn(
      { connection: this.id, backlog: this.#outbox.queuedBytes },
      "connection takes too little: closed",
    );
    this.#endStreams("SLOW_CONSUMER");
    this.close(4440, "SLOW_CONSUMER");
    // It may not even take the close frame.
    setTimeout(() => this.#socket.terminate(), farewellMs).unref();
  }

  skipped(count: number): void {
    this.#context.skipped(count);
  }

  streams(): StreamSummary[] {
    return this.#streams?.summaries() ?? [];
  }

  unsubscribe(stream: string): void {
    if (!this.#streams) throw noStream(stream);
    this.#streams.end(stream);
  }

  /** Answers, and gives the answer: where too much waits for the client it is another. */
  #answer(requestId: RequestId | null, answer: Answer): Answer {
    const isTooMuch = answer.length > shortAnswer && this.#outbox.isFull();
    const given = isTooMuch ? failure(tooMuchWaits()) : answer;
    this.#reply(requestId, given);
    return given;
  }

  #reply(requestId: RequestId | null, answer: Answer): void {
    this.#outbox.addMuch(textFrame(`{"request_id":${JSON.stringify(requestId)}${answer}`));
  }

  #become(identity: Identity): void {
    const { expiresAt } = this.identity;
    this.#place.occupy(identity);
    if (identity.expiresAt !== expiresAt) this.#watchIdentity();
    this.#tellEnded(this.#streams?.recheck() ?? [], "FORBIDDEN");
  }

  /** Sees to it that nobody stays whose token has expired, or who never brought one. */
  #watchIdentity(): void {
    const { reading, limits } = this.#context;
    const isNobody = this.identity === nobody;
    const at = isNobody ? reading.now() + limits.authenticate_within_ms / 1_000 : this.identity.expiresAt;
    this.#expiry?.stop();
    this.#expiry = undefined;
    if (at === undefined || this.#closed) return;
    this.#expiry = new Expiry(at, isNobody ? 0 : expiryWarningS, reading.now, {
      warn: (seconds) =>
        this.#outbox.add(frameOf({ type: "auth_status", state: "expiring", expires_at: at, expires_in: seconds })),
      over: () => (isNobody ? this.#refuseToGoOn(4501, "UNAUTHORIZED") : this.#refuseToGoOn(4401, "TOKEN_EXPIRED")),
    });
  }

  #refuseToGoOn(code: number, reason: ErrorCode): void {
    this.#context.refusals.add(reason);
    this.close(code, reason);
  }

  #endStreams(code: ErrorCode): void {
    const topics = this.#streams?.topics ?? [];
    this.#streams?.endAll();
    this.#tellEnded(topics, code);
  }

  #tellEnded(topics: readonly string[], code: ErrorCode): void {
    const { epoch } = this.#context;
    for (const topic of topics)
      this.#outbox.status(frameOf({ type: "stream_status", topic, state: "ended", epoch, error_code: code }));
  }

  /** Counts a message; how long to wait, in milliseconds, where there were too many. */
  #isTooFast(): number {
    const { messageRate } = this.#context;
    const now = performance.now();
    this.#paidAt = messageRate.take(this.#paidAt, now);
    this.#heardAt = now;
    if (messageRate.isFlooded(this.#paidAt, now) && !this.#closed) this.#refuseToGoOn(4429, "RATE_LIMITED");
    return messageRate.wait(this.#paidAt, now);
  }

  #receive(data: RawData, isBinary: boolean): void {
    this.#heard = true;
    if (this.congested) {
      // What had been read already when it became so.
      this.#unread ??= [];
      this.#unread.push([data, isBinary]);
      return;
    }
    const waitMs = this.#isTooFast();
    if (this.#closed) return;
    // ws gives one Buffer for a whole message unless it is told otherwise.
    const { requests } = this.#context;
    const request: Request = isBinary
      ? { id: null, error: binary, tally: requests.tallies.of(undefined) }
      : requests.read((data as Buffer).toString());
    if (waitMs > 0) this.#refuse(request, tooFast("too many messages", waitMs));
    else if ("error" in request) this.#reject(request, request.error);
    else this.#begin(request);
  }

  #refuse(request: Request, error: CacheError): void {
    this.#context.refusals.add(error.code);
    this.#reject(request, error);
  }

  #reject(request: Request, error: CacheError): void {
    const { tally } = "error" in request ? request : "stream" in request ? request.stream : request.asked;
    tally.refuse(error.code);
    this.#answer(request.id, failure(error));
  }

  #begin(request: Exclude<Request, { error: CacheError }>): void {
    const { id } = request;
    const { need } = "stream" in request ? request.stream : request.asked;
    const refusal = this.#refusal(id) ?? this.identity.permissions.refusal(need);
    if (refusal) {
      this.#refuse(request, refusal);
      return;
    }
    if ("stream" in request) void this.#answerLater(id, request.stream, this.#openStream(id, request.stream));
    else {
      const answer = this.#context.answers.to(request.asked, this);
      if (answer instanceof Promise) void this.#answerLater(id, request.asked, answer);
      else request.asked.tally.hit(codeOf(this.#answer(id, answer)));
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
    const since = this.#heardAt;
    const span = this.#context.tracing?.begin(asked.name);
    let given: Answer | undefined;
    try {
      const answer = await pending;
      if (answer) given = this.#answer(id, answer);
    } catch (error) {
      given = this.#fail(id, asked, error);
    } finally {
      const code = given === undefined ? undefined : codeOf(given);
      asked.tally.wait(performance.now() - since, code);
      span?.end(code);
      this.#inFlight.delete(id);
      this.#closeIfDrained();
    }
  }

  #fail(id: RequestId, { name, operation, params }: Asked | AskedStream, error: unknown): Answer {
    if (error instanceof CacheError) return this.#answer(id, failure(error));
    const logged = { operation: name, ...(!operation.confidential && { params }) };
    const request = JSON.stringify(logged).slice(0, loggedRequestLength);
    this.#context.log.error(
      { err: error, connection: this.id, request_id: id, request },
      "a request failed for a reason that is a bug",
    );
    return this.#answer(id, failure(new CacheError("INTERNAL_ERROR", "the gateway failed: its log says why")));
  }

  async #openStream(requestId: RequestId, asked: AskedStream): Promise<undefined> {
    this.#streams ??= new Streams(this.#context, this, this.#outbox);
    const mayOpen = () => {
      // A connection that is closed is answered, too: the answer goes nowhere.
      if (this.#draining || this.#closed) throw goingAway();
      if (this.#outbox.isFull()) throw tooMuchWaits();
    };
    const { epoch } = this.#context;
    await this.#streams.open(asked, mayOpen, (stream, topics) =>
      this.#reply(requestId, success({ stream, topics, epoch } satisfies StreamOpened)),
    );
  }

  #closeIfDrained(): void {
    if (this.#draining && !this.#inFlight?.size) this.close(1012, "DRAINING");
  }
}

const frameOf = (message: StreamStatus | AuthStatus) => textFrame(JSON.stringify(message));

function tooMuchWaits(): CacheError {
  return new CacheError(
    "SLOW_CONSUMER",
    "too much waits for this connection already: ask again when it has been taken",
  );
}

function goingAway(): CacheError {
  return new CacheError("DRAINING", "the server is going away: connect again");
}
