import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { availableParallelism } from "node:os";
import { parseEnv } from "node:util";
import { type WireName, wireName } from "../protocol/names.ts";

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
  /** Clients are told, since it limits them. */
  readonly limit?: true;
}

/** How the text of a setting is read, and what it says of what it allows. */
interface Kind {
  readonly allowed: string;
  /** Whether its flag stands alone and means yes. */
  readonly isSwitch?: true;
  /** Undefined where the text is not allowed. */
  read(text: string): Value | undefined;
}

type Value = string | number | boolean;

const anyText: Kind = { allowed: "text", read: (text) => text };
const integer = (low: number, high: number): Kind => ({
  allowed: `an integer ${low}–${high}`,
  read: (text) => (/^\d+$/.test(text) && Number(text) >= low && Number(text) <= high ? Number(text) : undefined),
});
const processes: Kind = {
  allowed: "an integer 1–1024, or auto: one per processor",
  read: (text) => (text === "auto" ? availableParallelism() : integer(1, 1_024).read(text)),
};
const yesOrNo: Kind = {
  allowed: "1, true, yes or 0, false, no",
  isSwitch: true,
  read: (text) => (/^(1|true|yes)$/i.test(text) ? true : /^(0|false|no)$/i.test(text) ? false : undefined),
};
const oneOf = (...words: readonly string[]): Kind => ({
  allowed: words.join(", "),
  read: (text) => (words.includes(text) ? text : undefined),
});
/** The parts of a list with commas. */
export function listed(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);
}

const listOf = (allowed: string, fits: (part: string) => boolean): Kind => ({
  allowed,
  read: (text) => (listed(text).every(fits) ? text : undefined),
});
const origins = listOf(
  "origins like https://dashboard.example.com",
  (text) => text === "null" || (URL.canParse(text) && new URL(text).origin === text),
);
const networks = listOf("addresses or subnets like 10.0.0.0/8", (text) => {
  const [address = "", bits = "0", ...rest] = text.split("/");
  const most = isIP(address) === 4 ? 32 : 128;
  return isIP(address) !== 0 && /^\d+$/.test(bits) && Number(bits) <= most && rest.length === 0;
});
const jwksUrl: Kind = {
  allowed: "https://…, or http:// on this machine",
  read: (text) => {
    if (!URL.canParse(text)) return undefined;
    const { protocol, hostname } = new URL(text);
    return protocol === "https:" || (protocol === "http:" && isLoopback(hostname)) ? text : undefined;
  },
};
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
const places = listOf("host[:port], several with commas between them", (text) => {
  if (!URL.canParse(`redis://${text}`)) return false;
  const { hostname, host } = new URL(`redis://${text}`);
  return hostname !== "" && host === text;
});

