import { type Static, Type } from "typebox";
import { Open } from "./fields.ts";

/** How the gateway stands with Redis. */
export const RedisState = Open("RedisState", {
  connected: Type.Boolean(),
  change_detection: Type.Union([Type.Literal("tracking"), Type.Literal("timed")], {
    description: "tracking: Redis tells what changed; timed: it cannot, and what is followed is read again on a timer",
  }),
});
export type RedisState = Static<typeof RedisState>;

/** How busy the gateway is: all of its processes together. */
export const GatewaySummary = Open("GatewaySummary", {
  workers: Type.Integer({ description: "how many processes answered; the other figures are of these" }),
  uptime: Type.Number({ description: "seconds, of the process that runs longest" }),
  connections: Type.Integer(),
  streams: Type.Integer(),
  topics: Type.Integer(),
  corrupt_values: Type.Integer({ description: "how many cached values could not be read so far" }),
  near_cache_bytes: Type.Integer({ description: "how much memory the answers take that are kept" }),
});
export type GatewaySummary = Static<typeof GatewaySummary>;

/** What several processes of one gateway say, as one. */
export function together(summaries: readonly GatewaySummary[]): GatewaySummary {
  const sum = (name: keyof GatewaySummary) => summaries.reduce((total, one) => total + one[name], 0);
  return {
    workers: sum("workers"),
    uptime: Math.max(...summaries.map(({ uptime }) => uptime)),
    connections: sum("connections"),
    streams: sum("streams"),
    topics: sum("topics"),
    corrupt_values: sum("corrupt_values"),
    near_cache_bytes: sum("near_cache_bytes"),
  };
}

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
