import { bearerPrefix, subprotocol } from "../protocol/frames.ts";
import { unref } from "./timer.ts";

/** A token or an API key; or what gets one, asked before each connection and before one expires. */
export type TokenSource = string | (() => string | Promise<string>);

const shortestWaitMs = 1_000;
// What may stand in a subprotocol, where web pages can put a token without showing it to anybody.
const allowed = /^[\w.~!#$%&'*+^`|-]+$/;

/** The subprotocols to offer, of which one carries the token. @throws Error it has characters that it must not have */
export function subprotocols(token: string): string[] {
  if (!allowed.test(token)) throw new Error("a token is made of letters, digits and . _ ~ -");
  return [subprotocol, bearerPrefix + token];
}

/** Gets a new token in time before the one of this connection expires. */
export class Renewal {
  readonly #source: TokenSource | undefined;
  readonly #renew: (token: string) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param renew told a new token */
  constructor(source: TokenSource | undefined, renew: (token: string) => void) {
    this.#source = source;
    this.#renew = renew;
  }

  /** The token expires in so many seconds. Whoever was given one at the same time does not ask for the next at once. */
  due(seconds: number): void {
    const source = this.#source;
    if (typeof source !== "function") return;
    this.stop();
    const waitMs = Math.max(shortestWaitMs, (Math.random() / 2) * seconds * 1_000);
    const timer = setTimeout(async () => {
      try {
        const token = await source();
        if (this.#timer === timer) this.#renew(token);
      } catch {
        // The connection will be closed, and the next one asks again.
      }
    }, waitMs);
    this.#timer = unref(timer);
  }

  /** The connection is over. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
