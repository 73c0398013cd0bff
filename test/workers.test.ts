import cluster from "node:cluster";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { fullonCacheApi } from "../src/client/websocket-client.ts";
import type { SystemHealth } from "../src/operations/processes.ts";
import type { ServerInfo } from "../src/operations/server-info.ts";
import { type Command, command } from "./kit/command.ts";
import { freePort } from "./kit/free-port.ts";
import { type Frame, Wire } from "./kit/gateway.ts";
import { type Program, start } from "./kit/program.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { metricOf, readScrape } from "./kit/scrape.ts";
import { follow, setTicker } from "./kit/streams.ts";

// Generous, because many processes that start share two cores with the tests of other files.
vi.setConfig({ maxConcurrency: 3, testTimeout: 60_000 });
const until = <T>(check: () => T | Promise<T>) => vi.waitFor(check, { interval: 20, timeout: 30_000 });

// Nobody's .env: commands read it from the directory they run in.
const home = process.cwd();
const directory = mkdtempSync(join(tmpdir(), "fullon-cache-api-workers-"));
const main = join(directory, "dist", "cli", "main.js");
let redis: TestRedis;
beforeAll(async () => {
  // As one file, which starts several times faster than its sources: here much is started.
  const form = { bundle: true, packages: "external", platform: "node", format: "esm", target: "node20" } as const;
  await build({ entryPoints: ["src/cli/main.ts"], outfile: main, ...form });
  for (const name of ["node_modules", "package.json"]) symlinkSync(join(home, name), join(directory, name));
  process.chdir(directory);
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
  process.chdir(home);
  rmSync(directory, { recursive: true });
});

const flags = () => ["serve", "--port", "0", "--redis-url", redis.gatewayUrl];
const epochOf = async (wire: Wire) => ((await wire.ask("get_server_info")) as ServerInfo).epoch;
const busy = async (wire: Wire) => ((await wire.ask("get_system_health")) as SystemHealth).gateway;

/** Serves from this process, with workers that are processes of their own. */
function serve(...more: readonly string[]): Command {
  cluster.setupPrimary({ exec: main, args: ["serve"], execArgv: [] });
  return command([...flags(), "--log-level", "silent", ...more]);
}

/** The process ids of the workers of this process. */
const pids = () => Object.values(cluster.workers ?? {}).map((worker) => worker?.process.pid ?? 0);

test("two workers share one port evenly, stream alike, and each says how busy both are", async () => {
  await using served = serve("--workers", "2");
  const url = await served.url();
  const byWorker = new Map<string, Wire[]>();
  for (let opened = 0; opened < 40; opened++) {
    const wire = await Wire.open(url);
    const epoch = await epochOf(wire);
    byWorker.set(epoch, [...(byWorker.get(epoch) ?? []), wire]);
  }
  const shares = [...byWorker.values()];
  expect(shares.map((wires) => wires.length)).toEqual([expect.closeTo(20, -1), expect.closeTo(20, -1)]);

  const some = shares.map(([wire]) => wire as Wire);
  for (const wire of some) await follow(wire, "stream_tickers", { exchange: "both", symbols: ["BTC/USDT"] });
  await setTicker(redis, "both", "BTC/USDT", 7);
  for (const wire of some) await wire.frame(({ price }) => price === 7);
  for (const wire of some)
    expect(await busy(wire)).toMatchObject({ workers: 2, connections: 40, streams: 2, topics: 2 });

  served.end();
  expect(await served.code).toBe(0);
  expect({ lines: served.lines, errors: served.errors }).toEqual({ lines: [`listening on ${url}`], errors: [] });
  expect(pids()).toEqual([]);
});

test("a worker that does not answer in time is left out of the figures", async () => {
  await using served = serve("--workers", "2");
  const wires = [await Wire.open(await served.url()), await Wire.open(await served.url())];
  expect(await Promise.all(wires.map(busy))).toMatchObject([{ workers: 2 }, { workers: 2 }]);
  const [pid = 0] = pids();
  process.kill(pid, "SIGSTOP");
  const answers = wires.map(busy);
  expect(await Promise.race(answers)).toMatchObject({ workers: 1, connections: 1 });
  process.kill(pid, "SIGCONT");
  await Promise.all(answers);
  expect(await Promise.all(wires.map(busy))).toMatchObject([{ workers: 2 }, { workers: 2 }]);
});

