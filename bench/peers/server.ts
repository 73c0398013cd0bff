import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pinned } from "../machine.ts";
import type { Place, RunningPeer } from "../peer.ts";

const patienceMs = 15_000;

/** Starts a server on its core; resolves when it takes connections on its port. @throws Error it does not, with its last words */
export async function serve(
  { core, directory }: Place,
  port: number,
  command: readonly [string, ...string[]],
): Promise<Pick<RunningPeer, "pids" | "port" | typeof Symbol.asyncDispose>> {
  const log = join(directory, "server.log");
  const output = openSync(log, "a");
  const [name, ...args] = pinned(core, command);
  const child = spawn(name, args, { cwd: directory, stdio: ["ignore", output, output] });
  closeSync(output);
  let isGone = false;
  const kill = () => void child.kill("SIGKILL");
  process.once("exit", kill);
  const gone = new Promise<unknown>((resolve) => child.once("exit", resolve).once("error", resolve)).then(() => {
    isGone = true;
    process.off("exit", kill);
  });
  // Politely, because nginx takes its workers with it only then.
  const end = async () => {
    child.kill("SIGTERM");
    const insist = setTimeout(kill, 3_000);
    await gone;
    clearTimeout(insist);
  };
  const deadline = Date.now() + patienceMs;
  while (!(await answers(port))) {
    if (isGone || Date.now() > deadline) {
      await end();
      throw new Error(`${command[0]} did not start: ${readFileSync(log, "utf8").slice(-500)}`);
    }
    await sleep(20);
  }
  return { pids: child.pid === undefined ? [] : [child.pid], port, [Symbol.asyncDispose]: end };
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
