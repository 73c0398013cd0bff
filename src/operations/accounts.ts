import { type Static, Type } from "typebox";
import { CacheError } from "../protocol/errors.ts";
import { decodeObject, isObject, number, type Stored, seconds, without } from "../redis/values.ts";
import type { Account } from "./account-map.ts";
import { type Feed, items, readable } from "./changes.ts";
import { Amount, Exchange, Id, Name, Open, Text, Timestamp } from "./fields.ts";
import { domain, liveQuery, query, topicName } from "./operation.ts";
import type { Reading } from "./reading.ts";

const User = Id("the user");

/** What one account holds of one currency. */
export const CurrencyBalance = Open("CurrencyBalance", {
  total: Amount("all of it"),
  available: Amount("what can be used now"),
  reserved: Amount("what open orders hold"),
});
export type CurrencyBalance = Static<typeof CurrencyBalance>;

/** The balances of one exchange account. */
export const Balance = Open("Balance", {
  user_id: Type.String(),
  exchange: Text("the exchange, or null where none was asked for"),
  balances: Type.Record(Type.String(), CurrencyBalance, { description: "by currency" }),
  timestamp: Timestamp,
});
export type Balance = Static<typeof Balance>;

/** One position of one exchange account. `fullon_cache` stores no side: a short looks like a long. */
export const Position = Open("Position", {
  user_id: Type.String(),
  exchange: Text("the exchange, or null where none was asked for"),
  symbol: Type.String(),
  volume: Amount("how much is held, in the base currency"),
  price: Amount("the average entry price"),
  cost: Amount("what it cost, in the quote currency"),
  fee: Amount("the fees paid"),
  timestamp: Timestamp,
});
export type Position = Static<typeof Position>;

/** Reads the shapes that writers use: {balance, available}, {total, free, used}, a bare number, null. */
function currencyBalance(stored: unknown): CurrencyBalance {
  if (!isObject(stored)) return { total: number(stored), available: null, reserved: null };
  const total = number(stored["total"] ?? stored["balance"]);
  const used = number(stored["reserved"] ?? stored["used"]);
  const available =
    number(stored["available"] ?? stored["free"]) ?? (total !== null && used !== null ? total - used : null);
  const reserved = used ?? (total !== null && available !== null ? Math.max(0, total - available) : null);
  const extra = without(stored, ["balance", "free", "used"]);
  return { ...extra, total, available, reserved };
}

function balance(userId: string, account: Account, stored: Stored, currency: string | undefined): Balance {
  const currencies = Object.entries(stored).filter(
    ([name]) => name !== "date" && (currency === undefined || name === currency),
  );
  return {
    user_id: userId,
    exchange: account.exchange,
    // fromEntries defines its members, so that a currency named __proto__ is only a name.
    balances: Object.fromEntries(currencies.map(([name, value]) => [name, currencyBalance(value)])),
    timestamp: seconds(stored["date"]),
  };
}

function position(userId: string, account: Account, symbol: string, stored: Stored): Position {
  return {
    ...stored,
    user_id: userId,
    exchange: account.exchange,
    symbol,
    volume: number(stored["volume"]),
    price: number(stored["price"]),
    cost: number(stored["cost"]),
    fee: number(stored["fee"]),
    timestamp: seconds(stored["timestamp"]),
  };
}

const positionsKey = "account_positions";

/** The texts of an account's positions by symbol; the one text that Redis holds for all of them is taken apart. */
async function positionTexts({ cache }: Reading, exId: string): Promise<Map<string, string>> {
  const text = await cache.hget(positionsKey, exId);
  if (text === null) return new Map();
  return decodeObject({ key: positionsKey, field: exId }, text, (stored) => {
    const members = Object.entries(stored).filter(([name, value]) => name !== "timestamp" || isObject(value));
    // The time of the whole account stands in where a position has none of its own; elsewhere it must not make it differ.
    const timed = (value: unknown) =>
      isObject(value) && seconds(value["timestamp"]) === null ? { ...value, timestamp: stored["timestamp"] } : value;
    return new Map(members.map(([symbol, value]) => [symbol, JSON.stringify(timed(value))]));
  });
}

