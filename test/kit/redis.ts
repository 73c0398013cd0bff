import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient, type RedisClientType } from "redis";
import { type RedisServer, startRedisServer } from "../../src/demo/redis-server.ts";
import { readerArguments, readerName } from "../../src/redis/reader.ts";

/** The moment the fixtures were recorded at: processes are judged against it. */
export const fixtureNowMs = 1_795_330_960_123.3;

const password = "only-for-tests";

/** Something that a client asked for and the server's access rules refused. */
export interface Refusal {
  readonly username: string;
  readonly reason: string;
  /** What was refused: a command, a key, a channel, or `AUTH`. */
  readonly object: string;
}

/** How a test wants its Redis: `allowRefused` where refusals are what it is about. */
export interface TestRedisOptions {
  readonly allowRefused?: boolean;
}

/** A real, empty Redis for one test, with the gateway's minimal user; it fails the test in which that user overstepped. */
export class TestRedis implements AsyncDisposable {
  readonly admin: RedisClientType;
  readonly #allowRefused: boolean;
  readonly #refused: Refusal[] = [];
  #server: RedisServer;
  #isRunning = true;

  private constructor(server: RedisServer, allowRefused: boolean) {
    this.#server = server;
    this.#allowRefused = allowRefused;
    this.admin = createClient({ url: server.url, socket: { reconnectStrategy: 20 } });
    // A server that is killed on purpose must not take the test with it.
    this.admin.on("error", () => {});
  }

  /** Starts a server and connects to it; `startRedis` is its everyday name. */
  static async start({ allowRefused = false }: TestRedisOptions): Promise<TestRedis> {
    const redis = new TestRedis(await launch(), allowRefused);
    await redis.admin.connect();
    return redis;
  }

  /** Where everything is permitted. */
  get url(): string {
    return this.#server.url;
  }

  /** Where only what the gateway needs is permitted. */
  get gatewayUrl(): string {
    return `redis://${readerName}:${password}@127.0.0.1:${this.port}`;
  }

  get port(): number {
    return this.#server.port;
  }

  /** Sends one command with all rights. */
  command(parts: readonly string[]): Promise<unknown> {
    return this.admin.sendCommand(parts);
  }

  /** Writes what fullon_cache 0.5.11 was seen to write ("commands"), or values it should not have ("corrupt"). */
  async replay(name: "commands" | "corrupt"): Promise<void> {
    const file = new URL(`../fixtures/fullon-cache-0.5.11.${name}.jsonl`, import.meta.url);
    const lines = (await readFile(file, "utf8")).trim().split("\n");
    await Promise.all(lines.map((line) => this.command(JSON.parse(line))));
  }

  /** How often each command was called since the start, by its name in small letters: `hget`, `client|tracking`. */
  async stats(): Promise<Map<string, number>> {
    const info = await this.admin.info("commandstats");
    const calls = info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm);
    return new Map([...calls].map(([, name = "", count]) => [name, Number(count)]));
  }

  /**
   * What was refused so far, but the question what the user may do, which the gateway asks of every Redis; kept over a
   * restart, but not over a `kill`.
   */
  async refused(): Promise<readonly Refusal[]> {
    const entries = this.#isRunning ? await this.admin.aclLog(1_000) : [];
    const refusals = entries.map(({ username, reason, object }) => ({ username, reason, object }));
    return [...this.#refused, ...refusals.filter(({ object }) => object !== "acl|dryrun")];
  }

  /** Stops the server in its tracks: connections stay, answers do not come. */
  pause(): void {
    process.kill(this.#server.pid, "SIGSTOP");
  }

  /** Lets a paused server go on. */
  resume(): void {
    process.kill(this.#server.pid, "SIGCONT");
  }

  /** Writes everything it holds into a file. */
  async save(file: string): Promise<void> {
    await this.command(["SAVE"]);
    const { dir = "", dbfilename = "" } = await this.admin.configGet(["dir", "dbfilename"]);
    await copyFile(join(dir, dbfilename), file);
  }

  /** Ends the server as a crash would. */
  async kill(): Promise<void> {
    this.#isRunning = false;
    await this.#server.kill();
  }

  /** Starts a killed server again: same port, same user, no data unless arguments for `redis-server` say so. */
  async start(...given: readonly string[]): Promise<void> {
    this.#server = await launch(this.port, given);
    this.#isRunning = true;
    // The first of these may still meet the old connection; after that the client waits for the new one.
    while (!(await this.admin.ping().catch(() => "")));
  }

  /** Crashes the server and starts it again, empty. */
  async restart(): Promise<void> {
    if (this.#isRunning) this.resume();
    this.#refused.push(...(await this.refused()));
    await this.kill();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isRunning) this.resume();
    const refused = await this.refused();
    this.admin.destroy();
    await this.#server.kill();
    if (refused.length === 0 || this.#allowRefused) return;
    const list = refused.map(({ username, reason, object }) => `${username}: ${reason} ${object}`).join("; ");
    throw new Error(`The gateway asked Redis for what its user may not do: ${list}`);
  }
}

/** Starts an empty Redis for one test. */
export function startRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  return TestRedis.start(options);
}

function launch(port?: number, more: readonly string[] = []): Promise<RedisServer> {
  // As an argument, so that the user exists before the first gateway can knock.
  const given = { arguments: [...readerArguments(password), ...more] };
  return startRedisServer(port === undefined ? given : { ...given, port });
}
