/** What a program needs to know about an error code: its meaning, and whether the same request may succeed later. */
export interface ErrorMeaning {
  readonly about: string;
  readonly retryable: boolean;
  /** `client`: raised by the client library itself, never seen on the wire. */
  readonly from: "server" | "client";
}

const final = (about: string) => ({ about, retryable: false, from: "server" }) as const;
const passing = (about: string) => ({ about, retryable: true, from: "server" }) as const;
const local = (about: string, retryable: boolean) => ({ about, retryable, from: "client" }) as const;

/** Every error code there is; this table is also the documentation. */
export const errorCodes = {
  MALFORMED_MESSAGE: final("The frame cannot be read: not JSON, not an object, or binary."),
  INVALID_REQUEST: final("The envelope is wrong: `request_id` or `operation` is missing or of the wrong type."),
  INVALID_OPERATION: final("There is no operation of that name."),
  INVALID_PARAMS: final("A parameter is missing, unknown, or of the wrong type or size; `details.path` names it."),
  DUPLICATE_REQUEST_ID: final("A request with this id is still in flight on this connection."),
  STREAM_NOT_FOUND: final("This connection has no stream of that id."),
  TICKER_NOT_FOUND: final("No ticker is cached for this symbol."),
  BALANCE_NOT_FOUND: final("No balance is cached for this account or currency."),
  ACCOUNT_NOT_FOUND: final("The user has no exchange account that the gateway knows of."),
  ORDER_NOT_FOUND: final("No order is cached under this id."),
  BOT_NOT_FOUND: final("No bot is cached under this id."),
  TRADE_STATUS_NOT_FOUND: final("No trade status is cached under this key."),
  OHLCV_NOT_FOUND: final("No bars are cached for this symbol and timeframe."),
  PROCESS_NOT_FOUND: final("No process is cached under this id or component."),
  DATA_CORRUPT: final("The cached value cannot be read; `details.key` names it."),
  CACHE_UNAVAILABLE: passing("Redis cannot be reached, or does not let the gateway read now."),
  CACHE_TIMEOUT: passing("Redis did not answer in time."),
  UNAUTHORIZED: final("There is no token, or it is not accepted."),
  TOKEN_EXPIRED: final("The token has expired."),
  AUTH_UNAVAILABLE: passing("Tokens cannot be checked now, because their keys cannot be fetched."),
  FORBIDDEN: final("The token does not allow this."),
  RATE_LIMITED: passing("Too many messages; `details.retry_after_ms` says when to come back."),
  LIMIT_EXCEEDED: final(
    "Too many streams, topics, connections or requests in flight; `details.limit` says how many are allowed.",
  ),
  SLOW_CONSUMER: passing("The connection does not take its updates fast enough."),
  OVERLOADED: passing("There are as many connections as the gateway may serve."),
  DRAINING: passing("The server is going away; connect again."),
  INTERNAL_ERROR: passing("A bug in the gateway: it has been logged there with the request."),
  CONNECTION_FAILED: local("The gateway cannot be reached.", true),
  CONNECTION_CLOSED: local("The connection has been closed, by `close()` or for good by the gateway.", false),
  REQUEST_TIMEOUT: local("No answer arrived within the client's time limit.", true),
} as const satisfies Record<string, ErrorMeaning>;

/** The name of an error, for programs. */
export type ErrorCode = keyof typeof errorCodes;

/** Data that goes with an error, such as the path of the offending parameter. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/**
 * The one error of this package: on the wire it is `error`, `error_code`, `retryable` and `details`.
 * `cause` is kept for logs and never sent.
 */
export class CacheError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { details?: ErrorDetails; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CacheError";
    this.code = code;
    this.details = options.details ?? {};
  }

  /** Whether the same request may succeed a little later. */
  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }
}

/** Whether a text is the name of an error: what a newer server says may be unknown to an older client. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === "string" && Object.hasOwn(errorCodes, text);
}

/** What a WebSocket close code tells a client to do. */
export interface CloseMeaning {
  readonly about: string;
  readonly reconnect: boolean;
}

/** The close codes that a gateway may send, and what each asks of the client; some are reserved for later versions. */
export const closeCodes = {
  1000: { about: "Normal end.", reconnect: true },
  1001: { about: "Going away.", reconnect: true },
  1008: { about: "Policy violated.", reconnect: false },
  1009: { about: "A request was larger than `max_frame_bytes`; sent again, it still would be.", reconnect: false },
  1012: { about: "The server restarts: come back with jitter.", reconnect: true },
  1013: { about: "The server is overloaded: come back later with jitter.", reconnect: true },
  4401: { about: "The token expired: come back with a new one.", reconnect: true },
  4408: { about: "No pong arrived: the connection was taken for dead.", reconnect: true },
  4429: { about: "Too many messages: come back more slowly.", reconnect: true },
  4440: { about: "The client did not take its updates fast enough.", reconnect: true },
  4501: { about: "Not authenticated: do not come back without a token.", reconnect: false },
  4503: { about: "Forbidden: do not come back.", reconnect: false },
} as const satisfies Record<number, CloseMeaning>;

/** Whether a client should come back after this close code; unknown codes follow their range (4500–4999: no). */
export function mayReconnect(code: number): boolean {
  const known: CloseMeaning | undefined = Object.hasOwn(closeCodes, code)
    ? closeCodes[code as keyof typeof closeCodes]
    : undefined;
  return known?.reconnect ?? (code < 4500 || code > 4999);
}
