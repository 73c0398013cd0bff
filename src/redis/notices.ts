import type { KeyFamily, Watch } from "./cache.ts";
import type { Connection } from "./connection.ts";
import { Doubts } from "./doubts.ts";

/** All channels have this prefix; the access rules grant the pattern below it literally, so it is the only pattern used. */
const channelPrefix = "ticker_updates:";

/** Who wants to know what happens to what it watches. */
export interface Watcher {
  /** These keys were written; without a name, anything may have been. */
  stale(key?: string): void;
  /** A message came on a watched channel. */
  heard(channel: string, message: string): void;
}

/** Sets of listeners by name. */
class Listeners<Name extends string> {
  readonly #sets = new Map<Name, Set<Watcher>>();

  /** Whether this is the first listener of that name. */
  add(name: Name, watcher: Watcher): boolean {
    const set = this.#sets.get(name);
    if (set) set.add(watcher);
    else this.#sets.set(name, new Set([watcher]));
    return !set;
  }

  /** Whether that was the last listener of that name. */
  delete(name: Name, watcher: Watcher): boolean {
    const set = this.#sets.get(name);
    set?.delete(watcher);
    return set?.size === 0 && this.#sets.delete(name);
  }

  get(name: Name): Iterable<Watcher> {
    return this.#sets.get(name) ?? [];
  }

  has(name: Name): boolean {
    return this.#sets.has(name);
  }

  names(): Name[] {
    return [...this.#sets.keys()];
  }
}

/**
 * Turns what Redis tells (invalidated keys, messages) into "this is stale" for whoever watches. Keys are told by the
 * connection that reads them; families of keys and channels by the other one.
 */
export class Notices {
  readonly #channels: Connection;
  readonly #keys = new Listeners<string>();
  // Those of them that a channel tells the values: here a written key is only a reason to check.
  readonly #checkers = new Listeners<string>();
  readonly #doubts = new Doubts((key) => this.#checkers.get(key));
  readonly #families = new Listeners<KeyFamily>();
  readonly #exact = new Listeners<string>();
  readonly #below = new Listeners<string>();
  #armed: ReadonlySet<KeyFamily> = new Set();
  #tracking = false;

  constructor(channels: Connection) {
    this.#channels = channels;
  }

  /** Begins to tell a watcher; resolves when nothing that happens from now on can be missed. */
  async add(watch: Watch, watcher: Watcher): Promise<void> {
    for (const key of watch.keys ?? []) this.#listenersOf(watch).add(key, watcher);
    const waits: Promise<void>[] = [];
    if (watch.families) {
      for (const family of watch.families) this.#families.add(family, watcher);
      // Settled besides: another watcher may have asked for the same family a moment ago.
      waits.push(this.#armFamilies(), this.#channels.settled());
    }
    if (watch.channel !== undefined) {
      const first = this.#exact.add(watch.channel, watcher);
      waits.push(first ? this.#channels.subscribe(watch.channel, this.#heardExactly) : this.#channels.settled());
    }
    if (watch.channelsBelow !== undefined) {
      const first = this.#below.names().length === 0;
      this.#below.add(watch.channelsBelow, watcher);
      waits.push(first ? this.#channels.subscribeBelow(channelPrefix, this.#heardBelow) : this.#channels.settled());
    }
    await Promise.all(waits);
  }

  /** Tells a watcher nothing more. */
  remove(watch: Watch, watcher: Watcher): void {
    for (const key of watch.keys ?? []) if (this.#listenersOf(watch).delete(key, watcher)) this.#doubts.forget(key);
    this.#doubts.delete(watcher);
    for (const family of watch.families ?? []) this.#families.delete(family, watcher);
    const waits: Promise<void>[] = [];
    if (watch.families) waits.push(this.#armFamilies());
    if (watch.channel !== undefined && this.#exact.delete(watch.channel, watcher))
      waits.push(this.#channels.unsubscribe(watch.channel, this.#heardExactly));
    if (watch.channelsBelow !== undefined && this.#below.delete(watch.channelsBelow, watcher))
      if (this.#below.names().length === 0)
        waits.push(this.#channels.unsubscribeBelow(channelPrefix, this.#heardBelow));
    // A connection that is gone has forgotten everything by itself.
    for (const wait of waits) wait.catch(() => {});
  }

  /** What a watcher was told has to be checked. */
  doubt(watcher: Watcher): void {
    this.#doubts.add(watcher);
  }

  /** A key that was read has been written since, or all of them have: told by the connection that reads. */
  keyWritten(key: string | undefined): void {
    if (key === undefined) {
      for (const listeners of [this.#keys, this.#checkers])
        for (const name of listeners.names()) for (const watcher of listeners.get(name)) watcher.stale();
      return;
    }
    for (const watcher of this.#keys.get(key)) watcher.stale(key);
    if (this.#checkers.has(key)) this.#doubts.written(key);
  }

  /** A key of an armed family was written, or all keys were: told by the other connection. */
  familyWritten(key: string | undefined): void {
    for (const family of this.#families.names())
      if (key === undefined || key.startsWith(family))
        for (const watcher of this.#families.get(family)) watcher.stale(key);
  }

  /** The connection for channels is new: everything that was asked of the old one is asked again. */
  async restore(tracking: boolean): Promise<void> {
    this.#tracking = tracking;
    this.#armed = new Set();
    const waits = this.#exact.names().map((channel) => this.#channels.subscribe(channel, this.#heardExactly));
    if (this.#below.names().length > 0) waits.push(this.#channels.subscribeBelow(channelPrefix, this.#heardBelow));
    await Promise.all([...waits, this.#armFamilies()]);
  }

  #listenersOf({ channel, channelsBelow }: Watch): Listeners<string> {
    return channel === undefined && channelsBelow === undefined ? this.#keys : this.#checkers;
  }

  readonly #heardExactly = (message: string, channel: string): void => {
    for (const watcher of this.#exact.get(channel)) watcher.heard(channel, message);
  };

  readonly #heardBelow = (message: string, channel: string): void => {
    for (const prefix of this.#below.names())
      if (channel.startsWith(prefix)) for (const watcher of this.#below.get(prefix)) watcher.heard(channel, message);
  };

  /**
   * Asks Redis to tell of the families that are watched now. All at once, without waiting for one answer before the next
   * command: what was sent is done in its order, however late, or the connection breaks and everything is asked again.
   */
  async #armFamilies(): Promise<void> {
    if (!this.#tracking) return;
    const wanted = new Set(this.#families.names());
    const fresh = [...wanted].filter((family) => !this.#armed.has(family));
    const unwanted = [...this.#armed].some((family) => !wanted.has(family));
    // Tracking knows no way to drop one prefix, and refuses to be told one twice.
    const anew = unwanted || (this.#armed.size === 0 && fresh.length > 0);
    const told = anew ? [...wanted] : fresh;
    this.#armed = wanted;
    const waits: Promise<unknown>[] = [];
    if (anew) waits.push(this.#channels.ask("CLIENT TRACKING", "OFF"));
    if (told.length > 0) {
      const prefixes = told.flatMap((family) => ["PREFIX", family]);
      waits.push(this.#channels.ask("CLIENT TRACKING", "ON", "BCAST", ...prefixes));
    }
    await Promise.all(waits);
    // What was written while it was off, nobody told.
    if (unwanted) for (const family of wanted) for (const watcher of this.#families.get(family)) watcher.stale();
  }
}
