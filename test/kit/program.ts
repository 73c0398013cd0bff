import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";

/** How a program is started. */
export interface ProgramOptions {
  readonly cwd?: string;
  /** Goes on top of a small environment that no setting comes from. */
  readonly env?: Readonly<Record<string, string>>;
}

/** How a program ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A real program: what it says, line by line, and how it ends. It does not outlive the test. */
export class Program implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly errors: string[] = [];
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  #ending: Ending | undefined;

  constructor(command: string, args: readonly string[], { cwd, env }: ProgramOptions) {
    const { PATH, HOME } = process.env;
    // A group of its own, so that all of it can be ended, npx and make included.
    this.#child = spawn(command, args, {
      cwd,
      detached: true,
      env: { PATH, HOME, NO_COLOR: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { stdout, stderr } = this.#child;
    if (stdout) createInterface({ input: stdout }).on("line", (line) => this.#add(this.lines, line));
    if (stderr) createInterface({ input: stderr }).on("line", (line) => this.#add(this.errors, line));
    this.ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code, signal) => {
        this.#ending = { code, signal };
        this.#wake();
        resolve(this.#ending);
      });
    });
  }

  /** The first line of its output that fits; waits for it. */
  async line(fits: RegExp): Promise<string> {
    for (;;) {
      const found = this.lines.find((line) => fits.test(line));
      if (found !== undefined) return found;
      if (this.#ending) throw new Error(`it ended without a line like ${fits}:\n${this.text}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Everything it said, for messages. */
  get text(): string {
    return [...this.lines, ...this.errors].join("\n");
  }

  /** Sends a signal to it, and to it alone. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends a signal to it and all it started that is still in its group, as a terminal does. */
  interrupt(signal: NodeJS.Signals = "SIGINT"): void {
    if (this.#child.pid !== undefined && !this.#ending) process.kill(-this.#child.pid, signal);
  }

  /** Reads its output no longer, as `head` does when it has enough. */
  hangUp(): void {
    this.#child.stdout?.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.interrupt("SIGKILL");
    await this.ended;
  }

  #add(to: string[], line: string): void {
    to.push(line);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

/** Starts a program. */
export function start(command: string, args: readonly string[], options: ProgramOptions = {}): Program {
  return new Program(command, args, options);
}

// As a URL, so that programs can run in any directory.
const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
const root = new URL("../../", import.meta.url);

/** Starts a TypeScript file of this checkout, given by its path in it. */
export function startSource(path: string, args: readonly string[], options: ProgramOptions = {}): Program {
  return start(process.execPath, ["--import", tsx, fileURLToPath(new URL(path, root)), ...args], options);
}
