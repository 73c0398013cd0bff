import { type Accounts, type ClaimedAccounts, claimedAccounts } from "../operations/account-map.ts";
import { anyUser, type Need, Permissions, readAll } from "../operations/permissions.ts";
import { CacheError } from "../protocol/errors.ts";

/** Who is connected, and what he may ask. */
export interface Identity {
  /** For the log. */
  readonly name: string;
  readonly userId: string | undefined;
  readonly permissions: Pick<Permissions, "scopes" | "refusal">;
  /** The accounts that a token claims; undefined where the operator's map says it. */
  readonly accounts: Accounts | undefined;
  /** When this ends, in unix seconds. */
  readonly expiresAt: number | undefined;
  /** What was said of him. */
  readonly claims?: Claims;
}

/** What a token or a key says of its holder. */
export interface Claims {
  readonly name: string;
  readonly userId: string | undefined;
  readonly scopes: Iterable<string>;
  readonly exIds?: ClaimedAccounts | undefined;
  readonly expiresAt?: number | undefined;
}

/** Whom the claims describe. @param isMapped whether the operator's map says who has which account */
export function identify(claims: Claims, isMapped: boolean): Identity {
  const { name, userId, scopes, exIds, expiresAt } = claims;
  const isClaimed = userId !== undefined && exIds !== undefined && !isMapped;
  return {
    name,
    userId,
    permissions: new Permissions(scopes, userId),
    accounts: isClaimed ? claimedAccounts(userId, exIds) : undefined,
    expiresAt,
    claims,
  };
}

/** Everybody, where nobody has to say who he is. */
export const anyone: Identity = {
  name: "anyone",
  userId: undefined,
  permissions: new Permissions([readAll, anyUser], undefined),
  accounts: undefined,
  expiresAt: undefined,
};

/** Somebody who has not said yet who he is. */
export const nobody: Identity = {
  ...anyone,
  name: "nobody",
  permissions: {
    scopes: new Set(),
    refusal: ({ scope }: Need) =>
      scope === undefined ? undefined : new CacheError("UNAUTHORIZED", "say who you are first: authenticate"),
  },
};
