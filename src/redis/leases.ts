/** A promise of Redis: as long as it has not ended, nothing was written to the key since it was read. */
export interface Lease {
  readonly ended: boolean;
}

// A key that is never written keeps its lease for ever, and any name may be asked for.
const maxLeases = 100_000;

const ended: Lease = { ended: true };

/** The keys that Redis will tell of when they are written next. What was read under a lease holds until that ends. */
export class Leases {
  readonly #leases = new Map<string, { ended: boolean }>();
  // Goes on from where it was: sought from the beginning, the oldest would stand behind the gaps that older ones left.
  readonly #oldest = this.#leases.keys();
  #isGranting = false;

  /** How many there are. */
  get size(): number {
    return this.#leases.size;
  }

  /** The lease of a key that is about to be read; it must be taken before the read is sent. */
  take(key: string): Lease {
    if (!this.#isGranting) return ended;
    const known = this.#leases.get(key);
    if (known) return known;
    const lease = { ended: false };
    this.#leases.set(key, lease);
    if (this.#leases.size > maxLeases) this.end(this.#oldest.next().value ?? key);
    return lease;
  }

  /** From now on Redis tells what is written (or does not): what was known before has to be read anew. */
  grant(isGranting: boolean): void {
    this.#isGranting = isGranting;
    this.endAll();
  }

  /** The key was written, or may have been. */
  end(key: string): void {
    const lease = this.#leases.get(key);
    if (!lease) return;
    lease.ended = true;
    this.#leases.delete(key);
  }

  /** Anything may have been written. */
  endAll(): void {
    for (const lease of this.#leases.values()) lease.ended = true;
    this.#leases.clear();
  }
}
