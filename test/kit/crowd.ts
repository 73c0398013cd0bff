import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

/** So many updates, so far apart. */
export interface Round {
  readonly updates: number;
  readonly everyMs: number;
}

/** What came of a round: how many frames, how many of them not in their place, and after how many milliseconds. */
export interface RoundResult {
  readonly received: number;
  readonly wrong: number;
  readonly p50: number;
  readonly p99: number;
}

const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;

/** Many connections that follow the ticker `X` of `crowd`, and its writer, in a process of their own: one clock for both. */
export class Crowd implements Disposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts it; resolves when all of them have their picture. `startCrowd` is its everyday name. */
  static async start(url: string, redisUrl: string, size: number): Promise<Crowd> {
    const program = fileURLToPath(new URL("crowd-program.ts", import.meta.url));
    const child = fork(program, [url, redisUrl, String(size)], { execArgv: ["--import", tsx] });
    await once(child, "message");
    return new Crowd(child);
  }

  /** Writes, and waits until everybody has the last. */
  async round(round: Round): Promise<RoundResult> {
    const answer = once(this.#child, "message");
    this.#child.send(round);
    const [result] = await answer;
    return result as RoundResult;
  }

  [Symbol.dispose](): void {
    this.#child.kill();
  }
}

/** Lets so many connections follow one ticker of the gateway at `url`. */
export function startCrowd(url: string, redisUrl: string, size: number): Promise<Crowd> {
  return Crowd.start(url, redisUrl, size);
}
