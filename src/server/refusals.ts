import type { ErrorCode } from "../protocol/errors.ts";

/** How often something was refused, by the code that said why: connections, requests, and connections that were ended. */
export class Refusals {
  readonly #counts = new Map<ErrorCode, number>();

  /** One more. */
  add(code: ErrorCode): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
  }

  /** All of them by code. */
  get counts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
