import { identityAccounts } from "../operations/account-map.ts";
import { operations } from "../operations/index.ts";
import type { Asking } from "../operations/reading.ts";
import { CacheError } from "../protocol/errors.ts";
import type { Cache } from "../redis/cache.ts";
import type { Ask } from "../redis/commands.ts";
import { type Finding, findingsOf, some, span } from "./finding.ts";

const data = findingsOf("data");

/** The keys that begin alike, and how each of them is read. */
interface Family {
  /** The key, or what all of them begin with. */
  readonly start: string;
  /** Reads what a key holds. @param rest what stands behind the start */
  read(asking: Asking, rest: string): Promise<unknown>;
  /** Whether somebody should write it all the time. */
  readonly isAlive?: true;
}

/** What a hash holds, read field by field. */
async function fields(asking: Asking, key: string, read: (field: string) => Promise<unknown>): Promise<unknown[]> {
  const names = [...(await asking.cache.hgetall(key)).keys()].slice(0, mostRead);
  return Promise.all(names.map((name) => orCorrupt(asking, read(name))));
}

/** The two parts of a name, of which one may have colons of its own. */
function parts(text: string, colon: number): [string, string] {
  return [text.slice(0, colon), text.slice(colon + 1)];
}

const { getAllTickers, getOrders, getBalance, getPositions, getBots, getBlocks, isOpeningPosition } = operations;
const { getTrades, getUserTrades, getTradeStatus, getLatestOhlcvBars } = operations;
const { getActiveProcesses, getProcess, getComponentStatus } = operations;

/** Every family of keys that an operation reads; the operations read them here, too, so that both understand the same. */
export const families: readonly Family[] = [
  { start: "tickers:", read: (asking, exchange) => getAllTickers.read(asking, { exchange }), isAlive: true },
  {
    start: "accounts",
    read: (asking) => fields(asking, "accounts", (user_id) => getBalance.read(asking, { user_id })),
  },
  {
    start: "account_positions",
    read: (asking) => fields(asking, "account_positions", (user_id) => getPositions.read(asking, { user_id })),
  },
  { start: "order_status:", read: (asking, exchange) => getOrders.read(asking, { exchange }) },
  { start: "bot_status", read: (asking) => getBots.read(asking, {}) },
  { start: "block_exchange", read: (asking) => getBlocks.read(asking, {}) },
  {
    start: "opening_position",
    read: (asking) =>
      fields(asking, "opening_position", (field) => {
        const [exchange, symbol] = parts(field, field.indexOf(":"));
        return isOpeningPosition.read(asking, { exchange, symbol });
      }),
  },
  {
    start: "trades:",
    read(asking, rest) {
      const [exchange, symbol] = parts(rest, rest.indexOf(":"));
      return getTrades.read(asking, { exchange, symbol });
    },
  },
  {
    start: "user_trades:",
    read(asking, rest) {
      const [user_id, exchange] = parts(rest, rest.indexOf(":"));
      return getUserTrades.read(asking, { user_id, exchange });
    },
  },
  { start: "TRADE:STATUS:", read: (asking, trade_key) => getTradeStatus.read(asking, { trade_key }) },
  {
    start: "ohlcv:",
    read(asking, rest) {
      const [symbol, timeframe] = parts(rest, rest.lastIndexOf(":"));
      return getLatestOhlcvBars.read(asking, { symbol, timeframe });
    },
  },
  { start: "process:active:", read: (asking, process_type) => getActiveProcesses.read(asking, { process_type }) },
  { start: "process:data:", read: (asking, process_id) => getProcess.read(asking, { process_id }), isAlive: true },
  {
    start: "process:components",
    read: (asking) =>
      fields(asking, "process:components", (component) => getComponentStatus.read(asking, { component })),
  },
];

const isFamily = ({ start }: Family) => start.endsWith(":");

/** How many keys of a family, and fields of a hash, are looked into. */
const mostRead = 1_000;
const mostNamed = 5;
/** A clock that is off by more than this misleads, in seconds. */
export const clockToleranceS = 5;

/** Every key there is, by its family. Walks the whole key space once. */
async function keysByFamily(ask: Ask): Promise<Map<Family, Set<string>>> {
  const found = new Map<Family, Set<string>>(families.map((family) => [family, new Set()]));
  let cursor = "0";
  do {
    const [next, keys] = (await ask("SCAN", cursor, "COUNT", "1000")) as [string, string[]];
    for (const key of keys)
      for (const family of families)
        if (isFamily(family) ? key.startsWith(family.start) : key === family.start) found.get(family)?.add(key);
    cursor = next;
  } while (cursor !== "0");
  return found;
}

