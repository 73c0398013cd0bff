import { type TObject, type TSchema, Type } from "typebox";
import type { LiveQuery, Operation } from "../operations/operation.ts";
import { errorCodes } from "../protocol/errors.ts";
import {
  type AuthStatus as AuthStatusFrame,
  maxRequestIdLength,
  type Request as RequestFrame,
  type StreamOpened as StreamOpenedResult,
  type StreamStatus as StreamStatusFrame,
  type UpdateEnvelope,
} from "../protocol/frames.ts";

// The compiler holds the members to those that the protocol declares.
type Shape<T> = { readonly [N in keyof T]-?: TSchema };

/** What names a request on its connection. */
export const RequestId = Type.Union([Type.String({ minLength: 1, maxLength: maxRequestIdLength }), Type.Integer()], {
  title: "RequestId",
  description: "text or an integer; it is echoed as it came, and must not be in flight already on this connection",
});

/** Every error code that a gateway sends. */
export const ErrorCode = Type.Enum(
  Object.entries(errorCodes).flatMap(([code, { from }]) => (from === "server" ? [code] : [])),
  { title: "ErrorCode" },
);

/** The request for one operation. */
export function requestOf(title: string, name: string, { params }: Operation): TObject {
  const isNeeded = Object.values(params).some((schema) => !Type.IsOptional(schema));
  const given = Type.Object({ ...params }, { additionalProperties: false });
  const members = {
    request_id: RequestId,
    operation: Type.Literal(name),
    params: isNeeded ? given : Type.Optional(given),
  } satisfies Shape<RequestFrame>;
  return Type.Object(members, { title });
}

/** The answer to one operation, where it is no error. */
export function responseOf(title: string, result: TSchema): TObject {
  return Type.Object({ request_id: RequestId, success: Type.Literal(true), result }, { title });
}

/** The answer where something is wrong. */
export const ErrorResponse = Type.Object(
  {
    request_id: Type.Union([RequestId, Type.Null()], { description: "null where the request could not be read" }),
    success: Type.Literal(false),
    error: Type.String({ minLength: 1, description: "a sentence for people" }),
    error_code: ErrorCode,
    retryable: Type.Boolean({ description: "whether the same request may succeed a little later" }),
    details: Type.Optional(Type.Object({}, { description: "data that goes with the error" })),
  },
  { title: "ErrorResponse" },
);

/** The result of every `stream_…` request. */
export const StreamOpened = Type.Object(
  {
    stream: Type.String({ description: "the name by which this connection ends it with unsubscribe" }),
    topics: Type.Array(Type.String(), { minItems: 1 }),
    epoch: Type.String(),
  } satisfies Shape<StreamOpenedResult>,
  { title: "StreamOpened" },
);

/** How a topic is. */
export const StreamStatus = Type.Object(
  {
    type: Type.Literal("stream_status"),
    topic: Type.String(),
    state: Type.Enum(["live", "stale", "ended"]),
    epoch: Type.String(),
    count: Type.Optional(Type.Integer({ minimum: 0, description: "live: how many items the picture holds" })),
    update_id: Type.Optional(
      Type.Integer({ minimum: 0, description: "after a snapshot: the id that the next update follows" }),
    ),
    since: Type.Optional(Type.Number({ description: "stale: when it became so, in unix seconds" })),
    error_code: Type.Optional(ErrorCode),
  } satisfies Shape<StreamStatusFrame>,
  { title: "StreamStatus" },
);

/** A token that expires soon. */
export const AuthStatus = Type.Object(
  {
    type: Type.Literal("auth_status"),
    state: Type.Literal("expiring"),
    expires_at: Type.Number({ description: "unix seconds" }),
    expires_in: Type.Number({ description: "the same in seconds from now" }),
  } satisfies Shape<AuthStatusFrame>,
  { title: "AuthStatus" },
);

const envelope = (type: string) =>
  ({
    type: Type.Literal(type),
    topic: Type.String(),
    update_id: Type.Integer({
      minimum: 1,
      description: "counts up by exactly 1 per topic within one epoch, plus what was skipped",
    }),
    snapshot: Type.Optional(Type.Literal(true, { description: "part of a picture that replaces what was known" })),
    epoch: Type.Optional(Type.String({ description: "which counting the ids belong to; it comes with snapshots" })),
    skipped: Type.Optional(
      Type.Integer({ minimum: 1, description: "how many updates of this topic were left out just before this one" }),
    ),
  }) satisfies Shape<UpdateEnvelope>;

/** An update that brings an item. */
export function changeOf(title: string, { type, update }: LiveQuery): TObject {
  return Type.Object({ ...update.properties, ...envelope(type) }, { title, additionalProperties: true });
}

/** An update that says that an item is gone, where items can go. */
export function removalOf(title: string, { type, update, identity }: LiveQuery): TObject | undefined {
  if (identity === null || identity.length === 0) return undefined;
  const own = identity.map((name) => [name, update.properties[name] as TSchema] as const);
  const members = { ...Object.fromEntries(own), ...envelope(type), removed: Type.Literal(true) };
  return Type.Object(members, { title });
}
