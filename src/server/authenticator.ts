import { type Accounts, identityAccounts, noAccounts } from "../operations/account-map.ts";
import { CacheError } from "../protocol/errors.ts";
import { readAccounts } from "./accounts-file.ts";
import { ApiKeys } from "./api-keys.ts";
import { anyone, type Claims, type Identity, identify, nobody } from "./identity.ts";
import { Jwt } from "./jwt.ts";
import type { Settings } from "./settings.ts";

/** What the files and secrets say that the settings name. */
interface Known {
  readonly jwt: Jwt | undefined;
  readonly keys: ApiKeys | undefined;
  /** The operator's map. */
  readonly accounts: Accounts | undefined;
}

/** Says who somebody is, and which accounts there are. */
export class Authenticator implements Accounts {
  readonly #settings: Settings;
  readonly #now: () => number;
  #known: Known;

  /** @throws SettingError a file is wrong */
  constructor(settings: Settings, now: () => number) {
    this.#settings = settings;
    this.#now = now;
    this.#known = readKnown(settings);
  }

  /** Whether one has to say who one is. */
  get isRequired(): boolean {
    return this.#known.jwt !== undefined || this.#known.keys !== undefined;
  }

  /** Reads all files again. @throws SettingError one is wrong; then nothing has changed */
  reload(): void {
    this.#known = readKnown(this.#settings);
  }

  /**
   * Who brings this token, or brings none.
   * @throws CacheError UNAUTHORIZED, TOKEN_EXPIRED, AUTH_UNAVAILABLE
   */
  async identify(token: string | undefined): Promise<Identity> {
    if (!this.isRequired) return anyone;
    if (token === undefined) {
      if (this.#settings.authenticateWithinMs > 0) return nobody;
      throw new CacheError("UNAUTHORIZED", "a token is needed", { details: { token: "missing" } });
    }
    const { jwt, keys, accounts } = this.#known;
    const holder = keys?.holderOf(token);
    return identify(holder ?? (await this.#read(jwt, token)), accounts !== undefined);
  }

  /** What somebody is now: others after the files were read again, undefined if he may not be here any more. */
  renewed(identity: Identity): Identity | undefined {
    if (!this.isRequired) return anyone;
    const { keys, accounts } = this.#known;
    const { claims } = identity;
    if (claims === undefined) return identity === anyone ? undefined : identity;
    if (claims.expiresAt === undefined && !keys?.has(claims)) return undefined;
    return identify(claims, accounts !== undefined);
  }

  of(userId: string, exchange?: string) {
    const { accounts = this.isRequired ? noAccounts : identityAccounts } = this.#known;
    return accounts.of(userId, exchange);
  }

  async #read(jwt: Jwt | undefined, token: string): Promise<Claims> {
    if (!jwt) throw new CacheError("UNAUTHORIZED", "this key is not known");
    return jwt.read(token, this.#now());
  }
}

function readKnown(settings: Settings): Known {
  const { jwtSecret, jwksUrl, jwtKeyFile, apiKeysFile, accountsFile } = settings;
  return {
    jwt: (jwtSecret ?? jwksUrl ?? jwtKeyFile) ? new Jwt(settings) : undefined,
    keys: apiKeysFile === undefined ? undefined : new ApiKeys(apiKeysFile),
    accounts: accountsFile === undefined ? undefined : readAccounts(accountsFile),
  };
}
