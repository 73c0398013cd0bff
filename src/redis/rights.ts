import { ErrorReply } from "redis";
import type { Ask } from "./commands.ts";
import type { Client, Greeted } from "./greeting.ts";

// Nobody's key and nobody's channel.
const name = "fullon-cache-api:rights";
const channel = `ticker_updates:${name}`;

// What changes the data of a Redis, or how it runs. Wherever its syntax has a way, a command is written so that it would
// fail or do nothing even if it were carried out.
const changes = `
  APPEND KEY x, BITFIELD KEY NOSUCH, BITOP NOSUCH KEY KEY, COPY KEY KEY NOSUCH, DECR KEY, DECRBY KEY x, DEL KEY,
  DELEX KEY NOSUCH, EXPIRE KEY x, EXPIREAT KEY x, GETDEL KEY, GETEX KEY EX x, GETSET KEY x, INCR KEY, INCRBY KEY x,
  INCRBYFLOAT KEY x, MIGRATE x x KEY 0 x, MOVE KEY x, MSET KEY x KEY, MSETEX x KEY x, MSETNX KEY x KEY, PERSIST KEY,
  PEXPIRE KEY x, PEXPIREAT KEY x, PFADD KEY x, PFDEBUG NOSUCH KEY, PFMERGE KEY KEY, PSETEX KEY x x, RENAME KEY KEY,
  RENAMENX KEY KEY, RESTORE KEY 0 x, RESTORE-ASKING KEY 0 x, SET KEY x NOSUCH, SETBIT KEY x 1, SETEX KEY x x,
  SETNX KEY x, SETRANGE KEY x x, SORT KEY NOSUCH, UNLINK KEY,
  HDEL KEY x, HEXPIRE KEY x FIELDS 1 x, HEXPIREAT KEY x FIELDS 1 x, HGETDEL KEY FIELDS x x, HGETEX KEY FIELDS x x,
  HINCRBY KEY x x, HINCRBYFLOAT KEY x x, HMSET KEY x x x, HPERSIST KEY FIELDS x x, HPEXPIRE KEY x FIELDS 1 x,
  HPEXPIREAT KEY x FIELDS 1 x, HSET KEY x x x, HSETEX KEY FIELDS x x x, HSETNX KEY x x,
  BLMOVE KEY KEY NOSUCH LEFT 0, BLMPOP x 1 KEY LEFT, BLPOP KEY x, BRPOP KEY x, BRPOPLPUSH KEY KEY x,
  LINSERT KEY NOSUCH x x, LMOVE KEY KEY NOSUCH LEFT, LMPOP x KEY LEFT, LPOP KEY x, LPUSH KEY x, LPUSHX KEY x,
  LREM KEY x x, LSET KEY x x, LTRIM KEY x x, RPOP KEY x, RPOPLPUSH KEY KEY, RPUSH KEY x, RPUSHX KEY x,
  SADD KEY x, SDIFFSTORE KEY KEY, SINTERSTORE KEY KEY, SMOVE KEY KEY x, SPOP KEY x, SREM KEY x, SUNIONSTORE KEY KEY,
  BZMPOP x 1 KEY MIN, BZPOPMAX KEY x, BZPOPMIN KEY x, GEOADD KEY x x x, GEORADIUS KEY x x x m,
  GEORADIUSBYMEMBER KEY x x m, GEOSEARCHSTORE KEY KEY FROMMEMBER x BYRADIUS x m, ZADD KEY x x, ZDIFFSTORE KEY x KEY,
  ZINCRBY KEY x x, ZINTERSTORE KEY x KEY, ZMPOP x KEY MIN, ZPOPMAX KEY x, ZPOPMIN KEY x, ZRANGESTORE KEY KEY x x,
  ZREM KEY x, ZREMRANGEBYLEX KEY x x, ZREMRANGEBYRANK KEY x x, ZREMRANGEBYSCORE KEY x x, ZUNIONSTORE KEY x KEY,
  XACK KEY x x, XACKDEL KEY x IDS x x, XADD KEY x x x, XAUTOCLAIM KEY x x x x, XCLAIM KEY x x x x, XDEL KEY x,
  XDELEX KEY IDS x x, XGROUP CREATE KEY x x, XGROUP CREATECONSUMER KEY x x, XGROUP DELCONSUMER KEY x x,
  XGROUP DESTROY KEY x, XGROUP SETID KEY x x, XREADGROUP GROUP x x STREAMS KEY x, XSETID KEY x, XTRIM KEY NOSUCH 0,
  FLUSHALL NOSUCH, FLUSHDB NOSUCH, SWAPDB x x, PUBLISH CHANNEL x, SPUBLISH CHANNEL x,
  EVAL return x, EVALSHA x x, FCALL x x, FUNCTION DELETE x, FUNCTION FLUSH NOSUCH, FUNCTION LOAD x, FUNCTION RESTORE x,
  SCRIPT FLUSH NOSUCH, SCRIPT LOAD (, ACL DELUSER NOSUCH, ACL SETUSER NOSUCH NOSUCH, CLIENT KILL NOSUCH, CLIENT PAUSE x,
  CONFIG SET NOSUCH x, DEBUG NOSUCH, FAILOVER NOSUCH, MODULE LOAD NOSUCH, REPLICAOF x x, SHUTDOWN NOSUCH`;

