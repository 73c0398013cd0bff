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

/** Accounts where nobody gave a map: `exchange` if it is a number, else `user_id`, is the `ex_id` itself. */
export const identityAccounts: Accounts = {
  of: (userId, exchange) => [
    { exchange: exchange ?? null, exId: exchange !== undefined && /^\d+$/.test(exchange) ? exchange : userId },
  ],
};
