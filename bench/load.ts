import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { LoadSpec } from "./load-spec.ts";
import { cores, pinned } from "./machine.ts";

/** Durations in milliseconds. */
export interface Quantiles {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** What every measurement tells. */
interface Measured {
  readonly connections: number;
  /** How long it took until all connections were open. */
  readonly connectSeconds: number;
  /** Attempts to connect that failed and were made again. */
  readonly failedAttempts: number;
  /** Connections that were lost in the course of it. */
  readonly disconnected: number;
  /** How long was measured. */
  readonly seconds: number;
  readonly bytes: number;
  readonly latency: Quantiles;
  /** How much later than planned the load wrote what was due. */
  readonly lateness: Quantiles;
  /** What the load itself needed: near 1, it was the limit. */
  readonly cpuSeconds: number;
  readonly cpuShare: number;
}

/** What came of publishing updates. */
export interface FanoutResult extends Measured {
  readonly published: number;
  readonly deliveries: number;
  readonly allPublished: number;
  readonly allDeliveries: number;
  readonly lost: number;
  readonly duplicates: number;
  readonly outOfOrder: number;
  /** Updates that reached somebody who does not follow their topic. */
  readonly strays: number;
  /** Publishing fell behind its schedule, because too many deliveries were outstanding. */
  readonly overloaded: boolean;
}

/** What came of asking questions. */
export interface QueriesResult extends Measured {
  readonly requests: number;
  readonly allRequests: number;
  readonly wrong: number;
  readonly unanswered: number;
  /** Answers that nobody had asked for. */
  readonly unasked: number;
  readonly writes: number;
}

/** All connections are open. */
export interface Opened {
  readonly connections: number;
  /** Attempts that failed and were made again. */
  readonly failed: number;
  readonly seconds: number;
  readonly cpuShare: number;
}

/** Connections that are held open. */
export interface HeldConnections extends AsyncDisposable {
  readonly opened: Opened;
  /** Drops all of them at once and opens them again, so many at a time. */
  storm(atOnce: number): Promise<Opened>;
  /** How many the server has ended. */
  lost(): number;
}

type Event =
  | { readonly event: "ready" | "begin" | "end" }
  | ({ readonly event: "open" } & Opened)
  | { readonly event: "lost"; readonly connections: number }
  | { readonly event: "failed"; readonly reason: string }
  | ({ readonly event: "result" } & (FanoutResult | QueriesResult));

// Where a server answers nothing at all, waiting longer helps nobody.
const patienceMs = 60_000;

const sources = fileURLToPath(new URL("load/", import.meta.url));
const program = fileURLToPath(new URL("build/load", import.meta.url));

/** Compiles the load program if its sources are newer. @throws Error there is no C compiler, or it refuses */
export function buildLoad(): void {
  const files = readdirSync(sources).map((name) => join(sources, name));
  const newest = Math.max(...files.map((file) => statSync(file).mtimeMs));
  if (existsSync(program) && statSync(program).mtimeMs > newest) return;
  mkdirSync(join(program, ".."), { recursive: true });
  const c = files.filter((file) => file.endsWith(".c"));
  execFileSync("cc", ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-o", program, ...c], { stdio: "inherit" });
}

function start(spec: LoadSpec, hear: (event: Event) => void) {
  buildLoad();
  const directory = mkdtempSync(join(tmpdir(), "fullon-cache-api-load-"));
  const file = join(directory, "spec");
  writeFileSync(file, spec.toBuffer());
  const [name, ...args] = pinned(cores.load, [program, file]);
  const child = spawn(name, args, { stdio: ["pipe", "pipe", "inherit"] });
  // Where it has ended, there is nobody to tell.
  child.stdin.on("error", () => {});
  let failure: Error | undefined;
  const ended = new Promise<void>((resolve, reject) => {
    createInterface(child.stdout)
      .on("line", (line) => {
        const event = JSON.parse(line) as Event;
        if (event.event === "failed") failure = new Error(`the load program: ${event.reason}`);
        else hear(event);
      })
      .once("close", () => {
        rmSync(directory, { recursive: true, force: true });
        if (failure) reject(failure);
        else resolve();
      });
    child.once("error", reject);
  });
  return { child, ended };
}

/** What to do when the measured time begins and when it ends. */
export interface Window {
  begin(): void;
  end(): void;
}

async function measure<R extends FanoutResult | QueriesResult>(spec: LoadSpec, window: Window): Promise<R> {
  let result: R | undefined;
  const { ended } = start(spec, (event) => {
    if (event.event === "begin") window.begin();
    if (event.event === "end") window.end();
    if (event.event === "result") result = event as unknown as R;
  });
  await ended;
  if (!result) throw new Error("the load program ended without a result");
  return result;
}

/** Publishes updates and counts their deliveries. */
export function runFanout(spec: LoadSpec, window: Window): Promise<FanoutResult> {
  return measure<FanoutResult>(spec, window);
}

/** Asks questions and times their answers. */
export function runQueries(spec: LoadSpec, window: Window): Promise<QueriesResult> {
  return measure<QueriesResult>(spec, window);
}

/** Opens connections and holds them. */
export async function holdConnections(spec: LoadSpec): Promise<HeldConnections> {
  let lost = 0;
  let tell: (opened: Opened) => void = () => {};
  const { child, ended } = start(spec, (event) => {
    if (event.event === "open") tell(event);
    if (event.event === "lost") lost = event.connections;
  });
  const opened = () => {
    const patience = setTimeout(() => child.kill(), patienceMs);
    return Promise.race([
      new Promise<Opened>((resolve) => {
        tell = resolve;
      }),
      ended.then(() => {
        throw new Error("not all connections were open after a minute");
      }),
    ]).finally(() => clearTimeout(patience));
  };
  return {
    opened: await opened(),
    lost: () => lost,
    storm(atOnce) {
      lost = 0;
      const again = opened();
      child.stdin.write(`storm ${atOnce}\n`);
      return again;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}
