import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseEnv } from "node:util";

/** One setting: how it is called, what it allows, and what it is without being set. Everything else is derived. */
export interface Setting {
  /** One sentence for people. */
  readonly about: string;
  /** The environment variables that set it, the first that is there counts. */
  readonly env: readonly [string, ...string[]];
  readonly kind: Kind;
  /** As text, as it would stand in the environment; undefined where there is none. */
  readonly default?: string;
  /** Never shown. */
  readonly secret?: true;
}

/** How the text of a setting is read, and what it says of what it allows. */
interface Kind {
  readonly allowed: string;
  /** Undefined where the text is not allowed. */
  read(text: string): string | number | undefined;
}

const anyText: Kind = { allowed: "text", read: (text) => text };
const integer = (low: number, high: number): Kind => ({
  allowed: `an integer ${low}–${high}`,
  read: (text) => (/^\d+$/.test(text) && Number(text) >= low && Number(text) <= high ? Number(text) : undefined),
});
const processes: Kind = {
  allowed: "an integer 1–1024, or auto: one per processor",
  read: (text) => (text === "auto" ? availableParallelism() : integer(1, 1_024).read(text)),
};
const oneOf = (...words: readonly string[]): Kind => ({
  allowed: words.join(", "),
  read: (text) => (words.includes(text) ? text : undefined),
});
const redisUrl: Kind = {
  allowed: "redis://[user:password@]host[:port][/db] or rediss://…",
  read: (text) => {
    if (!URL.canParse(text)) return undefined;
    const { protocol, hostname, pathname, username, password } = new URL(text);
    // A stray % would make the user or the password unreadable later, where nobody could say whose fault it is.
    if (/%(?![\da-f]{2})/i.test(username + password)) return undefined;
    return /^rediss?:$/.test(protocol) && hostname !== "" && /^(\/\d*)?$/.test(pathname) ? text : undefined;
  },
};

/** Every setting there is; environment, `.env`, flags, checks and documentation all come from here. */
export const settings = {
  host: { about: "the address to listen on", env: ["HOST"], kind: anyText, default: "127.0.0.1" },
  port: {
    about: "the port to listen on; 0 takes a free one",
    env: ["PORT"],
    kind: integer(0, 65_535),
    default: "8765",
  },
  workers: {
    about: "how many processes of `serve` share the port",
    env: ["WORKERS"],
    kind: processes,
    default: "1",
  },
  redisUrl: {
    about: "where Redis is; goes before the single parts below",
    env: ["REDIS_URL"],
    kind: redisUrl,
    secret: true,
  },
  redisHost: { about: "the host of Redis", env: ["REDIS_HOST", "CACHE_HOST"], kind: anyText, default: "127.0.0.1" },
  redisPort: {
    about: "the port of Redis",
    env: ["REDIS_PORT", "CACHE_PORT"],
    kind: integer(1, 65_535),
    default: "6379",
  },
  redisDb: { about: "the database of Redis", env: ["REDIS_DB", "CACHE_DB"], kind: integer(0, 9_999), default: "0" },
  redisUsername: {
    about: "the user that Redis knows",
    env: ["REDIS_USERNAME", "CACHE_USERNAME", "CACHE_USER"],
    kind: anyText,
  },
  redisPassword: {
    about: "the password of that user",
    env: ["REDIS_PASSWORD", "CACHE_PASSWORD"],
    kind: anyText,
    secret: true,
  },
  redisTimeoutMs: {
    about: "how long a read from Redis may take, in milliseconds",
    env: ["REDIS_TIMEOUT_MS"],
    kind: integer(10, 60_000),
    default: "2000",
  },
  accountsFile: {
    about: 'a JSON file that says which accounts a user has: {"1001": {"binance": 12, "kraken": 13}}',
    env: ["ACCOUNTS_FILE"],
    kind: anyText,
  },
  nearCacheBytes: {
    about: "how much memory answers may take that are kept for as long as Redis tells of no change, in bytes; 0: none",
    env: ["NEAR_CACHE_BYTES"],
    kind: integer(0, 4_294_967_296),
    default: "67108864",
  },
  staleAfterS: {
    about: "how old a process' last heartbeat may be, in seconds",
    env: ["STALE_AFTER_S"],
    kind: integer(1, 86_400),
    default: "300",
  },
  rereadMs: {
    about: "how often a followed picture is read again although nobody said that it changed, in milliseconds; 0: never",
    env: ["REREAD_MS"],
    kind: integer(0, 86_400_000),
    default: "60000",
  },
  pollMs: {
    about: "the same where Redis cannot tell what changed (before version 6, behind some proxies), in milliseconds",
    env: ["POLL_MS"],
    kind: integer(10, 60_000),
    default: "500",
  },
  pingMs: {
    about: "how often a client is asked for a sign of life, in milliseconds; one that gave none since is cut off",
    env: ["PING_MS"],
    kind: integer(100, 60_000),
    default: "14000",
  },
  drainMs: {
    about: "how long open connections may take to end when the server stops, in milliseconds",
    env: ["DRAIN_MS"],
    kind: integer(0, 600_000),
    default: "5000",
  },
  maxFrameBytes: {
    about: "how large a request may be, in bytes",
    env: ["MAX_FRAME_BYTES"],
    kind: integer(1_024, 16_777_216),
    default: "1048576",
  },
  maxInFlight: {
    about: "how many requests of one connection may be in flight",
    env: ["MAX_IN_FLIGHT"],
    kind: integer(1, 1_000_000),
    default: "1000",
  },
  maxStreams: {
    about: "how many streams one connection may have",
    env: ["MAX_STREAMS"],
    kind: integer(1, 1_000_000),
    default: "1000",
  },
  maxTopics: {
    about: "how many topics one connection may follow",
    env: ["MAX_TOPICS"],
    kind: integer(1, 1_000_000),
    default: "10000",
  },
  congestedBytes: {
    about: "how much may wait for a client before it gets only the latest of every item, in bytes",
    env: ["CONGESTED_BYTES"],
    kind: integer(1_024, 1_073_741_824),
    default: "1048576",
  },
  maxBacklogBytes: {
    about: "how much may wait for a client before it is cut off, in bytes",
    env: ["MAX_BACKLOG_BYTES"],
    kind: integer(65_536, 4_294_967_296),
    default: "67108864",
  },
  logLevel: {
    about: "how much is logged",
    env: ["LOG_LEVEL"],
    kind: oneOf("trace", "debug", "info", "warn", "error", "fatal", "silent"),
    default: "info",
  },
  logFormat: {
    about: "json for machines, text for people",
    env: ["LOG_FORMAT"],
    kind: oneOf("json", "text"),
    default: "json",
  },
} as const satisfies Record<string, Setting>;

