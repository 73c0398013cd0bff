import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";

const loadCore = cpus().length > 1 ? 1 : 0;

/** Which core serves, and which one loads: two different ones wherever there are two. */
export const cores = { server: 0, load: loadCore, both: [...new Set([0, loadCore])], count: cpus().length };

/** One core, or several. */
export type Cores = number | readonly number[];

/** A command that runs on some cores only. */
export function pinned(to: Cores, command: readonly [string, ...string[]]): [string, ...string[]] {
  return ["taskset", "-c", `${to}`, ...command];
}

/** Moves a running process to some cores, with all its threads and whatever it starts from now on. */
export function pin(to: Cores, pid = process.pid): void {
  execFileSync("taskset", ["-a", "-c", "-p", `${to}`, `${pid}`], { stdio: "ignore" });
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const ticksPerSecond = 100;

/** The CPU seconds that a process has used, all its threads and those that have ended. */
function cpuSecondsOf(pid: number): number {
  // Behind the name, which may hold anything: the state, ten numbers, then user and system time.
  const fields = read(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / ticksPerSecond;
}

/** The same of the threads that live now, in nanoseconds; 0 where the kernel does not count them. */
function cpuNanosecondsOf(pid: number): number {
  let sum = 0;
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`))
      sum += Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(" ")[0] ?? 0);
  } catch {
    // It has ended.
  }
  return sum;
}

/** Some processes with all that they have started, and what those have, each once. */
export function families(pids: readonly number[]): number[] {
  const all = new Set(pids);
  // What is added on the way is visited, too.
  for (const pid of all)
    for (const child of read(`/proc/${pid}/task/${pid}/children`).split(" ")) if (child !== "") all.add(Number(child));
  return [...all];
}

/** The resident memory of some processes, in bytes. */
export function residentBytes(pids: readonly number[]): number {
  const pageBytes = 4_096;
  return pids.reduce((sum, pid) => sum + Number(read(`/proc/${pid}/statm`).split(" ")[1] ?? 0) * pageBytes, 0);
}

/** The jiffies of one core, or of all (`cpu`): all of them, those it idled, those the hypervisor gave to others. */
function jiffies(name: string): { all: number; idle: number; stolen: number } {
  const line = read("/proc/stat")
    .split("\n")
    .find((one) => one.startsWith(`${name} `));
  const counts = (line?.trim().split(/\s+/).slice(1, 9) ?? []).map(Number);
  const [, , , idle = 0, waiting = 0, , , stolen = 0] = counts;
  return { all: counts.reduce((sum, one) => sum + one, 0), idle: idle + waiting, stolen };
}

interface Sample {
  readonly at: number;
  readonly cpu: ReadonlyMap<number, readonly [seconds: number, nanoseconds: number]>;
  readonly machine: ReturnType<typeof jiffies>;
  readonly loadCore: ReturnType<typeof jiffies>;
}

/** What the machine and some processes did between two moments. */
export interface Usage {
  /** Wall time. */
  readonly seconds: number;
  /** CPU seconds of the processes that were asked for. */
  cpuSeconds(pids: readonly number[]): number;
  /** The share of all CPU time that the hypervisor gave to others. */
  readonly stolen: number;
  /** The share of the time that the load's core was busy, with whatever. */
  readonly loadCoreBusy: number;
  /** CPU seconds of everything that ran, on all cores. */
  readonly allCpuSeconds: number;
}

function sample(pids: readonly number[]): Sample {
  return {
    at: performance.now(),
    cpu: new Map(pids.map((pid) => [pid, [cpuSecondsOf(pid), cpuNanosecondsOf(pid)]])),
    machine: jiffies("cpu"),
    loadCore: jiffies(`cpu${cores.load}`),
  };
}

/** Begins to watch some processes; the returned function tells what they used since. */
export function watch(pids: readonly number[]): () => Usage {
  const before = sample(pids);
  return () => {
    const after = sample(pids);
    const used = (pid: number) => {
      const [[seconds, ns], [secondsBefore, nsBefore]] = [after.cpu.get(pid) ?? [0, 0], before.cpu.get(pid) ?? [0, 0]];
      // The finer count lacks threads that have ended meanwhile, which the coarser one shows.
      const [fine, coarse] = [(ns - nsBefore) / 1e9, seconds - secondsBefore];
      return fine > coarse - 3 / ticksPerSecond ? fine : coarse;
    };
    const share = (part: (of: Sample) => number, whole: (of: Sample) => number) =>
      (part(after) - part(before)) / Math.max(1, whole(after) - whole(before));
    const busy = ({ machine }: Sample) => machine.all - machine.idle - machine.stolen;
    return {
      seconds: (after.at - before.at) / 1_000,
      allCpuSeconds: (busy(after) - busy(before)) / ticksPerSecond,
      cpuSeconds: (asked) => asked.reduce((sum, pid) => sum + used(pid), 0),
      stolen: share(
        ({ machine }) => machine.stolen,
        ({ machine }) => machine.all,
      ),
      loadCoreBusy:
        1 -
        share(
          ({ loadCore }) => loadCore.idle,
          ({ loadCore }) => loadCore.all,
        ),
    };
  };
}

/** How many files a process that we start may have open. */
export function openFilesAllowed(): number {
  const [, hard] = /^Max open files\s+\S+\s+(\S+)/m.exec(read("/proc/self/limits")) ?? [];
  return hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard ?? 1_024);
}
