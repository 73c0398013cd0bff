import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, vi } from "vitest";
import { run } from "../../src/cli/run.ts";
import type { Screen, Terminal } from "../../src/cli/terminal.ts";

/** A command that runs in this process, with what it says. */
export class Command implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly errors: string[] = [];
  readonly code: Promise<number>;
  readonly #end = new AbortController();
  #reload = () => {};

  constructor(args: readonly string[], env: Terminal["env"], ended = false, screen?: Screen) {
    if (ended) this.end();
    this.code = run(args, {
      env,
      out: (text) => void this.lines.push(...text.split("\n")),
      error: (text) => void this.errors.push(text),
      signal: this.#end.signal,
      onReload: (reload) => {
        this.#reload = reload;
      },
      screen,
    });
  }

  /** Waits for a line that begins so. */
  async line(start: string): Promise<string> {
    const find = () => this.lines.find((line) => line.startsWith(start));
    // Generous, because programs that start share two cores with the tests of other files.
    await vi.waitUntil(() => find() !== undefined || this.errors.length > 0, { timeout: 30_000 });
    const found = find();
    if (found === undefined) throw new Error(this.errors.join("\n"));
    return found;
  }

  /** Where it listens. */
  async url(): Promise<string> {
    return (await this.line("listening on ")).slice("listening on ".length);
  }

  /** Has it read its files again, as SIGHUP does. */
  reload(): void {
    this.#reload();
  }

  /** Ends it, as Ctrl-C does. */
  end(): void {
    this.#end.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
    await this.code;
  }
}

/** Starts a command in this process; its output goes to a screen if it is given one. */
export function command(args: readonly string[], env: Terminal["env"] = {}, screen?: Screen): Command {
  return new Command(args, env, false, screen);
}

/** How a command ended, and what it said. */
export interface Outcome {
  readonly code: number;
  readonly lines: readonly string[];
  readonly errors: readonly string[];
}

/** Runs a command that ends by itself. */
export async function outcome(args: readonly string[], env: Terminal["env"] = {}, screen?: Screen): Promise<Outcome> {
  const { code, lines, errors } = command(args, env, screen);
  return { code: await code, lines, errors };
}

/** Has the commands of a test file run in an empty folder, since they read `.env` from where they run; gives the folder. */
export function inEmptyFolder(): string {
  const home = process.cwd();
  const folder = mkdtempSync(join(tmpdir(), "fullon-cache-api-cli-"));
  beforeAll(() => process.chdir(folder));
  afterAll(() => {
    process.chdir(home);
    rmSync(folder, { recursive: true });
  });
  return folder;
}
