import type { Stream } from "../../src/client/stream.ts";
import type { Update } from "../../src/protocol/frames.ts";

/**
 * Reads a stream until it ends, as a program would: keeps every update, and the picture that they make. Throws at the
 * first update whose id breaks the rule `update_id = previous + 1 + (skipped ?? 0)`.
 */
export class Reader<Data, Key extends keyof Data = never> {
  readonly stream: Stream<Data, Key>;
  readonly updates: Update<Data, Key>[] = [];
  /** Resolves when the stream has ended, with what it threw, if it threw. */
  readonly ended: Promise<unknown>;
  readonly #picture = new Map<string, Update<Data, Key>>();

  /** @param identity the members that tell one item from another */
  constructor(stream: Stream<Data, Key>, ...identity: readonly (keyof Data & string)[]) {
    this.stream = stream;
    this.ended = this.#read(identity).then(
      () => undefined,
      (error: unknown) => error,
    );
  }

  /** The items as they are now known, in the order of their identities. */
  get items(): Update<Data, Key>[] {
    return [...this.#picture].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, update]) => update);
  }

  async #read(identity: readonly string[]): Promise<void> {
    for await (const update of this.stream) {
      checkIds(this.updates, update);
      this.updates.push(update);
      const members = update as Readonly<Record<string, unknown>>;
      const key = JSON.stringify(identity.map((name) => members[name]));
      if (update.removed) this.#picture.delete(key);
      else this.#picture.set(key, update);
    }
  }
}

/** Throws if an id does not follow the last one of its topic; after a snapshot and in another epoch anything does. */
export function checkIds(
  before: readonly { readonly topic: string; readonly update_id: number }[],
  update: Update<Record<string, unknown>, string> | Update<unknown>,
): void {
  if (update.snapshot || update.epoch !== undefined) return;
  const last = before.findLast(({ topic }) => topic === update.topic);
  const expected = last && last.update_id + 1 + (update.skipped ?? 0);
  if (expected !== undefined && update.update_id !== expected)
    throw new Error(`${update.topic}: ${update.update_id} follows ${last?.update_id} (skipped ${update.skipped})`);
}

/** The next `count` updates of a stream, which stays open. */
export async function take<Data, Key extends keyof Data>(
  stream: Stream<Data, Key>,
  count: number,
): Promise<Update<Data, Key>[]> {
  const updates: Update<Data, Key>[] = [];
  while (updates.length < count) {
    const { done, value } = await stream.next();
    if (done) throw new Error(`the stream ended after ${updates.length} updates`);
    updates.push(value);
  }
  return updates;
}
