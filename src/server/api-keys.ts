import { createHash, timingSafeEqual } from "node:crypto";
import { Type } from "typebox";
import { Compile } from "typebox/compile";
import { scopes } from "../operations/permissions.ts";
import { claimsOf, Holder, scopesOf } from "./claims.ts";
import { readJsonFile } from "./files.ts";
import type { Claims } from "./identity.ts";
import { SettingError } from "./settings.ts";

const entry = Type.Object(
  { ...Holder.properties, sha256: Type.String({ pattern: "^[0-9a-fA-F]{64}$" }) },
  { additionalProperties: false },
);
const file = Compile(Type.Record(Type.String({ minLength: 1 }), entry));

/** The keys of services. Only their hashes are known; keys are long and random, so a fast hash is enough. */
export class ApiKeys {
  readonly #keys: readonly { readonly hash: Buffer; readonly claims: Claims }[];

  /** Reads the file. @throws SettingError it is wrong */
  constructor(path: string) {
    const read = readJsonFile("API_KEYS_FILE", path);
    const wrong = (what: string) => new SettingError(`API_KEYS_FILE: ${JSON.stringify(path)} ${what}`);
    if (!file.Check(read))
      throw wrong('must hold keys by name, like {"grafana": {"sha256": "64 hex digits", "scope": "tickers:read"}}');
    this.#keys = Object.entries(read).map(([name, { sha256, ...holder }]) => {
      if (holder.scope === undefined) throw wrong(`does not say the scope of ${JSON.stringify(name)}`);
      const unknown = scopesOf(holder.scope).find((scope) => !scopes.includes(scope));
      if (unknown !== undefined)
        throw wrong(`knows a scope that there is not, ${JSON.stringify(unknown)}: ${scopes.join(", ")}`);
      return { hash: Buffer.from(sha256, "hex"), claims: claimsOf(`key ${name}`, holder, "") };
    });
  }

  /** Whose key it is; takes as long whether it is one or not. */
  holderOf(key: string): Claims | undefined {
    const hash = createHash("sha256").update(key).digest();
    let found: Claims | undefined;
    for (const one of this.#keys) if (timingSafeEqual(hash, one.hash)) found = one.claims;
    return found;
  }

  /** Whether these claims are those of a key that still is one, as it stands now. */
  has(claims: Claims): boolean {
    return this.#keys.some((one) => JSON.stringify(one.claims) === JSON.stringify(claims));
  }
}
