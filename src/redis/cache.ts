import type { Connection } from "./connection.ts";

/** Redis as a domain sees it: a few verbs, none of which writes. Replies are text; what is missing is null or empty. */
export interface Cache {
  /** One string. */
  get(key: string): Promise<string | null>;
  /** Several strings, in the order asked for. */
  mget(keys: readonly string[]): Promise<(string | null)[]>;
  /** One field of a hash. */
  hget(key: string, field: string): Promise<string | null>;
  /** A whole hash. */
  hgetall(key: string): Promise<Map<string, string>>;
  /** How long a list is. */
  llen(key: string): Promise<number>;
  /** A part of a list; negative indices count from its end, both ends are included. */
  lrange(key: string, start: number, stop: number): Promise<string[]>;
  /** The names of all keys of one family and type. Walks the whole key space: for starts and doubts only. */
  scan(family: KeyFamily, type: "hash" | "list"): Promise<string[]>;
  /** Resolves when every message published before this call has been heard. */
  settled(): Promise<void>;
}

/** The key families that may be scanned and watched as a whole: constants, so that no name ever becomes a pattern. */
export const keyFamilies = ["tickers:", "order_status:", "trades:", "process:active:", "process:data:"] as const;

/** One of {@link keyFamilies}. */
export type KeyFamily = (typeof keyFamilies)[number];

/** What tells that what was read is out of date: keys that are written, families of keys, messages on channels. */
export interface Watch {
  readonly keys?: readonly string[];
  readonly families?: readonly KeyFamily[];
  /** One channel. */
  readonly channel?: string;
  /** All channels whose names begin so. */
  readonly channelsBelow?: string;
}

// As many as one command names: more would keep Redis from its other clients, and a function takes only so many arguments.
const mostNames = 10_000;

/** What is there under each name, in their order. */
async function inParts<T>(names: readonly string[], read: (some: readonly string[]) => Promise<T[]>): Promise<T[]> {
  if (names.length <= mostNames) return read(names);
  const parts: Promise<T[]>[] = [];
  for (let at = 0; at < names.length; at += mostNames) parts.push(read(names.slice(at, at + mostNames)));
  return (await Promise.all(parts)).flat();
}

/** The read-only port on a real Redis: reads go through one connection, `settled` concerns the one that hears channels. */
export class RedisCache implements Cache {
  readonly #reads: Connection;
  readonly #channels: Connection;
  // The fields asked for in this turn, by key: a thousand topics of one hash are one command, not a thousand.
  readonly #asked = new Map<string, { fields: Set<string>; texts: Promise<Map<string, string | null>> }>();
  #settling: Promise<void> | undefined;

  constructor(reads: Connection, channels: Connection) {
    this.#reads = reads;
    this.#channels = channels;
  }

  async get(key: string): Promise<string | null> {
    return (await this.#reads.ask("GET", key)) as string | null;
  }

  async mget(keys: readonly string[]): Promise<(string | null)[]> {
    return inParts(keys, async (some) => (await this.#reads.ask("MGET", ...some)) as (string | null)[]);
  }

  hget(key: string, field: string): Promise<string | null> {
    let asked = this.#asked.get(key);
    if (!asked) {
      const fields = new Set<string>();
      // At the end of the turn, not of the callback: topics that check themselves on the same second come in many callbacks.
      const texts = new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#fields(key, fields));
      asked = { fields, texts };
      this.#asked.set(key, asked);
    }
    asked.fields.add(field);
    return asked.texts.then((texts) => texts.get(field) ?? null);
  }

  async #fields(key: string, fields: ReadonlySet<string>): Promise<Map<string, string | null>> {
    this.#asked.delete(key);
    const names = [...fields];
    const [only = ""] = names;
    if (names.length === 1) return new Map([[only, (await this.#reads.ask("HGET", key, only)) as string | null]]);
    const texts = await inParts(
      names,
      async (some) => (await this.#reads.ask("HMGET", key, ...some)) as (string | null)[],
    );
    return new Map(names.map((name, at) => [name, texts[at] ?? null]));
  }

  async hgetall(key: string): Promise<Map<string, string>> {
    const flat = (await this.#reads.ask("HGETALL", key)) as string[];
    const hash = new Map<string, string>();
    for (let at = 0; at + 1 < flat.length; at += 2) hash.set(flat[at] as string, flat[at + 1] as string);
    return hash;
  }

  async llen(key: string): Promise<number> {
    return (await this.#reads.ask("LLEN", key)) as number;
  }

  async lrange(key: string, start: number, stop: number): Promise<string[]> {
    return (await this.#reads.ask("LRANGE", key, String(start), String(stop))) as string[];
  }

  async scan(family: KeyFamily, type: "hash" | "list"): Promise<string[]> {
    const keys = new Set<string>();
    // Redis before 6 has no TYPE here; there, a key of the wrong type is found out when it is read.
    const ofType = this.#reads.ability === "resp2" ? [] : ["TYPE", type];
    let cursor = "0";
    do {
      const args = [cursor, "MATCH", `${family}*`, "COUNT", "1000", ...ofType];
      const [next, found] = (await this.#reads.ask("SCAN", ...args)) as [string, string[]];
      for (const key of found) keys.add(key);
      cursor = next;
    } while (cursor !== "0");
    return [...keys];
  }

  settled(): Promise<void> {
    this.#settling ??= Promise.resolve().then(() => {
      this.#settling = undefined;
      return this.#channels.settled();
    });
    return this.#settling;
  }
}
