import { onAbort } from "../client/on-abort.ts";
import type { Flag, Given } from "./command.ts";
import { count, duration } from "./duration.ts";
import type { Terminal } from "./terminal.ts";

/** The flag that ends a command after a while. */
export const endFlags = {
  for: { value: "<time>", about: "end after so long: 500ms, 10s, 5m, 1h" },
} as const satisfies Record<string, Flag>;

/** The flag that ends a command after so many updates. @param of which, where this has to be said */
export function countFlag(of = "") {
  return { count: { value: "<n>", about: `end after so many updates${of}` } } as const satisfies Record<string, Flag>;
}

/** After how many updates a command ends. @throws UsageError `--count` is no number */
export function mostUpdates(given: Given): number {
  const most = given.flag("count");
  return most === undefined ? Number.POSITIVE_INFINITY : count(most, "count");
}

/** Acts when a signal is aborted, at once where it is already; gives what takes that back. */
export function whenAborted(signal: AbortSignal, act: () => void): () => void {
  if (signal.aborted) act();
  return onAbort(signal, act);
}

/** Resolves when the command is to end. */
export function untilEnd({ signal }: Pick<Terminal, "signal">): Promise<void> {
  return new Promise((resolve) => void whenAborted(signal, resolve));
}

// A longer timer would end at once.
const longestMs = 2 ** 31 - 1;

/** Aborts when a command is to end: as it is told, or after `--for`. */
export class Ending implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #release: () => void;

  /** @param preset what holds without `--for` @throws UsageError `--for` is no time */
  constructor(given: Given, { signal }: Terminal, preset?: string) {
    const after = given.flag("for") ?? preset;
    if (after !== undefined) this.#timer = setTimeout(() => this.end(), Math.min(longestMs, duration(after, "for")));
    this.#release = whenAborted(signal, () => this.end());
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
    this.#release();
  }
}