interface Change {
  /** How it is called: `SET`, `CONFIG SET`. */
  readonly name: string;
  readonly words: readonly string[];
}

const writing: readonly Change[] = changes.split(",").map((line) => {
  const named = /^(?:(?:ACL|CLIENT|CONFIG|FUNCTION|MODULE|SCRIPT|XGROUP) )?\S+/.exec(line.trim())?.[0] ?? "";
  const arguments_ = line
    .trim()
    .slice(named.length + 1)
    .split(" ");
  const placed = arguments_.map((word) => ({ KEY: name, CHANNEL: channel })[word] ?? word);
  return { name: named, words: [...named.split(" "), ...placed] };
});

/** The names of all commands that are tried. */
export const writingCommands: readonly string[] = writing.map((one) => one.name);

// Refused for what it is; unknown to this server; or one that it lets nobody have. Where a command is refused only for its
// key it is granted: who means a user to read does not grant it a command that writes.
const isNotGranted = /\bto run the\b|^ERR (unknown (sub)?command|Command '.*' not found|\w+ command not allowed)/i;

/** What an attempt is answered, be it a refusal. */
async function answerTo(attempt: Promise<unknown>): Promise<string> {
  try {
    return String(await attempt);
  } catch (error) {
    if (error instanceof ErrorReply) return error.message;
    throw error;
  }
}

/** The commands of which an attempt is not refused for what they are. */
async function granted(attempt: (words: readonly string[]) => Promise<unknown>): Promise<string[]> {
  const tried = await Promise.all(
    writing.map(async (one) => ({ name: one.name, answer: await answerTo(attempt(one.words)) })),
  );
  return tried.filter(({ answer }) => !isNotGranted.test(answer)).map((one) => one.name);
}

/**
 * The commands granted to a user that change something, as `ACL DRYRUN` tells them: it carries out none of them.
 * Undefined where the user may not ask that, or the server is older than this command (Redis 7). Where there are no users
 * at all (before Redis 6), everybody may do everything.
 */
export async function grantedWrites(user: string, ask: Ask): Promise<readonly string[] | undefined> {
  // One alone first: a refusal is logged by Redis.
  const answer = await answerTo(ask("ACL DRYRUN", user, "PING"));
  if (/^ERR unknown command\b/i.test(answer)) return writingCommands;
  if (/^(NOPERM|ERR)\b/.test(answer)) return undefined;
  return granted((words) => ask("ACL DRYRUN", user, ...words));
}

/**
 * The same, found out by sending the commands themselves where Redis carries out none: in RESP2, a connection that
 * listens to a channel is refused everything but listening, after it has been looked whether the user has the right.
 * Undefined where the server does not refuse it so.
 */
export function probedWrites({ beside }: Pick<Greeted, "beside">): Promise<readonly string[] | undefined> {
  return beside(async (client: Client) => {
    const listening = await answerTo(client.subscribe(channel, () => {}));
    // Everybody may say HELLO, and to repeat it does nothing.
    const refused = await answerTo(client.sendCommand(["HELLO", "2"]));
    if (/^NOPERM\b/.test(listening) || !/^ERR .*allowed in this context/.test(refused)) return undefined;
    return granted((words) => client.sendCommand(words));
  });
}

/** Names the first of them, for people. */
export function shortList(commands: readonly string[]): string {
  const shown = ["SET", "HSET", "DEL", "RPUSH", "PUBLISH", "FLUSHALL"].filter((one) => commands.includes(one));
  const first = [...new Set([...shown, ...commands])].slice(0, 6);
  const more = commands.length - first.length;
  return first.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Thrown at a Redis that must not be used, since its user may write, or nobody knows whether it may. */
export class NotReadOnly extends Error {
  /** @param granted what the user may do; undefined: that could not be found out */
  constructor(user: string, granted: readonly string[] | undefined) {
    super(
      granted === undefined
        ? `it cannot be found out whether the Redis user ${JSON.stringify(user)} may only read: grant it +acl|dryrun`
        : `the Redis user ${JSON.stringify(user)} may do more than read: ${shortList(granted)}`,
    );
  }
}
