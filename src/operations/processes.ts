import { type Static, Type } from "typebox";
import { CacheError } from "../protocol/errors.ts";
import { decodeObject, decodeText, type Stored, seconds, text, without } from "../redis/values.ts";
import { type Feed, oneValue, orNothing, readable } from "./changes.ts";
import { Name, Open, Text, Timestamp } from "./fields.ts";
import { domain, liveQuery, query } from "./operation.ts";
import type { Reading } from "./reading.ts";
import { GatewaySummary, RedisState } from "./server-info.ts";
import { tally } from "./tally.ts";

/** One process of the trading system. */
export const Process = Open("Process", {
  process_id: Type.String(),
  process_type: Text("tick, ohlcv, bot, account, order, crawler, …"),
  component: Text("what it works on"),
  status: Text("starting, running, processing, idle, error or stopped"),
  message: Text("what it last said"),
  heartbeat_age: Type.Union([Type.Number(), Type.Null()], { description: "seconds since its last heartbeat" }),
  stale: Type.Boolean({ description: "whether its last heartbeat is too old, or cannot be read" }),
  timestamp: Timestamp,
});
export type Process = Static<typeof Process>;

/** Why a process is not well. */
export const Problem = Open("Problem", {
  process_id: Type.String(),
  component: Text("what it works on"),
  status: Text("what it says of itself"),
  stale: Type.Boolean(),
});

const counts = Type.Record(Type.String(), Type.Integer());

const health = {
  healthy: Type.Boolean({ description: "whether no process is stale or in error" }),
  total_processes: Type.Integer(),
  by_type: counts,
  by_status: counts,
  stale_processes: Type.Integer(),
  error_processes: Type.Integer(),
  problems: Type.Array(Problem, { description: "the processes that are stale or in error" }),
  timestamp: Timestamp,
};

/** How the trading system's processes are. */
export const ProcessHealth = Open("ProcessHealth", health);
export type ProcessHealth = Static<typeof ProcessHealth>;

/** How the whole system is: its processes, Redis and the gateway. */
export const SystemHealth = Open("SystemHealth", {
  ...health,
  redis: RedisState,
  gateway: GatewaySummary,
});
export type SystemHealth = Static<typeof SystemHealth>;

const activeKey = "process:active:";
const dataKey = "process:data:";

/** What a process wrote of itself; how old its heartbeat is depends on when one looks. */
interface Seen extends Stored {
  readonly process_id: string;
  readonly process_type: string | null;
  readonly component: string | null;
  readonly status: string | null;
  readonly message: string | null;
  readonly beat: number | null;
}

function seen(processId: string, raw: string): Seen {
  return decodeObject({ key: dataKey + processId }, raw, (stored) => ({
    ...stored,
    process_id: processId,
    process_type: text(stored["process_type"]) ?? /^[^:]+(?=:)/.exec(processId)?.[0] ?? null,
    component: text(stored["component"]),
    status: text(stored["status"]),
    message: text(stored["message"]),
    beat: seconds(stored["heartbeat"]) ?? seconds(stored["updated_at"]),
  }));
}

function aged(process: Seen, { now, staleAfter }: Reading): Process {
  const age = process.beat === null ? null : Math.max(0, now() - process.beat);
  return {
    ...(without(process, ["beat"]) as Seen),
    heartbeat_age: age,
    stale: age === null || age > staleAfter,
    timestamp: process.beat,
  };
}

/** The ids in the hash of a type's active processes; an entry there outlives its data. */
async function activeIds({ cache }: Reading, type: string): Promise<string[]> {
  return [...(await cache.hgetall(activeKey + type)).keys()];
}

/** The ids of the active processes of several types, by type. */
async function activeIdsByType(reading: Reading, types: Iterable<string>): Promise<Map<string, string[]>> {
  const found = [...types].map(async (type) => [type, await orNothing(reading, activeIds(reading, type), [])] as const);
  return new Map(await Promise.all(found));
}

async function processTypes({ cache }: Reading): Promise<string[]> {
  return (await cache.scan(activeKey, "hash")).map((key) => key.slice(activeKey.length)).sort();
}

async function readSeen(reading: Reading, ids: readonly string[]): Promise<Seen[]> {
  if (ids.length === 0) return [];
  const raws = await reading.cache.mget(ids.map((id) => dataKey + id));
  const there = ids.flatMap((id, at): [string, string][] => {
    const raw = raws[at];
    return typeof raw === "string" ? [[id, raw]] : [];
  });
  return readable(reading, there, seen);
}

function summary(processes: readonly Process[]): Omit<ProcessHealth, "timestamp"> {
  const stale = processes.filter((one) => one.stale);
  const failed = processes.filter((one) => one.status === "error");
  const problems = processes.filter((one) => one.stale || one.status === "error");
  return {
    healthy: problems.length === 0,
    total_processes: processes.length,
    by_type: tally(processes.map((one) => one.process_type)),
    by_status: tally(processes.map((one) => one.status)),
    stale_processes: stale.length,
    error_processes: failed.length,
    problems: problems
      .map(({ process_id, component, status, stale }) => ({ process_id, component, status, stale }))
      .sort((a, b) => (a.process_id < b.process_id ? -1 : 1)),
  };
}