/** What is read, unless it cannot be: then that is reported. What has gone meanwhile is nothing. */
async function orCorrupt(asking: Asking, read: Promise<unknown>): Promise<unknown> {
  try {
    return await read;
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    if (error.code === "DATA_CORRUPT") asking.corrupt(error);
    else if (!error.code.endsWith("_NOT_FOUND")) throw error;
    return [];
  }
}

/** The times in what was read, in unix seconds. */
function* timesIn(value: unknown): Generator<number> {
  if (Array.isArray(value)) {
    // A bar begins with its time.
    if (typeof value[0] === "number") yield value[0];
    else for (const item of value) yield* timesIn(item);
    return;
  }
  const { timestamp, since } = Object(value) as { readonly timestamp?: unknown; readonly since?: unknown };
  for (const time of [timestamp, since]) if (typeof time === "number") yield time;
}

/** What a family was found to hold. */
interface Content {
  readonly keys: number;
  /** The newest time in it, in unix seconds. */
  readonly newest: number | undefined;
}

async function contentOf({ start, read }: Family, keys: ReadonlySet<string>, asking: Asking): Promise<Content> {
  let newest: number | undefined;
  for (const key of [...keys].slice(0, mostRead))
    for (const time of timesIn(await orCorrupt(asking, read(asking, key.slice(start.length)))))
      newest = Math.max(newest ?? time, time);
  return { keys: keys.size, newest };
}

function contentFinding(family: Family, { keys, newest }: Content, { now, staleAfter }: Asking): Finding {
  const name = isFamily(family) ? `${family.start}*` : family.start;
  const unread = keys > mostRead ? `, of which ${mostRead} were looked into` : "";
  if (newest === undefined) return data("ok", `${name}: ${some(keys, "key")}${unread}`);
  const age = now() - newest;
  const held = `${name}: ${some(keys, "key")}${unread}, the newest of ${age < 0 ? `${span(-age * 1000)} ahead` : `${span(age * 1000)} ago`}`;
  if (age < -clockToleranceS)
    return data("wrong", held, "whoever writes it has a clock that is ahead of this machine's: set both by NTP");
  if (family.isAlive && age > staleAfter)
    return data("note", held, "nobody seems to write it: is its process running?");
  return data("ok", held);
}

/** What could not be read, each once, and why. */
function corruptFindings(errors: readonly CacheError[]): Finding[] {
  const messages = [...new Set(errors.map(({ message }) => message))];
  const named = messages
    .slice(0, mostNamed)
    .map((message) => data("wrong", message, "whoever writes it has to write it anew, or it has to be deleted"));
  const more = messages.length - named.length;
  return more > 0 ? [...named, data("wrong", `${some(more, "more value")} cannot be read`)] : named;
}

/** Looks at what Redis holds: which families of keys, how new, and what cannot be read. */
export async function* dataFindings(
  cache: Cache,
  ask: Ask,
  { staleAfter, now = () => Date.now() / 1000 }: { readonly staleAfter: number; readonly now?: () => number },
): AsyncGenerator<Finding> {
  const corrupt: CacheError[] = [];
  const reading = {
    cache,
    accounts: identityAccounts,
    staleAfter,
    now,
    corrupt: (error: CacheError) => corrupt.push(error),
  };
  // What is read here asks neither the gateway nor a connection about themselves.
  const asking = reading as unknown as Asking;
  const found = await keysByFamily(ask);
  if ([...found.values()].every((keys) => keys.size === 0)) {
    yield data("wrong", "there is no key of fullon_cache", "is it the right Redis, and the right database? --redis-db");
    return;
  }
  for (const [family, keys] of found) {
    if (keys.size === 0) continue;
    try {
      yield contentFinding(family, await contentOf(family, keys, asking), asking);
    } catch (error) {
      if (!(error instanceof CacheError)) throw error;
      const reason = error.cause instanceof Error ? error.cause.message : error.message;
      yield data("wrong", `${family.start}: ${reason}`, "grant the user what the README lists");
    }
  }
  const none = [...found].flatMap(([{ start }, keys]) => (keys.size === 0 ? [start] : []));
  if (none.length > 0) yield data("ok", `nothing in: ${none.join(", ")}`);
  if (corrupt.length === 0) yield data("ok", "every value that was looked into can be read");
  yield* corruptFindings(corrupt);
}
