import { type Static, Type } from "typebox";
import { Name, Open } from "./fields.ts";
import { domain, query } from "./operation.ts";
import { IdentitySummary, ServerInfo, StreamSummary } from "./server-info.ts";

/** The answer to a ping. */
export const Pong = Open("Pong", {
  server_time: Type.Number({ description: "unix seconds" }),
  updates_sent: Type.Integer({ description: "how many updates this connection was sent so far" }),
});
export type Pong = Static<typeof Pong>;

/** The gateway itself, and this connection to it. */
export const gateway = domain({
  /** Whether the gateway answers, and how many updates it has sent here. */
  ping: query({
    about: "Whether the gateway answers, and how many updates it has sent on this connection.",
    reads: "–",
    params: {},
    result: Pong,
    read: async ({ now, connection }) => ({ server_time: now(), updates_sent: connection.updatesSent }),
  }),

  /** Name, version, epoch, limits, and how the gateway stands with Redis. */
  getServerInfo: query({
    about: "Name, version, protocol, epoch, the limits in force, and how the gateway stands with Redis.",
    reads: "–",
    params: {},
    result: ServerInfo,
    read: async ({ server }) => server.info(),
  }),

  /** Says anew who is connected: before a token expires, or to become somebody else. */
  authenticate: query({
    about:
      "Says anew who is connected, before a token expires. Streams that are not allowed any more end with FORBIDDEN.",
    reads: "–",
    params: { token: Type.String({ minLength: 1, maxLength: 8_192, description: "a token or an API key" }) },
    result: IdentitySummary,
    errors: ["UNAUTHORIZED", "TOKEN_EXPIRED", "AUTH_UNAVAILABLE", "LIMIT_EXCEEDED"],
    confidential: true,
    method: false,
    read: ({ connection }, { token }) => connection.authenticate(token),
  }),

  /** The streams of this connection. */
  listStreams: query({
    about: "The streams of this connection.",
    reads: "–",
    params: {},
    result: Type.Array(StreamSummary),
    read: async ({ connection }) => connection.streams(),
  }),

  /** Ends a stream of this connection. */
  unsubscribe: query({
    about: "Ends a stream of this connection; nothing more of it arrives after the answer.",
    reads: "–",
    params: { stream: Name("the id that the stream was given when it was opened") },
    result: Open("Unsubscribed", { stream: Type.String() }),
    errors: ["STREAM_NOT_FOUND"],
    method: false,
    async read({ connection }, { stream }) {
      connection.unsubscribe(stream);
      return { stream };
    },
  }),
});
