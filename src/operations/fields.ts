import { type TSchema, Type } from "typebox";

// Lone surrogates have no UTF-8, so two different names would become one in Redis.
const name = (about: string) =>
  Type.String({ minLength: 1, maxLength: 256, pattern: "^[^\\uD800-\\uDFFF]*$", description: about });

/** The name of an exchange, as `fullon_cache` writes it: `binance`. */
export const Exchange = name("the exchange, for example binance");

/** A symbol, verbatim: `BTC/USDT`. */
export const TradingSymbol = name("the symbol, for example BTC/USDT");

/** Any other name. */
export const Name = name;

// Beyond these a number has been rounded on its way here, and names something else than was meant.
const ExactInteger = Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER });

/** An id: text or an integer; both name the same thing. */
export const Id = (about: string) => Type.Union([name(about), ExactInteger], { description: about });

/** A number, or null where Redis holds none (missing, null, NaN). */
export const Amount = (about: string) => Type.Union([Type.Number(), Type.Null()], { description: about });

/** Text, or null where Redis holds none. */
export const Text = (about: string) => Type.Union([Type.String(), Type.Null()], { description: about });

/** A time in unix seconds, or null where Redis holds none that can be read. */
export const Timestamp = Amount("unix seconds");

/** How many entries of a list are wanted, the newest ones. */
export const Limit = Type.Integer({
  minimum: 1,
  maximum: 10_000,
  description: "how many at most, the newest ones; 1000 unless told",
});

/** An object that may carry more members than the ones named: extra fields of `fullon_cache` are passed on as they are. */
export function Open<P extends Record<string, TSchema>>(title: string, members: P) {
  return Type.Object(members, { title, additionalProperties: true });
}
