import { type Static, Type } from "typebox";
import { Open, Text, Timestamp } from "./fields.ts";

/** How the gateway stands with Redis. */
export const RedisState = Open("RedisState", {
  connected: Type.Boolean(),
  change_detection: Type.Union([Type.Literal("tracking"), Type.Literal("timed")], {
    description: "tracking: Redis tells what changed; timed: it cannot, and what is followed is read again on a timer",
  }),
  read_only: Type.Union([Type.Boolean(), Type.Null()], {
    description: "whether the gateway's Redis user may do nothing but read; null: that could not be found out",
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
  refusals: Type.Record(Type.String(), Type.Integer(), {
    description: "how many connections and requests were refused, and connections ended, by error code",
  }),
});
export type GatewaySummary = Static<typeof GatewaySummary>;

/** What several processes of one gateway say, as one. */
export function together(summaries: readonly GatewaySummary[]): GatewaySummary {
  const sum = (name: Exclude<keyof GatewaySummary, "refusals">) =>
    summaries.reduce((total, one) => total + one[name], 0);
  const refusals: GatewaySummary["refusals"] = {};
  for (const one of summaries)
    for (const [code, count] of Object.entries(one.refusals)) refusals[code] = (refusals[code] ?? 0) + count;
  return {
    workers: sum("workers"),
    uptime: Math.max(...summaries.map(({ uptime }) => uptime)),
    connections: sum("connections"),
    streams: sum("streams"),
    topics: sum("topics"),
    corrupt_values: sum("corrupt_values"),
    near_cache_bytes: sum("near_cache_bytes"),
    refusals,
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

/** Who is connected, and what he may ask. */
export const IdentitySummary = Open("IdentitySummary", {
  user_id: Text("the user, or null where the token names none"),
  scopes: Type.Array(Type.String()),
  expires_at: Timestamp,
});
export type IdentitySummary = Static<typeof IdentitySummary>;

/** One stream of this connection. */
export const StreamSummary = Open("StreamSummary", {
  stream: Type.String(),
  operation: Type.String(),
  params: Type.Record(Type.String(), Type.Unknown()),
  topics: Type.Array(Type.String()),
});
export type StreamSummary = Static<typeof StreamSummary>;
