import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import { CacheError, type ErrorCode } from "../protocol/errors.ts";
import { bearerPrefix } from "../protocol/frames.ts";
import type { Authenticator } from "./authenticator.ts";
import { Counts } from "./counts.ts";
import { anyone, type Identity, nobody } from "./identity.ts";
import { Rate } from "./rate.ts";
import { isLoopback, listed, type Settings } from "./settings.ts";

const secondsUntilRoom = 5;

/** Who may connect: from where, with which token, and how many at a time. */
export class Admission {
  readonly #settings: Settings;
  readonly #authenticator: Authenticator;
  readonly #origins: ReadonlySet<string>;
  readonly #proxies: BlockList;
  readonly #rate: Rate;
  readonly #addresses = new Counts<string>();
  readonly #users = new Counts<string>();
  #paidAt = 0;
  #taken = 0;

  constructor(settings: Settings, authenticator: Authenticator) {
    this.#settings = settings;
    this.#authenticator = authenticator;
    this.#origins = new Set(listed(settings.allowedOrigins));
    this.#proxies = networksOf(settings.trustedProxies);
    this.#rate = new Rate(settings.connectionRate, 10 * settings.connectionRate);
  }

  /**
   * Gives a place to whoever sent this request to open a WebSocket; it must be left again.
   * @throws CacheError why not
   */
  async admit(request: IncomingMessage): Promise<Place> {
    this.#checkWhere(request);
    const place = this.#take(this.#addressOf(request));
    try {
      place.occupy(await this.#authenticator.identify(tokenIn(request)));
      return place;
    } catch (error) {
      place.leave();
      throw error;
    }
  }

  #checkWhere({ socket, headers: { origin, host } }: IncomingMessage): void {
    const { remoteAddress } = socket;
    const isOpen = !this.#authenticator.isRequired && !this.#settings.insecure;
    if (isOpen && remoteAddress !== undefined && !isLoopback(remoteAddress))
      throw new CacheError("FORBIDDEN", "where nobody has to say who he is, only this machine is served");
    if (origin !== undefined && !this.#origins.has(origin) && !isOwnPage(origin, host))
      throw new CacheError("FORBIDDEN", "pages of this origin may not connect");
  }

  #take(address: string): Place {
    const { maxConnections, maxConnectionsPerAddress } = this.#settings;
    const now = performance.now();
    const paidAt = this.#rate.take(this.#paidAt, now);
    const waitMs = this.#rate.wait(paidAt, now);
    if (waitMs > 0) throw tooFast("too many connections are being made", waitMs);
    this.#paidAt = paidAt;
    if (this.#taken >= maxConnections)
      throw new CacheError("OVERLOADED", `there are ${maxConnections} connections, more are not served`);
    atMost(maxConnectionsPerAddress, this.#addresses.of(address), "connections from one address");
    this.#taken++;
    this.#addresses.add(address);
    const { maxConnectionsPerUser } = this.#settings;
    return new Place(address, this.#users, maxConnectionsPerUser, () => {
      this.#taken--;
      this.#addresses.add(address, -1);
    });
  }

  /** Where somebody is: behind a proxy that is trusted, the last address that is not such a proxy's. */
  #addressOf({ socket, headers }: IncomingMessage): string {
    const forwarded = headers["x-forwarded-for"];
    const hops = [...listed(forwarded === undefined ? "" : String(forwarded)), socket.remoteAddress ?? "local"];
    const isProxy = (address: string) =>
      isIP(address) !== 0 && this.#proxies.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
    return hops.findLast((hop) => !isProxy(plain(hop))) ?? "local";
  }
}

/** One connection's place. */
export class Place {
  readonly address: string;
  readonly #users: Counts<string>;
  readonly #mostPerUser: number;
  readonly #left: () => void;
  #identity: Identity = nobody;

  constructor(address: string, users: Counts<string>, mostPerUser: number, left: () => void) {
    this.address = address;
    this.#users = users;
    this.#mostPerUser = mostPerUser;
    this.#left = left;
  }

  /** Who has it. */
  get identity(): Identity {
    return this.#identity;
  }

