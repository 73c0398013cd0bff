import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type RedisClientType } from "redis";
import { vi } from "vitest";
import { freePort } from "./free-port.ts";
import { startRedis, type TestRedis } from "./redis.ts";
import { until } from "./until.ts";

/** The name under which sentinels know their master. */
export const masterName = "fullon";

/** How sentinels watch. */
export interface SentinelSettings {
  /** How many must agree that a master is down. */
  readonly quorum?: number;
  /** After how much silence it is taken to be down, in milliseconds. */
  readonly downAfterMs?: number;
  readonly password?: string;
  readonly port?: number;
}

/** A real sentinel that watches one master. */
export class TestSentinel implements AsyncDisposable {
  readonly port: number;
  readonly #admin: RedisClientType;
  readonly #shell: ChildProcess;
  readonly #directory: string;

  private constructor(port: number, admin: RedisClientType, shell: ChildProcess, directory: string) {
    this.port = port;
    this.#admin = admin;
    this.#shell = shell;
    this.#directory = directory;
  }

  /** Starts one; `startSentinel` is its everyday name. */
  static async start(
    masterPort: number,
    { quorum = 1, downAfterMs = 500, password, port: given }: SentinelSettings,
  ): Promise<TestSentinel> {
    const directory = await mkdtemp(join(tmpdir(), "fullon-cache-api-sentinel-"));
    const port = given ?? (await freePort());
    const file = join(directory, "sentinel.conf");
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${directory}`,
      `sentinel monitor ${masterName} 127.0.0.1 ${masterPort} ${quorum}`,
      `sentinel down-after-milliseconds ${masterName} ${downAfterMs}`,
      `sentinel failover-timeout ${masterName} 3000`,
      ...(password === undefined ? [] : [`requirepass ${password}`]),
    ];
    await writeFile(file, lines.join("\n"));
    // The shell ends it when its input closes: with this process at the latest, whatever ends that.
    const script = 'redis-server "$1" --sentinel & read -r _; kill -9 $!; wait';
    const shell = spawn("sh", ["-c", script, "sentinel", file], { stdio: ["pipe", "ignore", "ignore"] });
    const admin: RedisClientType = createClient({
      url: `redis://127.0.0.1:${port}`,
      ...(password !== undefined && { password }),
      socket: { reconnectStrategy: 20 },
    });
    admin.on("error", () => {});
    await admin.connect();
    return new TestSentinel(port, admin, shell, directory);
  }

  /** Sends one command. */
  command(...parts: readonly string[]): Promise<unknown> {
    return this.#admin.sendCommand(parts);
  }

  /** The port of the server that it takes for the master. */
  async masterPort(): Promise<number> {
    const [, port] = (await this.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName)) as string[];
    return Number(port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#admin.destroy();
    const gone = once(this.#shell, "exit");
    this.#shell.stdin?.end();
    await gone;
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Starts a sentinel for the master on the given port. */
export function startSentinel(masterPort: number, settings: SentinelSettings = {}): Promise<TestSentinel> {
  return TestSentinel.start(masterPort, settings);
}

/** A master, its replica, and three sentinels that are ready to make the one the other. */
export class TestFailover implements AsyncDisposable {
  readonly master: TestRedis;
  readonly replica: TestRedis;
  readonly sentinels: readonly TestSentinel[];

  private constructor(master: TestRedis, replica: TestRedis, sentinels: readonly TestSentinel[]) {
    this.master = master;
    this.replica = replica;
    this.sentinels = sentinels;
  }

  /** Starts all of them; `startFailover` is its everyday name. */
  static async start(settings: SentinelSettings): Promise<TestFailover> {
    const [master, replica] = await Promise.all([startRedis(), startRedis()]);
    await master.command(["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    await replica.command(["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    await replica.command(["REPLICAOF", "127.0.0.1", `${master.port}`]);
    const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(master.port, { quorum: 2, ...settings })));
    const failover = new TestFailover(master, replica, sentinels);
    await until(async () => {
      const info = String(await replica.command(["INFO", "replication"]));
      if (!info.includes("master_link_status:up")) throw new Error("the replica has not caught up");
    });
    // They find each other, and the replica, by what the master tells them.
    for (const sentinel of sentinels)
      await until(async () => {
        const facts = (await sentinel.command("SENTINEL", "MASTER", masterName)) as string[] | Record<string, string>;
        const known = new Map(Array.isArray(facts) ? pairs(facts) : Object.entries(facts));
        if (known.get("num-slaves") !== "1" || known.get("num-other-sentinels") !== "2")
          throw new Error("a sentinel does not know the others");
      });
    return failover;
  }

  /** Where the sentinels are, as the setting has it. */
  get places(): string {
    return this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",");
  }

  /** Resolves when all sentinels take the replica for the master. */
  async happened(): Promise<void> {
    await vi.waitFor(
      async () => {
        const ports = await Promise.all(this.sentinels.map((sentinel) => sentinel.masterPort()));
        if (ports.some((port) => port !== this.replica.port)) throw new Error("the failover has not happened");
      },
      // An election that fails is held again after twice the failover-timeout.
      { interval: 5, timeout: 25_000 },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const sentinel of this.sentinels) await sentinel[Symbol.asyncDispose]();
    await this.replica[Symbol.asyncDispose]();
    await this.master[Symbol.asyncDispose]();
  }
}

/** Starts a master with a replica and three sentinels. */
export function startFailover(settings: SentinelSettings = {}): Promise<TestFailover> {
  return TestFailover.start(settings);
}

function pairs(flat: readonly string[]): [string, string][] {
  return flat.flatMap((name, at): [string, string][] => (at % 2 === 0 ? [[name, flat[at + 1] ?? ""]] : []));
}
