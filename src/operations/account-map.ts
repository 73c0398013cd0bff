import { CacheError } from "../protocol/errors.ts";

/** One exchange account of a user: the name of the exchange, and the `ex_id` under which Redis keeps it. */
export interface Account {
  readonly exchange: string | null;
  readonly exId: string;
}

/** Finds the exchange accounts of a user: Redis knows accounts only by `ex_id`. */
export interface Accounts {
  /** The accounts of a user, on one exchange or on all. @throws CacheError ACCOUNT_NOT_FOUND where there is none */
  of(userId: string, exchange?: string): readonly Account[];
}

/** An operator's map: `{"1001": {"binance": 12, "kraken": 13}}`. */
export type AccountMap = Readonly<Record<string, Readonly<Record<string, string | number>>>>;

/** Accounts as an operator's map gives them; what is not in it does not exist. */
export function mappedAccounts(map: AccountMap): Accounts {
  const users = new Map(Object.entries(map).map(([user, exchanges]) => [user, new Map(Object.entries(exchanges))]));
  return {
    of(userId, exchange) {
      const accounts = [...(users.get(userId) ?? [])]
        .filter(([name]) => exchange === undefined || name === exchange)
        .map(([name, exId]) => ({ exchange: name, exId: String(exId) }));
      if (accounts.length > 0) return accounts;
      const on = exchange === undefined ? "" : ` on ${exchange}`;
      throw new CacheError("ACCOUNT_NOT_FOUND", `user ${userId} has no account${on}`);
    },
  };
}

/** What a token says of its user's accounts: their `ex_id`s, or these by exchange. */
export type ClaimedAccounts = readonly (string | number)[] | AccountMap[string];

/** Accounts as a token claims them for its own user; an account without the name of its exchange goes by its `ex_id`. */
export function claimedAccounts(userId: string, claimed: ClaimedAccounts): Accounts {
  const isList = Array.isArray(claimed);
  const own = isList ? Object.fromEntries(claimed.map((exId: string | number) => [exId, exId])) : claimed;
  const accounts = mappedAccounts({ [userId]: own as AccountMap[string] });
  return {
    of(user, exchange) {
      if (isList && exchange !== undefined && !Object.hasOwn(own, exchange))
        throw new CacheError("FORBIDDEN", `account ${exchange} is not yours`, { details: { path: "params.exchange" } });
      return accounts.of(user, exchange);
    },
  };
}

/** Where nobody says which accounts there are. */
export const noAccounts: Accounts = {
  of(userId) {
    throw new CacheError(
      "ACCOUNT_NOT_FOUND",
      `which accounts user ${userId} has is not known: there is no accounts file`,
    );
  },
};

/** Accounts where nobody gave a map and nobody has to say who he is: `exchange` if it is a number, else `user_id`, is the `ex_id` itself. */
export const identityAccounts: Accounts = {
  of: (userId, exchange) => [
    { exchange: exchange ?? null, exId: exchange !== undefined && /^\d+$/.test(exchange) ? exchange : userId },
  ],
};
