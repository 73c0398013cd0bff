import { type Static, Type } from "typebox";
import type { Claims } from "./identity.ts";

const ExId = Type.Union([Type.String({ minLength: 1 }), Type.Integer()]);

/** What a token or an API key may say of its holder. */
export const Holder = Type.Object({
  user_id: Type.Optional(Type.Union([ExId, Type.Null()])),
  scope: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])),
  ex_ids: Type.Optional(Type.Union([Type.Array(ExId), Type.Record(Type.String(), ExId), Type.Null()])),
});
type Holder = Static<typeof Holder>;

/** The names in a `scope`: text with spaces between them, or a list. */
export function scopesOf(scope: Exclude<Holder["scope"], undefined>): string[] {
  return typeof scope === "string" ? scope.split(" ").filter(Boolean) : [...scope];
}

/** Who somebody is by what is said of him. @param defaultScope what holds where no `scope` is said */
export function claimsOf(name: string, holder: Holder, defaultScope: string): Claims {
  const { user_id: userId, scope = defaultScope, ex_ids: exIds } = holder;
  const user = String(userId ?? "");
  return {
    name,
    // Keys are `user_trades:{user}:{exchange}`: a user with a colon could not be told from another one's exchange.
    userId: user === "" || user.includes(":") ? undefined : user,
    scopes: scopesOf(scope),
    exIds: exIds ?? undefined,
  };
}
