import { CacheError } from "../protocol/errors.ts";
import type { Cache, Watch } from "../redis/cache.ts";
import type { Reading } from "./reading.ts";

/** One item that is new or different (`value`), or gone (no `value`); what only grew old goes without a word. */
export interface Change {
  readonly id: string;
  readonly value?: object;
  readonly aged?: true;
}

/** What a look brought to light. `doubt`: it may already be out of date, look once more a little later. */
export interface Look {
  readonly changes: readonly Change[];
  readonly doubt?: boolean;
}

/** A picture that is kept true: it remembers what it last saw and tells what is different since. */
export interface Feed {
  readonly watch: Watch;
  /** Looks again; at first, everything is a change. `stale` names the keys that were written, if only some were. */
  look(reading: Reading, stale?: ReadonlySet<string>): Promise<Look>;
  /** Takes a message from the watched channel; undefined when it says too little, so that a look is needed. */
  hear?(channel: string, message: string): readonly Change[] | undefined;
  /** When the clock alone puts the picture out of date, in unix seconds. */
  due?(): number | undefined;
}

/** Two pictures (texts by identity) compared: what is new or different in `after`, and what is gone from it. */
export function difference(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): { readonly changed: string[]; readonly gone: string[] } {
  const changed: string[] = [];
  for (const [id, text] of after) if (before.get(id) !== text) changed.push(id);
  const gone: string[] = [];
  if (after.size - changed.length < before.size) for (const id of before.keys()) if (!after.has(id)) gone.push(id);
  return { changed, gone };
}

/** What each text says, in order. What cannot be read is reported and left out. */
export function readable<K, V>(
  reading: Reading,
  texts: Iterable<readonly [K, string]>,
  read: (id: K, text: string) => V,
): V[] {
  const values: V[] = [];
  for (const [id, text] of texts) {
    try {
      values.push(read(id, text));
    } catch (error) {
      if (!(error instanceof CacheError)) throw error;
      reading.corrupt(error);
    }
  }
  return values;
}

/** What a read of one among many gives; `nothing` where what is there cannot be read, which is reported. */
export async function orNothing<T>(reading: Reading, read: Promise<T>, nothing: T): Promise<T> {
  try {
    return await read;
  } catch (error) {
    if (!(error instanceof CacheError) || error.code !== "DATA_CORRUPT") throw error;
    reading.corrupt(error);
    return nothing;
  }
}

/** How to keep a set of items true: where their texts come from and what each text means. */
export interface Items {
  readonly watch: Watch;
  /** Reads the texts of all items, by identity. */
  texts(reading: Reading, stale?: ReadonlySet<string>): Promise<Map<string, string>>;
  /** What a text says. @throws CacheError DATA_CORRUPT: the item is left out */
  item(id: string, text: string): object;
  /** The item that a message on the watched channel brings; undefined where the message cannot be trusted. */
  message?(channel: string, text: string): Required<Omit<Change, "aged">> | undefined;
  /** Whether the items that are no longer there only grew old, which is not worth a word. */
  aged?(): boolean;
  due?(): number | undefined;
}

/** Keeps a set of items true by comparing their texts. Items whose text cannot be read are left out. */
export function items(source: Items): Feed {
  let before = new Map<string, string>();
  const shown = new Set<string>();
  // Messages that came while a look was under way: they are at least as new as what the look finds.
  let heard: Map<string, string> | undefined;

  function compare(reading: Reading, after: Map<string, string>): Change[] {
    const { changed, gone } = difference(before, after);
    const changes: Change[] = [];
    const hide = (id: string, aged = false) => {
      if (shown.delete(id)) changes.push(aged ? { id, aged } : { id });
    };
    const aged = source.aged?.() ?? false;
    for (const id of gone) hide(id, aged);
    for (const id of changed) {
      const text = after.get(id) as string;
      const [value] = readable(reading, [[id, text]], () => source.item(id, text));
      if (value) {
        changes.push({ id, value });
        shown.add(id);
      } else hide(id);
    }
    before = after;
    return changes;
  }

  async function look(reading: Reading, stale?: ReadonlySet<string>): Promise<Look> {
    if (!source.message) return { changes: compare(reading, await source.texts(reading, stale)) };
    heard = new Map();
    try {
      const after = await source.texts(reading, stale);
      // What was published before the read may still be on its way on the other connection.
      await reading.cache.settled();
      for (const [id, text] of heard) after.set(id, text);
      return { changes: compare(reading, after), doubt: heard.size > 0 };
    } finally {
      heard = undefined;
    }
  }

  function hear(channel: string, text: string): readonly Change[] | undefined {
    const change = source.message?.(channel, text);
    if (!change) return undefined;
    heard?.set(change.id, text);
    if (before.get(change.id) === text) return [];
    before.set(change.id, text);
    shown.add(change.id);
    return [change];
  }

  return { watch: source.watch, look, ...(source.message && { hear }), ...(source.due && { due: source.due }) };
}

