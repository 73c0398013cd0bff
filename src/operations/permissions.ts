import { CacheError } from "../protocol/errors.ts";
import { domains } from "./index.ts";
import type { Operation } from "./operation.ts";

/** Allows everything there is to read, but of accounts only one's own. */
export const readAll = "*:read";

/** Allows to ask about any user. */
export const anyUser = "accounts:any";

const scopeOfDomain = (domain: string) => `${domain}:read`;
const scopeOfOperation = new Map<Operation, string>();
// The gateway itself may be asked by everybody who is connected.
for (const [domain, operations] of Object.entries(domains))
  if (domain !== "gateway")
    for (const operation of Object.values<Operation>(operations))
      scopeOfOperation.set(operation, scopeOfDomain(operation.domain ?? domain));

/** Every scope there is: what a token's `scope` may name. */
export const scopes: readonly string[] = [...new Set(scopeOfOperation.values()), readAll, anyUser];

/** What one must be allowed to ask for something. */
export interface Need {
  /** Undefined where it is free to everybody. */
  readonly scope: string | undefined;
  /** The user whom it is about, where it is about one. */
  readonly userId: string | undefined;
}

/** What one needs for a question: its domain's scope, and to be the user whom it names. */
export function needOf(operation: Operation, params: Readonly<Record<string, unknown>>): Need {
  const { user_id: user } = params;
  return {
    scope: scopeOfOperation.get(operation),
    userId: Object.hasOwn(operation.params, "user_id") ? String(user) : undefined,
  };
}

/** What somebody may ask. */
export class Permissions {
  readonly scopes: ReadonlySet<string>;
  readonly #userId: string | undefined;

  /** @param granted names of scopes; those that are not known grant nothing */
  constructor(granted: Iterable<string>, userId: string | undefined) {
    const known = new Set([...granted].filter((name) => scopes.includes(name)));
    if (known.delete(readAll)) for (const scope of scopes) if (scope.endsWith(":read")) known.add(scope);
    known.delete(readAll);
    this.scopes = known;
    this.#userId = userId;
  }

  /** Why something may not be asked, if so. */
  refusal({ scope, userId }: Need): CacheError | undefined {
    if (scope !== undefined && !this.scopes.has(scope))
      return new CacheError("FORBIDDEN", `this needs the scope ${scope}`, { details: { scope } });
    if (userId !== undefined && userId !== this.#userId && !this.scopes.has(anyUser))
      return new CacheError("FORBIDDEN", "only your own accounts may be asked about", {
        details: { path: "params.user_id" },
      });
    return undefined;
  }
}
