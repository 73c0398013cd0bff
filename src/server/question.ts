import type { Accounts } from "../operations/account-map.ts";
import type { Asker, Asking } from "../operations/reading.ts";
import type { Cache } from "../redis/cache.ts";
import type { LeasedCache } from "../redis/leased-cache.ts";

/** What questions may use, whoever asks. */
export type Common = Omit<Asking, "connection">;

/** One question of one connection. */
export class Question implements Asking {
  readonly common: Common;
  readonly asker: Asker;
  /** Whether it was refused for a reason that may pass. */
  isRefused = false;

  constructor(common: Common, asker: Asker) {
    this.common = common;
    this.asker = asker;
  }

  get cache(): Cache {
    return this.common.cache;
  }

  get accounts(): Accounts {
    return this.asker.accounts ?? this.common.accounts;
  }

  get staleAfter() {
    return this.common.staleAfter;
  }

  get corrupt() {
    return this.common.corrupt;
  }

  get now() {
    return this.common.now;
  }

  get server() {
    return this.common.server;
  }

  get connection() {
    return this.asker;
  }
}

/** A question whose answer may be kept, if it rests on nothing but what Redis tells the end of. */
export class Evidence extends Question {
  readonly #cache: LeasedCache;
  /** Whether it depends on the clock, the gateway, or on who asks. */
  isPassing = false;

  constructor(common: Common, asker: Asker, cache: LeasedCache) {
    super(common, asker);
    this.#cache = cache;
  }

  /** Whether everything that was read is still so, for all that Redis has told. */
  get holds(): boolean {
    return !this.isPassing && !this.isRefused && this.#cache.holds;
  }

  override get cache() {
    return this.#cache;
  }

  override get accounts() {
    // What a token claims holds for its bearer alone.
    if (this.asker.accounts) this.isPassing = true;
    return super.accounts;
  }

  override get now() {
    this.isPassing = true;
    return super.now;
  }

  override get server() {
    this.isPassing = true;
    return super.server;
  }

  override get connection() {
    this.isPassing = true;
    return super.connection;
  }
}