/** The health of all active processes. Only what was written is read again; a heartbeat that grows stale needs no read. */
function processHealth(): Feed {
  const processes = new Map<string, Seen>();
  const active = new Map<string, Set<string>>();
  let nextStale: number | undefined;

  async function refresh(reading: Reading, stale: ReadonlySet<string> | undefined): Promise<void> {
    const written = stale && [...stale];
    const types = written?.filter((key) => key.startsWith(activeKey)).map((key) => key.slice(activeKey.length));
    const ids = new Set(written?.filter((key) => key.startsWith(dataKey)).map((key) => key.slice(dataKey.length)));
    const found = await activeIdsByType(
      reading,
      types ?? new Set([...(await processTypes(reading)), ...active.keys()]),
    );
    for (const [type, now] of found) {
      for (const id of now) if (!stale || !active.get(type)?.has(id)) ids.add(id);
      active.set(type, new Set(now));
    }
    for (const id of ids) processes.delete(id);
    for (const one of await readSeen(reading, [...ids])) processes.set(one.process_id, one);
    const listed = new Set([...active.values()].flatMap((of) => [...of]));
    for (const id of processes.keys()) if (!listed.has(id)) processes.delete(id);
  }

  return oneValue({
    watch: { families: ["process:active:", "process:data:"] },
    async read(reading, stale) {
      // An empty set: only the clock went on.
      if (stale?.size !== 0) await refresh(reading, stale);
      const now = reading.now();
      const limits = [...processes.values()].flatMap(({ beat }) => (beat === null ? [] : [beat + reading.staleAfter]));
      // Not Math.min: it cannot take as many arguments as there may be processes.
      nextStale = limits.filter((limit) => limit >= now).sort((a, b) => a - b)[0];
      return summary([...processes.values()].map((one) => aged(one, reading)));
    },
    due: () => nextStale,
  });
}

async function activeProcesses(reading: Reading, type?: string): Promise<Process[]> {
  const ids =
    type === undefined
      ? [...(await activeIdsByType(reading, await processTypes(reading))).values()].flat()
      : await activeIds(reading, type);
  return (await readSeen(reading, [...new Set(ids)]))
    .map((one) => aged(one, reading))
    .sort((a, b) => (b.timestamp ?? 0) - (a.timestamp ?? 0));
}

async function oneProcess(reading: Reading, processId: string, missing: string): Promise<Process> {
  const raw = await reading.cache.get(dataKey + processId);
  if (raw === null) throw new CacheError("PROCESS_NOT_FOUND", missing);
  return aged(seen(processId, raw), reading);
}

/** Processes and their heartbeats: what `fullon_cache`'s `ProcessCache` holds. */
export const processes = domain({
  /** How the whole system is. */
  getSystemHealth: query({
    about: "How the whole system is: its processes, Redis and the gateway.",
    mirrors: "ProcessCache.get_system_health",
    reads: "SCAN process:active:*, HGETALL process:active:{type}, MGET process:data:{process_id}",
    params: {},
    result: SystemHealth,
    async read(asking) {
      const found = summary(await activeProcesses(asking));
      const { server } = asking;
      return { ...found, redis: server.redis(), gateway: await server.summary(), timestamp: asking.now() };
    },
  }),

  /** The active processes, newest heartbeat first. */
  getActiveProcesses: query({
    about: "The active processes, of one type or component or of all, newest heartbeat first.",
    mirrors: "ProcessCache.get_active_processes",
    reads: "SCAN process:active:*, HGETALL process:active:{type}, MGET process:data:{process_id}",
    params: {
      process_type: Type.Optional(Name("the type, for example bot")),
      component: Type.Optional(Name("the component, for example binance:BTC/USDT")),
      since_minutes: Type.Optional(
        Type.Number({ minimum: 0, maximum: 525_600, description: "only those that said something in these minutes" }),
      ),
    },
    result: Type.Array(Process),
    async read(reading, { process_type, component, since_minutes }) {
      const oldest = since_minutes === undefined ? -Infinity : reading.now() - since_minutes * 60;
      return (await activeProcesses(reading, process_type)).filter(
        (one) => (component === undefined || one.component === component) && (one.timestamp ?? -Infinity) >= oldest,
      );
    },
  }),

  /** One process by its id. */
  getProcess: query({
    about: "One process by its id, active or not.",
    mirrors: "ProcessCache.get_process",
    reads: "GET process:data:{process_id}",
    params: { process_id: Name("the process") },
    result: Process,
    errors: ["PROCESS_NOT_FOUND"],
    read: (reading, { process_id }) => oneProcess(reading, process_id, `no process ${process_id}`),
  }),

  /** The process that last registered for a component. */
  getComponentStatus: query({
    about: "The process that last registered for a component.",
    mirrors: "ProcessCache.get_component_status",
    reads: "HGET process:components {component}, GET process:data:{process_id}",
    params: { component: Name("the component") },
    result: Process,
    errors: ["PROCESS_NOT_FOUND"],
    async read(reading, { component }) {
      const missing = `no process for component ${component}`;
      const key = "process:components";
      const processId = await reading.cache.hget(key, component);
      if (processId === null) throw new CacheError("PROCESS_NOT_FOUND", missing);
      return oneProcess(
        reading,
        decodeText({ key, field: component }, processId, (id) => id),
        missing,
      );
    },
  }),

  /** The health of the trading system's processes, now and whenever it changes. */
  streamProcessHealth: liveQuery({
    about:
      "The health of the trading system's processes, now and whenever it changes, also when a heartbeat grows stale.",
    mirrors: "ProcessCache.get_system_health",
    reads: "what was written below process:active: and process:data:",
    params: {},
    type: "process_health_update",
    update: ProcessHealth,
    identity: [],
    topics: () => [{ name: "process_health", open: processHealth }],
  }),
});
