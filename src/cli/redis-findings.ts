import type { Ask } from "../redis/commands.ts";
import { factOf, type Greeted, greet, type RedisAddress, userOf } from "../redis/greeting.ts";
import type { RedisOptions } from "../redis/redis.ts";
import { grantedWrites, shortList } from "../redis/rights.ts";
import { movedTo, mustBeMaster, Sentinels } from "../redis/sentinel.ts";
import { type Finding, findingsOf } from "./finding.ts";

const redis = findingsOf("redis");
const rightsAdvice = "use the Redis user that the README describes: it may read, and nothing else";

/** Where a Redis is, without its password. */
function placeOf({ url, host = "127.0.0.1", port = 6379 }: RedisAddress): string {
  return url === undefined ? `${host}:${port}` : new URL(url).host;
}

/** The address of the master, whom the sentinels know if there are any. */
async function addressOf({ address, sentinels, timeoutMs, maxBackoffMs }: RedisOptions): Promise<RedisAddress> {
  if (!sentinels) return address;
  const asked = new Sentinels({ ...sentinels, timeoutMs, maxBackoffMs }, () => {});
  try {
    await asked.start();
    return movedTo(await asked.master(), address);
  } finally {
    await asked.close();
  }
}

/** The reasons of an error that has several, or its own. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0)
    return [error.message, ...error.errors.map(reasonOf)].filter((text) => text !== "").join(": ");
  return error instanceof Error ? error.message || String((error as NodeJS.ErrnoException).code) : String(error);
}

function unreached(place: string, error: unknown): Finding {
  const reason = reasonOf(error);
  const advice = /WRONGPASS|NOAUTH|invalid username-password/i.test(reason)
    ? "check --redis-username and --redis-password, or those in --redis-url"
    : /NOPERM/.test(reason)
      ? "grant the user what the README lists"
      : "is Redis running there? --redis-url, or --redis-host and --redis-port, say where it is";
  return redis("wrong", `it cannot be used at ${place}: ${reason}`, advice);
}

function versionFinding(version: string | undefined): Finding {
  if (version === undefined) return redis("unknown", "its version is not told: it is older than 6, or a proxy");
  if (Number.parseInt(version, 10) >= 7) return redis("ok", `version ${version}`);
  return redis(
    "note",
    `version ${version}: its access rules cannot say that a user may only read`,
    "Redis 7 or newer can",
  );
}

function trackingFinding({ ability }: Greeted): Finding {
  if (ability === "tracking") return redis("ok", "it tells what changed (CLIENT TRACKING)");
  return redis(
    "wrong",
    "it does not tell what changed: whatever is followed is read again on a timer (--poll-ms)",
    "Redis 6 or newer does, to a user with +client|tracking and without a proxy in between",
  );
}

async function* rightsFindings(user: string, ask: Ask): AsyncGenerator<Finding> {
  const granted = await grantedWrites(user, ask);
  if (granted === undefined) {
    yield redis(
      "unknown",
      `whether the user ${JSON.stringify(user)} may do more than read: it may not ask`,
      `ACL SETUSER ${user} +acl|dryrun lets it ask, and do nothing else`,
    );
    return;
  }
  if (granted.length === 0) yield redis("ok", `the user ${JSON.stringify(user)} may run no command that writes`);
  else
    yield redis("wrong", `the user ${JSON.stringify(user)} may do more than read: ${shortList(granted)}`, rightsAdvice);
  const other = "fullon-cache-api:nobody's";
  const reads = await ask("ACL DRYRUN", user, "GET", other).catch(() => undefined);
  if (reads === "OK")
    yield redis("note", `the user ${JSON.stringify(user)} may read every key, not only the cache`, rightsAdvice);
}

/** How one may ask a server, once it was reached. */
export interface Reached extends Disposable {
  readonly ask: Ask;
}

/** Looks at the server itself: reached, version, what it tells, what its user may do. Returns it where it can be used. */
export async function* redisFindings(options: RedisOptions): AsyncGenerator<Finding, Reached | undefined> {
  const end = new AbortController();
  let server: Greeted | undefined;
  let kept = false;
  let place = options.sentinels ? "the sentinels" : placeOf(options.address);
  try {
    const address = await addressOf(options);
    place = placeOf(address);
    const inspect = async (found: Greeted) => {
      if (options.sentinels) await mustBeMaster(found);
      server = found;
    };
    await greet({ address, name: "fullon-cache-api:doctor", inspect }, end.signal, () => {});
    if (!server) return undefined;
    yield redis("ok", `reached at ${place}`);
    yield versionFinding(await factOf(server, "version"));
    yield trackingFinding(server);
    yield* rightsFindings(userOf(address), server.ask);
    kept = true;
    return { ask: server.ask, [Symbol.dispose]: () => end.abort() };
  } catch (error) {
    yield unreached(place, error);
    return undefined;
  } finally {
    if (!kept) end.abort();
  }
}
