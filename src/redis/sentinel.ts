import type { Reply } from "./commands.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { factOf, type Greeted, type RedisAddress } from "./greeting.ts";

/** Where the sentinels are, and whom they watch. */
export interface SentinelOptions extends Pick<ConnectionOptions, "timeoutMs" | "maxBackoffMs"> {
  readonly addresses: readonly RedisAddress[];
  /** The name under which they know the master. */
  readonly master: string;
}

/** Where a server listens. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

const isSame = (one: RedisAddress, other: RedisAddress) => one.host === other.host && one.port === other.port;

/** The sentinels that know which server is the master; a connection to each, on which it tells when another becomes it. */
export class Sentinels {
  readonly #master: string;
  readonly #connections: readonly Connection[];
  readonly #moved: (master: Place) => void;
  #tried: Promise<unknown> = Promise.resolve();
  #moves = 0;

  /** @param moved is told where the master is, whenever one of the sentinels says that it is another */
  constructor({ addresses, master, ...options }: SentinelOptions, moved: (master: Place) => void) {
    this.#master = master;
    this.#moved = moved;
    this.#connections = addresses.map((address) => {
      const connection: Connection = new Connection(
        { ...options, address, name: "fullon-cache-api:sentinel" },
        { up: () => void this.#follow(connection), down() {}, invalidated() {} },
      );
      return connection;
    });
  }

  /** Connects to them; resolves after the first attempt. */
  async start(): Promise<void> {
    this.#tried = Promise.all(this.#connections.map((connection) => connection.start()));
    await this.#tried;
  }

  /** Ends all connections for good. */
  async close(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
  }

  /** Where the master is, by the word of most of them. @throws Error none of them can say */
  async master(): Promise<Place> {
    await this.#tried;
    for (;;) {
      const moves = this.#moves;
      const master = await this.#ask();
      if (moves === this.#moves) return master;
    }
  }

  /** Asks all at once; more than half are enough, so that one that is cut off neither misleads nor delays. */
  #ask(): Promise<Place> {
    return new Promise((resolve, reject) => {
      const named: Place[] = [];
      const failures: unknown[] = [];
      const count = (place: Place) => named.filter((other) => isSame(place, other)).length;
      const all = this.#connections.length;
      const done = () => {
        const [most] = named.toSorted((one, other) => count(other) - count(one));
        if (most && (count(most) > all / 2 || named.length + failures.length === all)) resolve(most);
        else if (failures.length === all)
          reject(new AggregateError(failures, `no sentinel says where the master ${JSON.stringify(this.#master)} is`));
      };
      for (const connection of this.#connections)
        connection.ask("SENTINEL GET-MASTER-ADDR-BY-NAME", this.#master).then(
          (reply) => {
            const place = placeOf(reply);
            if (place) named.push(place);
            else failures.push(new Error("it knows no master of this name"));
            done();
          },
          (error: unknown) => {
            failures.push(error);
            done();
          },
        );
    });
  }

  async #follow(connection: Connection): Promise<void> {
    try {
      await connection.subscribe("+switch-master", (message) => {
        const [master, , , host = "", port] = message.split(" ");
        if (master !== this.#master) return;
        this.#moves++;
        this.#moved({ host, port: Number(port) });
      });
      // What happened while it could not be heard.
      this.#moved(await this.master());
    } catch (error) {
      // Where the connection itself broke, it has said so; one that only refused or took too long has not.
      connection.drop(error as Error);
    }
  }
}

function placeOf(reply: Reply): Place | undefined {
  if (!Array.isArray(reply)) return undefined;
  const [host, port] = reply as readonly string[];
  return { host: String(host), port: Number(port) };
}

/** The address of a Redis that is somewhere else. */
export function movedTo({ host, port }: Place, { url, ...address }: RedisAddress): RedisAddress {
  if (url === undefined) return { ...address, host, port };
  const there = new URL(url);
  there.hostname = host.includes(":") ? `[${host}]` : host;
  there.port = String(port);
  return { ...address, url: there.href, host, port };
}

/** Looks whether a server is a master: what a sentinel said may be out of date. @throws Error it is a replica */
export async function mustBeMaster(server: Greeted): Promise<void> {
  const role = await factOf(server, "role");
  if (role !== undefined && role !== "master") throw new Error(`it is no master but a ${role}`);
}
