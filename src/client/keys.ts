import type { AnyUpdate } from "./position.ts";

const limit = 10_000;

/** What identifies the items of one topic, as text. Made once for each item, not for each of its updates. */
export class Keys {
  readonly #topic: string;
  /** The members that identify an item, but for the last one; in most topics they are always the same. */
  readonly #first: readonly string[];
  readonly #last: string;
  /** By the last member, while the first ones stay what they are in `#named`. */
  readonly #keys = new Map<unknown, string>();
  #named: AnyUpdate | undefined;

  constructor(topic: string, identity: readonly string[]) {
    this.#topic = topic;
    this.#first = identity.slice(0, -1);
    this.#last = identity.at(-1) ?? "topic";
  }

  /** The key of the item that an update is about. */
  of(update: AnyUpdate): string {
    if (!this.#isAlike(update) || this.#keys.size >= limit) {
      this.#keys.clear();
      this.#named = update;
    }
    const last = update[this.#last];
    let key = this.#keys.get(last);
    if (key === undefined) {
      key = JSON.stringify([this.#topic, ...this.#first.map((name) => update[name]), last]);
      this.#keys.set(last, key);
    }
    return key;
  }

  #isAlike(update: AnyUpdate): boolean {
    if (!this.#named) return false;
    for (const name of this.#first) if (update[name] !== this.#named[name]) return false;
    return true;
  }
}