/** Whether a host is this machine, reached from nowhere else. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?|(::ffff:)?127(\.\d{1,3}){3})$/i.test(host);
}

/** Every setting there is; environment, `.env`, flags, checks and documentation all come from here. */
export const settings = {
  host: { about: "the address to listen on", env: ["HOST"], kind: anyText, default: "127.0.0.1" },
  tlsCertFile: {
    about: "the certificate in PEM, with its chain, to serve wss:// with; read again on SIGHUP",
    env: ["TLS_CERT_FILE"],
    kind: anyText,
  },
  tlsKeyFile: { about: "the private key of that certificate, in PEM", env: ["TLS_KEY_FILE"], kind: anyText },
  jwtSecret: {
    about: "the secret that tokens are signed with (HS256); whoever connects must bring one then",
    env: ["JWT_SECRET"],
    kind: anyText,
    secret: true,
  },
  jwksUrl: {
    about: "where the public keys are that tokens are signed with (RS256, ES256, EdDSA)",
    env: ["JWKS_URL"],
    kind: jwksUrl,
  },
  jwtKeyFile: {
    about: "the same from a file: a public key in PEM or a JSON Web Key Set; read again on SIGHUP",
    env: ["JWT_KEY_FILE"],
    kind: anyText,
  },
  jwtIssuer: { about: "the issuer that tokens must name", env: ["JWT_ISSUER"], kind: anyText },
  jwtAudience: { about: "the audience that tokens must name", env: ["JWT_AUDIENCE"], kind: anyText },
  jwtClockToleranceS: {
    about: "how far the clock of whoever signs tokens may be off, in seconds",
    env: ["JWT_CLOCK_TOLERANCE_S"],
    kind: integer(0, 300),
    default: "5",
  },
  apiKeysFile: {
    about:
      'a JSON file of the keys of services: {"grafana": {"sha256": "…", "scope": "tickers:read"}}; read again on SIGHUP',
    env: ["API_KEYS_FILE"],
    kind: anyText,
  },
  defaultScope: {
    about: "what a token may ask that names no scope",
    env: ["DEFAULT_SCOPE"],
    kind: anyText,
    default: "tickers:read ohlcv:read accounts:read",
  },
  allowedOrigins: {
    about: "the web pages that may connect, by their origins, with commas between them",
    env: ["ALLOWED_ORIGINS"],
    kind: origins,
    default: "",
  },
  trustedProxies: {
    about: "the proxies whose X-Forwarded-For is believed: addresses or subnets, with commas between them",
    env: ["TRUSTED_PROXIES"],
    kind: networks,
    default: "",
  },
  insecure: {
    about: "listen on other addresses than this machine's own although whoever connects may read everything",
    env: ["INSECURE"],
    kind: yesOrNo,
    default: "false",
  },
  port: {
    about: "the port to listen on; 0 takes a free one",
    env: ["PORT"],
    kind: integer(0, 65_535),
    default: "8765",
  },
  metricsPort: {
    about:
      "the port for /metrics, /healthz and /readyz, in plain HTTP and for whoever can reach it; 0: none, and /metrics is " +
      "on the main port for this machine alone",
    env: ["METRICS_PORT"],
    kind: integer(0, 65_535),
    default: "0",
  },
  metricsHost: {
    about: "the address that this port listens on",
    env: ["METRICS_HOST"],
    kind: anyText,
    default: "127.0.0.1",
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
  redisSentinels: {
    about: "the sentinels that are asked where Redis is, instead of a host and port; Redis 6 or newer",
    env: ["REDIS_SENTINELS"],
    kind: places,
  },
  redisSentinelMaster: {
    about: "the name under which the sentinels know it",
    env: ["REDIS_SENTINEL_MASTER"],
    kind: anyText,
    default: "mymaster",
  },
  redisSentinelUsername: {
    about: "the user that the sentinels know, where they have users of their own",
    env: ["REDIS_SENTINEL_USERNAME"],
    kind: anyText,
  },
  redisSentinelPassword: {
    about: "the password that the sentinels ask for",
    env: ["REDIS_SENTINEL_PASSWORD"],
    kind: anyText,
    secret: true,
  },
  requireReadOnly: {
    about: "use no Redis whose user may do more than read, or of whose user that cannot be found out",
    env: ["REQUIRE_READ_ONLY"],
    kind: yesOrNo,
    default: "false",
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
    limit: true,
  },
  drainMs: {
    about: "how long open connections may take to end when the server stops, in milliseconds",
    env: ["DRAIN_MS"],
    kind: integer(0, 600_000),
    default: "5000",
  },
  maxConnections: {
    about: "how many connections there may be; each worker counts for itself",
    env: ["MAX_CONNECTIONS"],
    kind: integer(1, 1_000_000),
    default: "20000",
    limit: true,
  },
  maxConnectionsPerAddress: {
    about: "how many of them from one address; 0: any number",
    env: ["MAX_CONNECTIONS_PER_ADDRESS"],
    kind: integer(0, 1_000_000),
    default: "2000",
    limit: true,
  },
  maxConnectionsPerUser: {
    about: "how many of them of one user or key; 0: any number",
    env: ["MAX_CONNECTIONS_PER_USER"],
    kind: integer(0, 1_000_000),
    default: "1000",
    limit: true,
  },
  connectionRate: {
    about: "how many connections a second may be made, and ten times as many in a burst; 0: any number",
    env: ["CONNECTION_RATE"],
    kind: integer(0, 1_000_000),
    default: "2000",
    limit: true,
  },
  messageRate: {
    about: "how many messages a second one connection may send; 0: any number",
    env: ["MESSAGE_RATE"],
    kind: integer(0, 10_000_000),
    default: "10000",
    limit: true,
  },
  messageBurst: {
    about: "how many of them at once",
    env: ["MESSAGE_BURST"],
    kind: integer(1, 10_000_000),
    default: "20000",
    limit: true,
  },
  authenticateWithinMs: {
    about: "how long a connection may stay that came without a token, to authenticate later; 0: it is refused at once",
    env: ["AUTHENTICATE_WITHIN_MS"],
    kind: integer(0, 600_000),
    default: "0",
    limit: true,
  },
  idleMs: {
    about: "how long a connection may stay that asks nothing and follows nothing, in milliseconds; 0: for ever",
    env: ["IDLE_MS"],
    kind: integer(0, 86_400_000),
    default: "0",
    limit: true,
  },
  maxFrameBytes: {
    about: "how large a request may be, in bytes",
    env: ["MAX_FRAME_BYTES"],
    kind: integer(1_024, 16_777_216),
    default: "1048576",
    limit: true,
  },
  maxInFlight: {
    about: "how many requests of one connection may be in flight",
    env: ["MAX_IN_FLIGHT"],
    kind: integer(1, 1_000_000),
    default: "1000",
    limit: true,
  },
  maxStreams: {
    about: "how many streams one connection may have",
    env: ["MAX_STREAMS"],
    kind: integer(1, 1_000_000),
    default: "1000",
    limit: true,
  },
  maxTopics: {
    about: "how many topics one connection may follow",
    env: ["MAX_TOPICS"],
    kind: integer(1, 1_000_000),
    default: "10000",
    limit: true,
  },
  congestedBytes: {
    about: "how much may wait for a client before it gets only the latest of every item and is read no more, in bytes",
    env: ["CONGESTED_BYTES"],
    kind: integer(1_024, 1_073_741_824),
    default: "1048576",
    limit: true,
  },
  maxBacklogBytes: {
    about: "how much may wait for a client at all, in bytes",
    env: ["MAX_BACKLOG_BYTES"],
    kind: integer(65_536, 4_294_967_296),
    default: "16777216",
    limit: true,
  },
  slowMs: {
    about:
      "how long a client for which more than that waits may take to catch up before it is cut off, in milliseconds",
    env: ["SLOW_MS"],
    kind: integer(100, 600_000),
    default: "10000",
    limit: true,
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

type Switch = {
  [N in SettingName]: (typeof settings)[N] extends { default: "true" | "false" } ? N : never;
}[SettingName];

/** All settings with their values; those without a default may be missing. */
export type Settings = {
  readonly [N in SettingName]: N extends Numeric
    ? number
    : N extends Switch
      ? boolean
      : (typeof settings)[N] extends { default: string }
        ? string
        : string | undefined;
};

type LimitName = {
  [N in SettingName]: (typeof settings)[N] extends { limit: true } ? N : never;
}[SettingName];

/** What clients are limited to, by names on the wire: `max_streams`. */
export type Limits = { readonly [N in LimitName as WireName<N>]: number };

/** The limits among the settings. */
export function limitsOf(values: Settings): Limits {
  const names = (Object.keys(settings) as SettingName[]).filter((name) => (settings[name] as Setting).limit);
  return Object.fromEntries(names.map((name) => [wireName(name), values[name]])) as Limits;
}

/** Thrown for a setting that is wrong; its message names the setting, its value (unless secret) and what is allowed. */
export class SettingError extends Error {}

/** The flag of a setting: `redisUrl` → `redis-url`. */
export function flagOf(name: SettingName): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function read(name: SettingName, text: string, source: string): Value {
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
  readonly options?: Partial<Record<SettingName, Value | undefined>>;
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
