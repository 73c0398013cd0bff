import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A `redis-server` of our own, on 127.0.0.1, that keeps nothing on disk and never outlives this process. */
export interface RedisServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Asks the server to end, insists after two seconds, and resolves once it is gone; safe to call again. */
  stop(): Promise<void>;
  /** Ends the server as a crash would (SIGKILL) and resolves once it is gone. */
  kill(): Promise<void>;
}

/** What `startRedisServer` may be told: a port to insist on, and further arguments for `redis-server`. */
export interface RedisServerOptions {
  readonly port?: number;
  readonly arguments?: readonly string[];
}

const patienceMs = 2_000;
const attempts = 20;

/** Starts a private `redis-server` and resolves once it accepts connections; throws if it is not installed or cannot start. */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  if (options.port === 6379) throw new Error("Port 6379 is where a real Redis lives; choose another one.");
  const directory = await mkdtemp(join(tmpdir(), "fullon-cache-api-redis-"));
  try {
    for (let attempt = 1; ; attempt++) {
      // Below the range of ports that outgoing connections use: a client that keeps dialling a stopped server can
      // then neither take its port nor, by a quirk of TCP, end up connected to itself.
      const port = options.port ?? randomInt(20_000, 32_768);
      const child = launch(port, directory, options.arguments ?? []);
      const release = guard(child.pid ?? 0, directory);
      const failure = await ready(child);
      if (failure === undefined) return running(child, port, directory, release);
      release();
      if (options.port !== undefined || attempt === attempts || !failure.message.includes("Address already in use")) {
        throw failure;
      }
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

function launch(port: number, directory: string, extra: readonly string[]): ChildProcess {
  const own = ["--bind", "127.0.0.1", "--port", `${port}`, "--dir", directory, "--save", "", "--appendonly", "no"];
  // Detached, so that Ctrl-C in a terminal reaches only this process, which then ends things in its own order.
  return spawn("redis-server", [...own, ...extra], { detached: true, stdio: ["ignore", "pipe", "pipe"] });
}

/** Waits for the server's own word that it listens; asking the port instead could get another server's answer. */
function ready(child: ChildProcess): Promise<Error | undefined> {
  return new Promise((resolve) => {
    let output = "";
    const listen = (chunk: Buffer) => {
      output += chunk.toString();
      if (!output.includes("Ready to accept connections")) return;
      // From here on the output is drained unread: a full pipe would stop the server.
      for (const stream of [child.stdout, child.stderr]) stream?.off("data", listen).resume();
      child.removeAllListeners();
      resolve(undefined);
    };
    child.stdout?.on("data", listen);
    child.stderr?.on("data", listen);
    child.once("close", () => resolve(new Error(`redis-server did not start: ${lastWords(output)}`)));
    child.once("error", (cause: NodeJS.ErrnoException) => {
      const absent =
        "redis-server is not installed: run `apt-get install redis-server`, or name a Redis with --redis-url.";
      resolve(new Error(cause.code === "ENOENT" ? absent : "redis-server did not start.", { cause }));
    });
  });
}

function lastWords(output: string): string {
  const lines = output.trim().split("\n").slice(-3);
  return lines.map((line) => line.replace(/^\d+:\S+ .*? [#*.-] /, "")).join(" ");
}

function running(child: ChildProcess, port: number, directory: string, release: () => void): RedisServer {
  const gone = once(child, "exit").then(async () => {
    release();
    await rm(directory, { recursive: true, force: true });
  });
  const kill = () => {
    child.kill("SIGKILL");
    return gone;
  };
  const stop = async () => {
    child.kill("SIGTERM");
    const insist = setTimeout(() => child.kill("SIGKILL"), patienceMs);
    await gone;
    clearTimeout(insist);
  };
  return { url: `redis://127.0.0.1:${port}`, port, pid: child.pid ?? 0, stop, kill, [Symbol.asyncDispose]: stop };
}

/** Binds the server's life to this process's until the returned function is called. */
function guard(pid: number, directory: string): () => void {
  // However this process ends, even by SIGKILL, its end of the pipe closes: then the guard reads on and cleans up.
  const script = 'read -r _; [ "$1" = 0 ] || kill -9 "$1"; rm -rf "$2"';
  const shell = spawn("sh", ["-c", script, "guard", `${pid}`, directory], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  // Without a shell the server runs unguarded, which beats not running.
  shell.on("error", () => {});
  shell.unref();
  return () => void shell.kill("SIGKILL");
}
