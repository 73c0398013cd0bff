import { createClient, ErrorReply, RESP_TYPES } from "redis";
import { type Ask, type Reply, words } from "./commands.ts";

/** Where Redis is and how to get in. */
export interface RedisAddress {
  readonly url?: string;
  readonly host?: string;
  readonly port?: number;
  readonly database?: number;
  readonly username?: string;
  readonly password?: string;
}

/** The name of the user that an address logs in. */
export function userOf({ url, username }: RedisAddress): string {
  const named = url === undefined ? username : decodeURIComponent(new URL(url).username);
  return named || "default";
}

/** What the server at the other end can do: tell what changed (RESP3 and CLIENT TRACKING), only push, or neither. */
export type Ability = "tracking" | "resp3" | "resp2";

/** One socket to Redis, as node-redis has it. */
export type Client = ReturnType<typeof createClient>;

/** A server that has just been greeted, for whoever looks at it before it is used. */
export interface Greeted {
  readonly ability: Ability;
  readonly ask: Ask;
  /** Opens another socket to the same server, which speaks RESP2; `use` may do with it what it wants, then it is closed. */
  beside<T>(use: (client: Client) => Promise<T>): Promise<T>;
}

/** How a server is greeted. */
export interface GreetingOptions {
  readonly address: RedisAddress;
  /** How the connection is called in Redis' CLIENT LIST. */
  readonly name: string;
  /** Looks at the server before it is used; what it throws keeps it from being used. */
  inspect?(server: Greeted): Promise<void>;
}

/** What a server says of itself under a name, in its answer to HELLO; before Redis 6 nobody can be asked this way. */
export async function factOf({ ask, ability }: Greeted, name: string): Promise<string | undefined> {
  // Repeats what was said already.
  const reply = (await ask("HELLO", ability === "resp2" ? "2" : "3").catch(() => [])) as readonly Reply[];
  return reply.includes(name) ? String(reply[reply.indexOf(name) + 1]) : undefined;
}

const connectTimeoutMs = 5_000;
const refusesGreeting = /^(ERR (?!max number of clients)|NOPERM\b|NOPROTO\b)/;

// Of every set of options that is new to it, node-redis makes a class with all its commands, which takes some ten
// milliseconds; duplicates share that of their template.
let template: Client | undefined;

function open({ address, name }: GreetingOptions, ability: Ability): Client {
  const { url, host, port, ...login } = address;
  template ??= createClient();
  return template.duplicate({
    ...login,
    ...(url !== undefined && { url }),
    name,
    RESP: ability === "resp2" ? 2 : 3,
    emitInvalidate: ability === "tracking",
    socket: {
      ...(host !== undefined && { host }),
      ...(port !== undefined && { port }),
      connectTimeout: connectTimeoutMs,
      // A new client for every attempt: what it can do is found out anew, and what was armed is armed by us.
      reconnectStrategy: false,
    },
    // A command that cannot be sent now fails now. The default time limit costs one AbortSignal per command: that of the
    // connection is one timer for all.
    disableOfflineQueue: true,
    commandOptions: { timeout: undefined, typeMapping: { [RESP_TYPES.MAP]: Array } },
    disableClientInfo: true,
    maintNotifications: "disabled",
  } as Parameters<typeof template.duplicate>[0] & object) as Client;
}

/** A connection that is ready for use. */
export interface Opened {
  readonly client: Client;
  readonly ability: Ability;
  /** Resolves with the reason when it has ended. */
  readonly ended: Promise<unknown>;
}

/**
 * Connects, and finds out what the server can do by asking for the most first. When `signal` aborts, the connection ends,
 * whether it was ready or not.
 * @param invalidated is told the keys that were written; without a key, all of them were
 */
export async function greet(
  options: GreetingOptions,
  signal: AbortSignal,
  invalidated: (key: string | undefined) => void,
): Promise<Opened> {
  let refusal: unknown;
  for (const ability of ["tracking", "resp3", "resp2"] as const) {
    signal.throwIfAborted();
    const client = open(options, ability);
    const destroy = () => client.destroy();
    const ended = new Promise<unknown>((resolve) => client.on("error", resolve).on("end", resolve));
    client.on("invalidate", (key: Buffer | string | null) => invalidated(key === null ? undefined : String(key)));
    signal.addEventListener("abort", destroy);
    // connectTimeout bounds the connecting, this the greeting: a server that accepts may still never answer.
    const deadline = setTimeout(destroy, connectTimeoutMs);
    let isConnected = false;
    try {
      await client.connect();
      isConnected = true;
      await inspect(options, client, ability);
      return { client, ability, ended };
    } catch (error) {
      destroy();
      signal.removeEventListener("abort", destroy);
      signal.throwIfAborted();
      // Only a refusal of the greeting itself says something about what the server can do.
      if (isConnected || !(error instanceof ErrorReply) || !refusesGreeting.test(error.message)) throw error;
      refusal = error;
    } finally {
      clearTimeout(deadline);
    }
  }
  throw refusal;
}

async function inspect(options: GreetingOptions, client: Client, ability: Ability): Promise<void> {
  // A server that is still loading its data takes connections and answers no read.
  await client.sendCommand(words("PING", []));
  await options.inspect?.({
    ability,
    ask: (command, ...args) => client.sendCommand<Reply>(words(command, args)),
    async beside(use) {
      const other = open({ address: options.address, name: `${options.name}:beside` }, "resp2");
      const destroy = () => other.destroy();
      // What it fails with, its commands fail with; and it ends with the one it stands beside.
      other.on("error", () => {});
      client.once("end", destroy);
      try {
        await other.connect();
        return await use(other);
      } finally {
        client.off("end", destroy);
        destroy();
      }
    },
  });
}
