/** How often each of some things came. */
export class Counts<Name> {
  readonly #counts = new Map<Name, number>();

  /** One more, or one less; what is left with none is forgotten. */
  add(name: Name, by: 1 | -1 = 1): void {
    const count = this.of(name) + by;
    if (count > 0) this.#counts.set(name, count);
    else this.#counts.delete(name);
  }

  /** How often one of them came. */
  of(name: Name): number {
    return this.#counts.get(name) ?? 0;
  }

  /** All that came, with how often. */
  [Symbol.iterator](): MapIterator<[name: Name, count: number]> {
    return this.#counts.entries();
  }
}
