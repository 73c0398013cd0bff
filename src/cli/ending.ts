import type { Flag, Given } from "./command.ts";
import { duration } from "./duration.ts";
import type { Terminal } from "./terminal.ts";

/** The flag that ends a command after a while. */
export const endFlags = {
  for: { value: "<time>", about: "end after so long: 500ms, 10s, 5m, 1h" },
} as const satisfies Record<string, Flag>;

// A longer timer would end at once.
const longestMs = 2 ** 31 - 1;

/** Aborts when a command is to end: as it is told, or after `--for`. */
export class Ending implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #told: AbortSignal;
  readonly #end = () => this.end();

  /** @param preset what holds without `--for` @throws UsageError `--for` is no time */
  constructor(given: Given, { signal }: Terminal, preset?: string) {
    const after = given.flag("for") ?? preset;
    if (after !== undefined) this.#timer = setTimeout(this.#end, Math.min(longestMs, duration(after, "for")));
    this.#told = signal;
    if (signal.aborted) this.end();
    else signal.addEventListener("abort", this.#end, { once: true });
  }

  /** Aborted when it is to end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends it. */
  end(): void {
    this.#controller.abort();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#told.removeEventListener("abort", this.#end);
  }
}
