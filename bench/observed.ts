import type { Window } from "./load.ts";
import { cores, families, residentBytes, type Usage, watch } from "./machine.ts";
import type { Stage } from "./rounds.ts";

/** What the server and the machine did in the measured time. */
export interface Observed {
  /** CPU time of the server. */
  readonly serverCpuSeconds: number;
  /** Shares of one core. */
  readonly serverCpuShare: number;
  readonly redisCpuShare: number;
  /** The share of the time in which the core of the load and of Redis was busy. */
  readonly loadCoreBusy: number;
  /** The shares of the machine that the hypervisor gave away, and that other processes took. */
  readonly stolen: number;
  readonly others: number;
  /** Of the server, at the end of the measured time. */
  readonly residentBytes: number;
}

/** Runs the load program, and watches what it loads. */
export async function observe<R extends { readonly cpuSeconds: number }>(
  { peer, redis }: Stage,
  load: (window: Window) => Promise<R>,
): Promise<R & Observed> {
  let pids = peer.pids;
  let stop: (() => Usage) | undefined;
  let usage: Usage | undefined;
  let memory = 0;
  const result = await load({
    begin() {
      pids = families(peer.pids);
      stop = watch([...pids, redis.pid]);
    },
    end() {
      usage = stop?.();
      memory = residentBytes(pids);
    },
  });
  if (!usage) throw new Error("nothing was measured");
  const serverCpuSeconds = usage.cpuSeconds(pids);
  const redisCpuSeconds = usage.cpuSeconds([redis.pid]);
  const otherCpuSeconds = usage.allCpuSeconds - serverCpuSeconds - redisCpuSeconds - result.cpuSeconds;
  return {
    ...result,
    serverCpuSeconds,
    serverCpuShare: serverCpuSeconds / usage.seconds,
    redisCpuShare: redisCpuSeconds / usage.seconds,
    loadCoreBusy: usage.loadCoreBusy,
    stolen: usage.stolen,
    others: Math.max(0, otherCpuSeconds / usage.seconds / cores.count),
    residentBytes: memory,
  };
}
