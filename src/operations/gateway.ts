import { type Static, Type } from "typebox";
import { Name, Open } from "./fields.ts";
import { domain, query } from "./operation.ts";

/** The answer to a ping. */
export const Pong = Open("Pong", {
  server_time: Type.Number({ description: "unix seconds" }),
  updates_sent: Type.Integer({ description: "how many updates this connection was sent so far" }),
});
export type Pong = Static<typeof Pong>;

/** How the gateway stands with Redis. */
export const RedisState = Open("RedisState", {
  connected: Type.Boolean(),
  change_detection: Type.Union([Type.Literal("tracking"), Type.Literal("timed")], {
    description: "tracking: Redis tells what changed; timed: it cannot, and what is followed is read again on a timer",
  }),
});
export type RedisState = Static<typeof RedisState>;

/** How busy the gateway is. */
export const GatewaySummary = Open("GatewaySummary", {
  uptime: Type.Number({ description: "seconds" }),
  connections: Type.Integer(),
  streams: Type.Integer(),
  topics: Type.Integer(),
  corrupt_values: Type.Integer({ description: "how many cached values could not be read so far" }),
});
export type GatewaySummary = Static<typeof GatewaySummary>;

/** What the gateway says of itself. */
export const ServerInfo = Open("ServerInfo", {
  name: Type.String(),
  version: Type.String(),
  protocol: Type.Integer(),
  epoch: Type.String({ description: "which counting the update ids belong to" }),
  limits: Type.Record(Type.String(), Type.Number()),
  redis: RedisState,
});
export type ServerInfo = Static<typeof ServerInfo>;

/** One stream of this connection. */
export const StreamSummary = Open("StreamSummary", {
  stream: Type.String(),
  operation: Type.String(),
  params: Type.Record(Type.String(), Type.Unknown()),
  topics: Type.Array(Type.String()),
});
export type StreamSummary = Static<typeof StreamSummary>;

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
