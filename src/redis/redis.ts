import { type Cache, RedisCache, type Watch } from "./cache.ts";
import { Connection, type ConnectionEvents, type ConnectionOptions } from "./connection.ts";
import { type Greeted, type RedisAddress, userOf } from "./greeting.ts";
import { LeasedCache } from "./leased-cache.ts";
import { Leases } from "./leases.ts";
import { Notices, type Watcher } from "./notices.ts";
import { grantedWrites, NotReadOnly, probedWrites } from "./rights.ts";
import { movedTo, mustBeMaster, type Place, type SentinelOptions, Sentinels } from "./sentinel.ts";

/** Which Redis, and how it is used. */
export interface RedisOptions extends Pick<ConnectionOptions, "timeoutMs" | "maxBackoffMs"> {
  /** Where it is, or how to get into whichever server the sentinels name. */
  readonly address: RedisAddress;
  readonly sentinels?: Pick<SentinelOptions, "addresses" | "master"> | undefined;
  /** Whether a Redis whose user may do more than read must not be used. */
  readonly requireReadOnly?: boolean;
}

/** How things stand with Redis. */
export interface RedisState {
  readonly connected: boolean;
  /** `tracking`: Redis tells what changed; `timed`: it cannot. */
  readonly change_detection: "tracking" | "timed";
  /** Whether the gateway's user may do nothing but read; null: that could not be found out. */
  readonly read_only: boolean | null;
}

/** Whoever wants to know whether Redis can be reached. */
export interface RedisEvents {
  /** Redis can be reached, and everything that is watched is armed again. */
  up(state: RedisState): void;
  /** Redis can no longer be reached, or could not be reached again. */
  down(reason: unknown): void;
  /** It answered something so many milliseconds after it was asked. */
  answered?(ms: number): void;
}

const restoreAgainMs = 1_000;

/**
 * Redis as the gateway uses it: two connections, since what is read may be large and what is pushed must not wait behind
 * it (Redis cuts a subscriber off whose buffer grows beyond a limit that a single large value may exceed).
 */
export class Redis {
  readonly cache: Cache;
  readonly #reads: Connection;
  readonly #channels: Connection;
  readonly #notices: Notices;
  readonly #leases = new Leases();
  readonly #sentinels: Sentinels | undefined;
  readonly #options: RedisOptions;
  readonly #events: RedisEvents;
  #granted: readonly string[] | undefined;
  #connected = false;
  #restoring: NodeJS.Timeout | undefined;

  constructor(options: RedisOptions, events: RedisEvents) {
    const { address, timeoutMs, maxBackoffMs } = options;
    this.#options = options;
    this.#events = events;
    const sentinels =
      options.sentinels &&
      new Sentinels({ ...options.sentinels, timeoutMs, maxBackoffMs }, (master) => this.#moved(master));
    this.#sentinels = sentinels;
    const common = {
      timeoutMs,
      maxBackoffMs,
      address: sentinels ? async () => movedTo(await sentinels.master(), address) : address,
    };
    const inspectRole = async (server: Greeted) => {
      if (sentinels) await mustBeMaster(server);
    };
    const state: Omit<ConnectionEvents, "invalidated"> = {
      up: () => void this.#ready(),
      down: (reason) => this.#lost(reason),
      answered: (ms) => this.#events.answered?.(ms),
    };
    this.#reads = new Connection(
      {
        ...common,
        name: "fullon-cache-api:reads",
        inspect: async (server) => {
          await inspectRole(server);
          await this.#inspectRights(server);
        },
      },
      {
        up: () => {
          this.#leases.grant(this.#reads.ability === "tracking");
          state.up();
        },
        down: (reason) => {
          this.#leases.grant(false);
          state.down(reason);
        },
        answered: (ms) => this.#events.answered?.(ms),
        invalidated: (key) => {
          if (key === undefined) this.#leases.endAll();
          else this.#leases.end(key);
          this.#notices.keyWritten(key);
        },
      },
    );
    this.#channels = new Connection(
      { ...common, name: "fullon-cache-api:notices", inspect: inspectRole },
      { ...state, invalidated: (key) => this.#notices.familyWritten(key) },
    );
    this.#notices = new Notices(this.#channels);
    this.cache = new RedisCache(this.#reads, this.#channels);
  }

  /** How things stand. */
  get state(): RedisState {
    const tracking = this.#reads.ability === "tracking" && this.#channels.ability === "tracking";
    return {
      connected: this.#connected,
      change_detection: tracking ? "tracking" : "timed",
      read_only: this.#granted === undefined ? null : this.#granted.length === 0,
    };
  }

  /** The commands granted to the gateway's user that do more than read; undefined: that could not be found out. */
  get granted(): readonly string[] | undefined {
    return this.#granted;
  }

  /** Connects; resolves after the first attempt. */
  async start(): Promise<void> {
    await Promise.all([this.#sentinels?.start(), this.#reads.start(), this.#channels.start()]);
  }

  /** Ends all connections for good. */
  async close(): Promise<void> {
    await Promise.all([this.#sentinels?.close(), this.#reads.close(), this.#channels.close()]);
    clearTimeout(this.#restoring);
  }

  /** The port for one question whose answer may be kept. */
  leasedCache(): LeasedCache {
    return new LeasedCache(this.cache, this.#leases);
  }

  /** Somebody was just told something newer than what was read of a key so far: no answer may rest on that any more. */
  outdated(key: string): void {
    this.#leases.end(key);
  }

  /** What a watcher was told has to be checked: it will be told that it is stale, a little later. */
  doubt(watcher: Watcher): void {
    this.#notices.doubt(watcher);
  }

  /** Begins to tell a watcher; resolves when nothing that happens from now on can be missed. */
  watch(watch: Watch, watcher: Watcher): Promise<void> {
    return this.#notices.add(watch, watcher);
  }

  /** Tells a watcher nothing more. */
  unwatch(watch: Watch, watcher: Watcher): void {
    this.#notices.remove(watch, watcher);
  }

  /** Looks what the gateway's user may do. @throws NotReadOnly it must not be used so */
  async #inspectRights(server: Greeted): Promise<void> {
    const { address, requireReadOnly } = this.#options;
    const user = userOf(address);
    this.#granted = await grantedWrites(user, server.ask);
    if (!requireReadOnly) return;
    this.#granted ??= await probedWrites(server);
    if (this.#granted?.length !== 0) throw new NotReadOnly(user, this.#granted);
  }

  /** Leaves every server that is not the master any more. */
  #moved({ host, port }: Place): void {
    for (const connection of [this.#reads, this.#channels]) {
      const { address } = connection;
      if (address && (address.host !== host || address.port !== port))
        connection.drop(new Error(`the sentinels say that the master is ${host}:${port} now`));
    }
  }

  async #ready(): Promise<void> {
    if (!this.#reads.ability || !this.#channels.ability) return;
    clearTimeout(this.#restoring);
    try {
      await this.#notices.restore(this.#channels.ability === "tracking");
    } catch (reason) {
      // A connection that broke again says so itself; one that only refused or took too long does not.
      this.#restoring = setTimeout(() => void this.#ready(), restoreAgainMs).unref();
      this.#lost(reason);
      return;
    }
    if (!this.#reads.ability || !this.#channels.ability) return;
    this.#connected = true;
    this.#events.up(this.state);
  }

  #lost(reason: unknown): void {
    this.#connected = false;
    this.#events.down(reason);
  }
}
