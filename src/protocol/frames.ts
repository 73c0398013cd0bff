import type { ErrorCode, ErrorDetails } from "./errors.ts";

/** The version of the wire protocol, as `get_server_info` tells it. */
export const protocolVersion = 1;

/** The WebSocket subprotocol of this version, and what stands before a token that is offered as another one. */
export const subprotocol = "fullon-cache.v1";
export const bearerPrefix = "bearer.";

/** How long a request id may be, in characters. */
export const maxRequestIdLength = 128;

/** What names a request on its connection; it is echoed as it came. */
export type RequestId = string | number;

/** Client → server: one question. */
export interface Request {
  readonly request_id: RequestId;
  readonly operation: string;
  readonly params?: Readonly<Record<string, unknown>>;
}

/** Server → client: the answer to one request. `request_id` is null where the request could not be read. */
export type Response =
  | { readonly request_id: RequestId; readonly success: true; readonly result: unknown }
  | {
      readonly request_id: RequestId | null;
      readonly success: false;
      readonly error: string;
      readonly error_code: ErrorCode;
      readonly retryable: boolean;
      readonly details?: ErrorDetails;
    };

/** The members that the protocol adds to the data of an update; data never overwrites them. */
export interface UpdateEnvelope {
  readonly type: string;
  readonly topic: string;
  /** Counts up by exactly 1 per topic within one epoch, plus what was `skipped`. */
  readonly update_id: number;
  /** Part of a picture that replaces what was known. */
  readonly snapshot?: true;
  /** Which counting the ids belong to; sent with snapshots. */
  readonly epoch?: string;
  /** How many updates of this topic this subscriber was spared just before this one. */
  readonly skipped?: number;
}

type Absent<Member extends PropertyKey> = { readonly [Name in Member]?: undefined };

/**
 * One update as it comes: the data, and what the protocol adds. Of what is gone, only the members `Key` are there; what
 * has no such members never goes.
 */
export type Update<Data, Key extends keyof Data = never> = UpdateEnvelope &
  (
    | (Data & { readonly removed?: never })
    | ([Key] extends [never] ? never : Pick<Data, Key> & Absent<Exclude<keyof Data, Key>> & { readonly removed: true })
  );

/** The names of the members of {@link UpdateEnvelope}. */
export const reservedMembers = ["type", "topic", "update_id", "snapshot", "epoch", "skipped", "removed"] as const;

/** The state of one topic, as a stream_status tells it. */
export type TopicState = "live" | "stale" | "ended";

/** Server → client: the snapshot is complete, Redis is out of reach, or the stream is over. */
export interface StreamStatus {
  readonly type: "stream_status";
  readonly topic: string;
  readonly state: TopicState;
  readonly epoch: string;
  /** `live`: how many items the picture holds. */
  readonly count?: number;
  /** After a snapshot: the id that the next update follows. */
  readonly update_id?: number;
  /** `stale`: when it became so, in unix seconds. */
  readonly since?: number;
  /** `stale`, `ended`: why. Without one, what has ended has come to its end. */
  readonly error_code?: ErrorCode;
}

/** Server → client: the token of this connection expires soon; `authenticate` with another one, or be closed with 4401. */
export interface AuthStatus {
  readonly type: "auth_status";
  readonly state: "expiring";
  /** Unix seconds. */
  readonly expires_at: number;
  /** The same in seconds from now, for those whose clock is another. */
  readonly expires_in: number;
}

/** The answer to a `stream_…` request. */
export interface StreamOpened {
  readonly stream: string;
  readonly topics: readonly string[];
  readonly epoch: string;
}