test("each worker has figures of its own, and any of them tells all, on either port", async () => {
  const metricsPort = await freePort();
  await using served = serve("--workers", "2", "--metrics-port", `${metricsPort}`);
  const url = await served.url();
  const wires: Wire[] = [];
  for (let opened = 0; opened < 10; opened++) wires.push(await Wire.open(url));
  const page = `http://127.0.0.1:${metricsPort}`;
  for (let asked = 0; asked < 4; asked++) {
    const scraped = readScrape(await (await fetch(`${page}/metrics`)).text());
    const each = (name: string) => [1, 2].map((worker) => metricOf(scraped, name, `worker="${worker}"`));
    const connections = each("fullon_cache_api_connections");
    expect([Math.min(...connections) > 0, connections.reduce((sum, one) => sum + one)]).toEqual([true, 10]);
    expect(each("fullon_cache_api_ready")).toEqual([1, 1]);
    expect(new Set(each("process_cpu_seconds_total")).size).toBe(2);
    expect(scraped.get("fullon_cache_api_update_lag_seconds")?.values.has('count worker="2"')).toBe(true);
  }
  const [pid = 0] = pids();
  process.kill(pid, "SIGSTOP");
  const half = await Promise.race([0, 1].map(async () => readScrape(await (await fetch(`${page}/metrics`)).text())));
  process.kill(pid, "SIGCONT");
  expect(half.get("fullon_cache_api_ready")?.values.size).toBe(1);
  for (const wire of wires) wire.close();
});

test("workers that are killed all at once come back on the same port, though it was a free one", async () => {
  await using served = serve("--workers", "2");
  await using cache = await fullonCacheApi(await served.url(), { connectTimeoutMs: 1_000, maxBackoffMs: 100 });
  const before = pids();
  for (const pid of before) process.kill(pid, "SIGKILL");
  await until(async () => expect(await cache.getSystemHealth()).toMatchObject({ gateway: { workers: 2 } }));
  expect(pids().filter((pid) => before.includes(pid))).toEqual([]);
});

test.each([
  [["--accounts-file", "/nowhere"], 2, 'ACCOUNTS_FILE: "/nowhere" cannot be read: ENOENT'],
  [
    ["--host", "192.0.2.1", "--insecure"],
    1,
    "192.0.2.1 cannot be listened on: --host must be an address of this machine",
  ],
] as const)("what keeps one process from starting is said once of several: %j", async (wrong, code, sentence) => {
  await using served = serve("--workers", "2", ...wrong);
  expect(await served.code).toBe(code);
  expect({ lines: served.lines, errors: served.errors }).toEqual({
    lines: [],
    errors: [expect.stringContaining(sentence)],
  });
  expect(pids()).toEqual([]);
});

test("auto is one worker per processor", async () => {
  await using served = serve("--workers", "auto");
  expect(await busy(await Wire.open(await served.url()))).toMatchObject({ workers: availableParallelism() });
});

/** Serves with two workers as a program of its own. */
class Served implements AsyncDisposable {
  readonly program: Program;
  readonly #wires: Wire[] = [];

  constructor(...more: readonly string[]) {
    const args = [main, ...flags(), "--workers", "2", "--drain-ms", "60000", ...more];
    this.program = start(process.execPath, args);
  }

  /** Where it listens, as soon as it does. */
  async url(): Promise<string> {
    return (await this.program.line(/^listening on /)).slice("listening on ".length);
  }

  /** What it logged with a message, last of one worker or of any. */
  logged(msg: string, fits: (line: Frame) => boolean = () => true): Frame | undefined {
    const lines = this.program.errors.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Frame);
    return lines.findLast((line) => line["msg"] === msg && fits(line));
  }

  /** The process id of a worker. */
  pid(worker: unknown): number {
    return Number(this.logged("worker listens", (line) => line["worker"] === worker)?.["pid"]);
  }

  /** The worker of an epoch. */
  worker(epoch: string): unknown {
    return this.logged("listening", (line) => line["epoch"] === epoch)?.["worker"];
  }

  /** Connects to whichever worker is next. */
  async next(): Promise<{ wire: Wire; worker: unknown }> {
    const wire = await Wire.open(await this.url());
    this.#wires.push(wire);
    return { wire, worker: this.worker(await epochOf(wire)) };
  }

  /** Connects to a certain worker. */
  async wire(to: number): Promise<Wire> {
    for (;;) {
      const { wire, worker } = await this.next();
      if (worker === to) return wire;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const wire of this.#wires) wire.close();
    await this.program[Symbol.asyncDispose]();
  }
}