  /** Somebody has it from now on. @throws CacheError LIMIT_EXCEEDED; then nothing has changed */
  occupy(identity: Identity): void {
    const before = userOf(this.#identity);
    const user = userOf(identity);
    if (user !== undefined && user !== before)
      atMost(this.#mostPerUser, this.#users.of(user), "connections of one user");
    if (before !== undefined) this.#users.add(before, -1);
    if (user !== undefined) this.#users.add(user);
    this.#identity = identity;
  }

  /** Nobody has it any more. */
  leave(): void {
    this.occupy(nobody);
    this.#left();
  }
}

/** The status and headers of an HTTP answer that says no, and the code that closes a WebSocket which is open already. */
export function noOf({ code, message, details }: CacheError) {
  const { retry_after_ms: waitMs = secondsUntilRoom * 1_000 } = details;
  const retry = { "Retry-After": String(Math.ceil(Number(waitMs) / 1_000)) };
  // RFC 6750: whoever brought no token is not told that it is wrong.
  const fault = details["token"] === "missing" ? "" : `, error="invalid_token", error_description="${message}"`;
  const challenge = { "WWW-Authenticate": `Bearer realm="fullon-cache-api"${fault}` };
  const answers: Partial<Record<ErrorCode, { status: number; headers: Record<string, string>; close: number }>> = {
    UNAUTHORIZED: { status: 401, headers: challenge, close: 4501 },
    TOKEN_EXPIRED: { status: 401, headers: challenge, close: 4401 },
    FORBIDDEN: { status: 403, headers: {}, close: 4503 },
    RATE_LIMITED: { status: 429, headers: retry, close: 4429 },
    DRAINING: { status: 503, headers: retry, close: 1012 },
    LIMIT_EXCEEDED: { status: 429, headers: retry, close: 4429 },
  };
  return answers[code] ?? { status: 503, headers: retry, close: 1013 };
}

/** The token that came with a request: in a header, among the subprotocols, or in the URL. */
function tokenIn({ url = "", headers }: IncomingMessage): string | undefined {
  const [, fromHeader] = /^bearer +(\S+)$/i.exec(headers.authorization ?? "") ?? [];
  if (fromHeader !== undefined) return fromHeader;
  const offered = listed(headers["sec-websocket-protocol"] ?? "").find((name) => name.startsWith(bearerPrefix));
  if (offered !== undefined) return offered.slice(bearerPrefix.length);
  const query = url.indexOf("?");
  return (query < 0 ? undefined : new URLSearchParams(url.slice(query)).get("token")) ?? undefined;
}

/** A page of this server itself. A name could be made to lead here by anybody who owns it, an address could not. */
function isOwnPage(origin: string, host: string | undefined): boolean {
  if (!URL.canParse(origin) || host === undefined) return false;
  const { host: own, hostname } = new URL(origin);
  return own === host && (hostname === "localhost" || isIP(hostname.replace(/^\[|\]$/g, "")) !== 0);
}

function networksOf(text: string): BlockList {
  const networks = new BlockList();
  for (const network of listed(text)) {
    const [address = "", bits] = network.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (bits === undefined) networks.addAddress(address, family);
    else networks.addSubnet(address, Number(bits), family);
  }
  return networks;
}

/** An IPv4 address as such, although the socket speaks IPv6. */
const plain = (address: string) => address.replace(/^::ffff:(?=\d+\.)/i, "");

/** Whom a connection counts for. */
function userOf(identity: Identity): string | undefined {
  if (identity === anyone || identity === nobody) return undefined;
  return identity.userId ?? identity.name;
}

function atMost(limit: number, taken: number, what: string): void {
  if (limit > 0 && taken >= limit)
    throw new CacheError("LIMIT_EXCEEDED", `at most ${limit} ${what}`, { details: { limit } });
}

/** @param waitMs how long it takes until there is room again */
export function tooFast(what: string, waitMs: number): CacheError {
  return new CacheError("RATE_LIMITED", what, { details: { retry_after_ms: Math.ceil(waitMs) } });
}
