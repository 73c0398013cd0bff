import type { Logger } from "pino";
import type { CacheError } from "../protocol/errors.ts";

// Enough to see what is wrong; a cache full of rubbish must not fill the memory with its names.
const maxRemembered = 10_000;

/** The cached values that had to be left out: counted always, logged once per key and field. */
export class CorruptValues {
  readonly #log: Logger;
  readonly #known = new Set<string>();
  #count = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** How many were left out so far. */
  get count(): number {
    return this.#count;
  }

  /** One more was left out. */
  add(error: CacheError): void {
    this.#count++;
    const place = JSON.stringify(error.details);
    if (this.#known.has(place) || this.#known.size >= maxRemembered) return;
    this.#known.add(place);
    this.#log.warn({ ...error.details, reason: error.message }, "a cached value cannot be read and is left out");
  }
}