/** Keeps one whole value true. Its `timestamp` says when it was read, and does not make it different. */
export function oneValue(source: {
  readonly watch: Watch;
  read(reading: Reading, stale?: ReadonlySet<string>): Promise<object>;
  due?(): number | undefined;
}): Feed {
  let readAt = 0;
  return items({
    watch: source.watch,
    async texts(reading, stale) {
      readAt = reading.now();
      return new Map([["", JSON.stringify(await source.read(reading, stale))]]);
    },
    item: (_id, text) => ({ ...JSON.parse(text), timestamp: readAt }),
    ...(source.due && { due: source.due }),
  });
}

/** How far a list that only grows at its end has been read: how long it was, and its last entries. */
export interface Tail {
  readonly length: number;
  readonly last: readonly string[];
}

/** What stands at the end of a list that was not there before. `restarted`: nothing that was known is left. */
export interface Growth {
  readonly tail: Tail;
  readonly added: readonly string[];
  readonly restarted: boolean;
}

const noTail: Tail = { length: 0, last: [] };
const noGrowth: Growth = { tail: noTail, added: [], restarted: false };

// Enough to recognise a place in a list; one entry alone may stand there twice.
const remembered = 16;
const firstWindow = 1_000;
const largestWindow = 10_000;

/** Where in `window` the entries after `last` begin; -1 if `last` does not end anywhere in it. */
export function endOf(last: readonly string[], window: readonly string[]): number {
  for (let end = window.length; end > 0; end--) {
    const overlap = Math.min(end, last.length);
    let matched = 0;
    while (matched < overlap && window[end - 1 - matched] === last[last.length - 1 - matched]) matched++;
    if (matched > 0 && matched === overlap) return end;
  }
  return -1;
}

/**
 * Reads what was added to the end of a list. One short LRANGE while the list only grows; where it was trimmed, drained
 * or replaced, ever larger windows until the known end is found in one.
 */
export async function growth(cache: Cache, key: string, known?: Tail): Promise<Growth> {
  if (known && known.length > 0) {
    const [end, ...added] = await cache.lrange(key, known.length - 1, -1);
    if (end !== undefined && end === known.last.at(-1))
      return {
        tail: { length: known.length + added.length, last: [...known.last, ...added].slice(-remembered) },
        added,
        restarted: false,
      };
  }
  for (let size = known?.length === 0 ? largestWindow : firstWindow; ; size = largestWindow) {
    const window = await cache.lrange(key, -size, -1);
    // Asked for only where the window does not tell: between two commands the list may change.
    const length = window.length < size ? window.length : await cache.llen(key);
    const tail = { length, last: window.slice(-remembered) };
    const end = known ? endOf(known.last, window) : -1;
    if (end >= 0) return { tail, added: window.slice(end), restarted: false };
    if (!known || window.length < size || size === largestWindow) return { tail, added: window, restarted: true };
  }
}

/** How to follow lists to whose end events are pushed. */
export interface Events {
  /** Of keys, or of families: then a list that cannot be read is left out, as one among many. */
  readonly watch: Watch;
  /** The lists to follow. */
  keys(reading: Reading): Promise<readonly string[]>;
  /** Whether a list that was just written is one of them. */
  follows(key: string): boolean;
  /** What an entry says. @throws CacheError DATA_CORRUPT: the event is left out */
  event(key: string, text: string): { readonly timestamp: number | null };
}

/**
 * Tells every event once: those of the first look in order of time, then in the order of their lists. Lists may be
 * drained by others at any time.
 */
export function events(source: Events): Feed {
  const tails = new Map<string, Tail>();
  const isOneOfMany = source.watch.families !== undefined;
  // Outlives a look that fails half-way: what it had read already will not be read again.
  let found: { readonly timestamp: number | null }[] = [];
  let first = true;
  let sequence = 0;
  return {
    watch: source.watch,
    async look(reading, stale) {
      const keys = stale
        ? [...stale].filter(source.follows)
        : new Set([...(await source.keys(reading)), ...tails.keys()]);
      for (const key of keys) {
        const read = growth(reading.cache, key, tails.get(key) ?? (first ? undefined : noTail));
        const { tail, added } = isOneOfMany ? await orNothing(reading, read, noGrowth) : await read;
        if (tail.length > 0) tails.set(key, tail);
        else tails.delete(key);
        const events = readable(
          reading,
          added.map((text) => [key, text] as const),
          source.event,
        );
        // Not one push of all: a function cannot take as many arguments as may have been added.
        for (const event of events) found.push(event);
      }
      // The lists of a family are one picture, of which the oldest events give way.
      if (first && isOneOfMany) found.sort((one, other) => (one.timestamp ?? 0) - (other.timestamp ?? 0));
      first = false;
      const changes = found.map((value) => ({ id: String(sequence++), value }));
      found = [];
      return { changes };
    },
  };
}
