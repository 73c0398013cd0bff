/**
 * Every command the gateway may send, and nothing else: none of them writes. Whatever goes to a socket goes through
 * {@link words}; what rights.ts sends besides, Redis refuses to do.
 */
export const allowedCommands = [
  "GET",
  "MGET",
  "HGET",
  "HMGET",
  "HGETALL",
  "LLEN",
  "LRANGE",
  "SCAN",
  "PING",
  "HELLO",
  "CLIENT TRACKING",
  "ACL DRYRUN",
  "SENTINEL GET-MASTER-ADDR-BY-NAME",
] as const;

/** One of {@link allowedCommands}. */
export type ReadCommand = (typeof allowedCommands)[number];

const allowed: ReadonlySet<string> = new Set(allowedCommands);

/** A reply as RESP has it, with maps as flat lists in both of its versions. */
export type Reply = string | number | null | readonly Reply[];

/** Sends a command and gives its reply. */
export type Ask = (command: ReadCommand, ...args: readonly string[]) => Promise<Reply>;

/** A command as it goes to the socket. @throws Error it is not one that the gateway may send */
export function words(command: ReadCommand, args: readonly string[]): string[] {
  if (!allowed.has(command)) throw new Error(`${command} is not a command that the gateway may send`);
  return [...command.split(" "), ...args];
}