/** The name of a setting. */
export type SettingName = keyof typeof settings;

type Numeric = {
  [N in SettingName]: (typeof settings)[N] extends { default: `${number}` } ? N : never;
}[SettingName];

/** All settings with their values; those without a default may be missing. */
export type Settings = {
  readonly [N in SettingName]: N extends Numeric
    ? number
    : (typeof settings)[N] extends { default: string }
      ? string
      : string | undefined;
};

/** Thrown for a setting that is wrong; its message names the setting, its value (unless secret) and what is allowed. */
export class SettingError extends Error {}

/** The flag of a setting: `redisUrl` → `redis-url`. */
export function flagOf(name: SettingName): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function read(name: SettingName, text: string, source: string): string | number {
  const setting: Setting = settings[name];
  const value = setting.kind.read(text);
  if (value !== undefined) return value;
  const shown = setting.secret ? "its value" : JSON.stringify(text);
  throw new SettingError(`${source}: ${shown} is not allowed; it must be ${setting.kind.allowed}`);
}

/** Reads a `.env` file; a missing one is an empty one. */
export function readEnvFile(path = ".env"): Record<string, string | undefined> {
  try {
    return parseEnv(readFileSync(path, "utf8")) as Record<string, string | undefined>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new SettingError(`${path} cannot be read: ${(error as Error).message}`);
  }
}

/**
 * Puts the settings together: options, then flags, then the environment, then the defaults.
 * @throws SettingError
 */
export function readSettings(from: {
  readonly options?: Partial<Record<SettingName, string | number | undefined>>;
  readonly flags?: Readonly<Record<string, string | undefined>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
}): Settings {
  const names = Object.keys(settings) as SettingName[];
  const values = names.map((name) => {
    const setting: Setting = settings[name];
    const option = from.options?.[name];
    if (option !== undefined) return [name, read(name, String(option), name)];
    const flag = from.flags?.[flagOf(name)];
    if (flag !== undefined) return [name, read(name, flag, `--${flagOf(name)}`)];
    for (const variable of setting.env) {
      const text = from.env?.[variable];
      if (text !== undefined && text !== "") return [name, read(name, text, variable)];
    }
    return [name, setting.default === undefined ? undefined : setting.kind.read(setting.default)];
  });
  return Object.fromEntries(values) as Settings;
}
