import { type CacheClient, type ClientOptions, fullonCacheApi } from "../client/websocket-client.ts";
import { CacheError } from "../protocol/errors.ts";
import { CannotConnect, type Flag, type Given, UsageError } from "./command.ts";
import { environmentOf, type Terminal } from "./terminal.ts";

const standardUrl = "ws://localhost:8765";

/** The flags of every command that asks a gateway. */
export const gatewayFlags = {
  url: { value: "<url>", about: `where the gateway is (${standardUrl})`, more: "or FULLON_CACHE_URL" },
  token: {
    value: "<token>",
    about: "who you are: a token or an API key; others on this machine can see it in a flag,",
    more: "so rather set FULLON_CACHE_TOKEN",
  },
} as const satisfies Record<string, Flag>;

/** Who asks: the flag, else what is known from elsewhere. */
export function tokenOf(given: Given, known: Terminal["env"]): string | undefined {
  return given.flag("token") ?? (known["FULLON_CACHE_TOKEN"] || undefined);
}

/** Which gateway is meant, and who asks. @throws UsageError the URL is none of a WebSocket */
function gatewayOf(given: Given, terminal: Terminal): { readonly url: string; readonly token: string | undefined } {
  const known = environmentOf(terminal);
  const url = given.flag("url") ?? (known["FULLON_CACHE_URL"] || standardUrl);
  if (!URL.canParse(url) || !/^wss?:$/.test(new URL(url).protocol))
    throw new UsageError(`--url: ${JSON.stringify(url)} is not allowed; it must be ws://host[:port] or wss://…`);
  return { url, token: tokenOf(given, known) };
}

/** Connects to the gateway. @throws UsageError, CannotConnect */
export async function connect(given: Given, terminal: Terminal, options: ClientOptions = {}): Promise<CacheClient> {
  const { url, token } = gatewayOf(given, terminal);
  try {
    return await fullonCacheApi(url, { signal: terminal.signal, ...(token !== undefined && { token }), ...options });
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    throw new CannotConnect(error.message, { cause: error });
  }
}

/** The same, unless it is to end before: then undefined. */
export async function connectUntil(
  signal: AbortSignal,
  given: Given,
  terminal: Terminal,
  options: ClientOptions = {},
): Promise<CacheClient | undefined> {
  try {
    return await connect(given, terminal, { ...options, signal });
  } catch (error) {
    if (signal.aborted && error === signal.reason) return undefined;
    throw error;
  }
}
