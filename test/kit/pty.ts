import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { vi } from "vitest";

const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** Whether this machine can lend a program a terminal: util-linux has `script`, others have something else by this name. */
export const hasPty = /util-linux/.test(spawnSync("script", ["--version"]).stdout?.toString() ?? "");

/** A command of ours in a real terminal, with what it wrote there; it does not outlive the test. */
export class Pty implements AsyncDisposable {
  readonly ended: Promise<number | null>;
  text = "";
  readonly #child: ChildProcess;

  /** @param args what the command is given @param columns,rows how large the terminal is */
  constructor(args: readonly string[], env: Readonly<Record<string, string>>, columns = 100, rows = 20) {
    const { PATH, HOME } = process.env;
    const words = [process.execPath, "--import", tsx, main, ...args].map((word) => `'${word}'`).join(" ");
    // What the terminal is like afterwards is part of what it wrote.
    const line = `stty rows ${rows} cols ${columns}; sh -c 'echo "pid $$"; exec "$@"' sh ${words}; echo "code $?"; stty -a`;
    this.#child = spawn("script", ["-qfc", line, "/dev/null"], {
      env: { PATH, HOME, TERM: "xterm", ...env },
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.text += text;
    });
    this.ended = new Promise((resolve) => this.#child.once("close", resolve));
  }

  /** Types. */
  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  /** Waits until it wrote something that fits. */
  async shows(what: RegExp | string): Promise<void> {
    const fits = () => (typeof what === "string" ? this.text.includes(what) : what.test(this.text));
    // Generous, because programs that start share two cores with the tests of other files.
    await vi.waitUntil(fits, { timeout: 30_000 });
  }

  /** Sends the command a signal. */
  kill(signal: NodeJS.Signals): void {
    const [, pid] = /pid (\d+)/.exec(this.text) ?? [];
    if (pid !== undefined) process.kill(Number(pid), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.destroy();
    this.#child.kill("SIGKILL");
    await this.ended;
  }
}
