import type { Cache, KeyFamily } from "./cache.ts";
import type { Lease, Leases } from "./leases.ts";

/** The port for one question: it remembers the leases that the answer rests on. */
export class LeasedCache implements Cache {
  readonly #cache: Cache;
  readonly #leases: Leases;
  readonly #taken: Lease[] = [];
  #isLeased = true;

  constructor(cache: Cache, leases: Leases) {
    this.#cache = cache;
    this.#leases = leases;
  }

  /** Whether nothing of what was read so far has been written since, for all that Redis has told. */
  get holds(): boolean {
    return this.#isLeased && this.#taken.every(({ ended }) => !ended);
  }

  get(key: string): Promise<string | null> {
    this.#take(key);
    return this.#cache.get(key);
  }

  mget(keys: readonly string[]): Promise<(string | null)[]> {
    for (const key of keys) this.#take(key);
    return this.#cache.mget(keys);
  }

  hget(key: string, field: string): Promise<string | null> {
    this.#take(key);
    return this.#cache.hget(key, field);
  }

  hgetall(key: string): Promise<Map<string, string>> {
    this.#take(key);
    return this.#cache.hgetall(key);
  }

  llen(key: string): Promise<number> {
    this.#take(key);
    return this.#cache.llen(key);
  }

  lrange(key: string, start: number, stop: number): Promise<string[]> {
    this.#take(key);
    return this.#cache.lrange(key, start, stop);
  }

  scan(family: KeyFamily, type: "hash" | "list"): Promise<string[]> {
    // Redis tells of keys that were read, not of those that did not exist yet.
    this.#isLeased = false;
    return this.#cache.scan(family, type);
  }

  settled(): Promise<void> {
    return this.#cache.settled();
  }

  #take(key: string): void {
    this.#taken.push(this.#leases.take(key));
  }
}