test.concurrent("a worker that is killed comes back, its clients heal, and the port is served meanwhile", async () => {
  await using served = new Served();
  await using cache = await fullonCacheApi(await served.url(), { maxBackoffMs: 50 });
  const killed = served.worker((await cache.getServerInfo()).epoch);
  const pid = served.pid(killed);
  await setTicker(redis, "killed", "BTC/USDT", 1);
  await using stream = cache.streamTickers("killed", ["BTC/USDT"]);
  expect((await stream.next()).value).toMatchObject({ price: 1, snapshot: true });

  process.kill(pid, "SIGKILL");
  expect((await stream.next()).value).toMatchObject({ price: 1, snapshot: true });
  expect(served.worker((await cache.getServerInfo()).epoch)).not.toBe(killed);
  await setTicker(redis, "killed", "BTC/USDT", 2);
  expect((await stream.next()).value).toMatchObject({ price: 2 });

  await until(() => expect(served.pid(killed)).not.toBe(pid));
  expect(served.logged("worker ended")).toMatchObject({ worker: killed, pid, code: null, signal: "SIGKILL" });
  expect((await cache.getSystemHealth()).gateway).toMatchObject({ workers: 2, streams: 1 });
});

test.concurrent("a worker that cannot start again is missed while others serve, and is the end where none does", async () => {
  const accounts = join(directory, "accounts.json");
  writeFileSync(accounts, "{}");
  await using served = new Served("--accounts-file", accounts);
  const wire = await served.wire(2);
  const [first, second] = [served.pid(1), served.pid(2)];
  writeFileSync(accounts, "{");
  process.kill(first, "SIGKILL");
  await until(() => expect(served.logged("worker cannot start")).toMatchObject({ worker: 1 }));
  expect(await busy(wire)).toMatchObject({ workers: 1 });
  process.kill(second, "SIGKILL");
  expect(await served.program.ended).toEqual({ code: 2, signal: null });
  expect(served.program.errors.filter((line) => line.startsWith("fullon-cache-api: "))).toEqual([
    expect.stringContaining(`ACCOUNTS_FILE: "${accounts}" is not JSON`),
  ]);
});

/** Whether a process is there. */
function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test.concurrent("on SIGTERM one worker drains after the other, and no process is left behind", async () => {
  await using served = new Served();
  const [first, second] = [await served.wire(1), await served.wire(2)];
  const closed = Promise.all([first.closed(), second.closed()]);
  const workers = [served.pid(1), served.pid(2)];
  // It reads nothing, so it does not say goodbye.
  first.socket.pause();
  // All of them, as a terminal does.
  served.program.interrupt("SIGTERM");
  await until(async () => {
    const next = [await served.next(), await served.next()];
    expect(next).toMatchObject([{ worker: 2 }, { worker: 2 }]);
  });
  expect(await second.ask("ping")).toBeDefined();
  first.socket.resume();
  expect(await closed).toEqual([1012, 1012]);
  expect(await served.program.ended).toEqual({ code: 0, signal: null });
  expect(workers.filter(isThere)).toEqual([]);
});

test.concurrent("a second signal ends all workers at once", async () => {
  await using served = new Served();
  const wire = await served.wire(1);
  wire.socket.pause();
  served.program.kill("SIGTERM");
  served.program.kill("SIGINT");
  // Its output is at an end only when nobody is left who could write to it.
  expect(await served.program.ended).toEqual({ code: 1, signal: null });
});

test.concurrent("workers do not outlive their primary", async () => {
  await using served = new Served();
  const url = await served.url();
  served.program.kill("SIGKILL");
  expect(await served.program.ended).toEqual({ code: null, signal: "SIGKILL" });
  await expect(Wire.open(url)).rejects.toThrow("ECONNREFUSED");
});