function readPosition(userId: string, account: Account, symbol: string, text: string): Position {
  const place = { key: positionsKey, field: account.exId };
  return decodeObject(place, text, (stored) => position(userId, account, symbol, stored));
}

function positionsOf(userId: string, account: Account): Feed {
  return items({
    watch: { keys: [positionsKey] },
    texts: (reading) => positionTexts(reading, account.exId),
    item: (symbol, text) => readPosition(userId, account, symbol, text),
  });
}

/** Balances and positions: what `fullon_cache`'s `AccountCache` holds. */
export const accounts = domain({
  /** The balances of one exchange account. */
  getBalance: query({
    about: "What a user's exchange account holds, by currency or of one currency.",
    mirrors: "AccountCache.get_full_account",
    reads: "HGET accounts {ex_id}",
    params: {
      user_id: User,
      exchange: Type.Optional(Exchange),
      currency: Type.Optional(Name("the currency, for example USDT")),
    },
    result: Balance,
    errors: ["ACCOUNT_NOT_FOUND", "BALANCE_NOT_FOUND"],
    async read(reading, { user_id, exchange, currency }) {
      const userId = String(user_id);
      const [account, ...others] = reading.accounts.of(userId, exchange);
      if (!account || others.length > 0) {
        const names = [account, ...others].map((one) => one?.exchange).join(", ");
        const message = `user ${userId} has accounts on ${names}: say which exchange`;
        throw new CacheError("INVALID_PARAMS", message, { details: { path: "params.exchange" } });
      }
      const where = account.exchange === null ? "" : ` on ${account.exchange}`;
      const text = await reading.cache.hget("accounts", account.exId);
      if (text === null) throw new CacheError("BALANCE_NOT_FOUND", `no balance for user ${userId}${where}`);
      const found = decodeObject({ key: "accounts", field: account.exId }, text, (stored) =>
        balance(userId, account, stored, currency),
      );
      if (currency !== undefined && !Object.hasOwn(found.balances, currency))
        throw new CacheError("BALANCE_NOT_FOUND", `user ${userId} holds no ${currency}${where}`);
      return found;
    },
  }),

  /** The positions of a user, on one exchange or on all. */
  getPositions: query({
    about: "The positions of a user, on one exchange or on all.",
    mirrors: "AccountCache.get_positions",
    reads: "HGET account_positions {ex_id}",
    params: { user_id: User, exchange: Type.Optional(Exchange) },
    result: Type.Array(Position),
    errors: ["ACCOUNT_NOT_FOUND"],
    async read(reading, { user_id, exchange }) {
      const userId = String(user_id);
      const found = await Promise.all(
        reading.accounts
          .of(userId, exchange)
          .map(async (account) =>
            readable(reading, await positionTexts(reading, account.exId), (symbol, text) =>
              readPosition(userId, account, symbol, text),
            ),
          ),
      );
      return found.flat();
    },
  }),

  /** The positions of a user, now and whenever one changes. */
  streamPositions: liveQuery({
    about: "The positions of a user, on one exchange or on all, now and whenever one changes.",
    mirrors: "AccountCache.get_positions",
    reads: "HGET account_positions {ex_id}",
    params: { user_id: User, exchange: Type.Optional(Exchange) },
    errors: ["ACCOUNT_NOT_FOUND"],
    type: "position_update",
    update: Position,
    identity: ["user_id", "exchange", "symbol"],
    topics(reading, { user_id, exchange }) {
      const userId = String(user_id);
      // The user is part of the name: two users never share a topic, even where they share an account.
      return reading.accounts.of(userId, exchange).map((account) => ({
        name:
          account.exchange === null ? topicName("positions", userId) : topicName("position", userId, account.exchange),
        source: account.exId,
        open: () => positionsOf(userId, account),
      }));
    },
  }),
});
