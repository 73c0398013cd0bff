import { domains } from "../operations/index.ts";
import type { Operation } from "../operations/operation.ts";
import { wireName } from "../protocol/names.ts";

/** An operation with the domain that declares it, its name in the client, and its name on the wire. */
export interface Declared {
  readonly domain: string;
  readonly method: string;
  readonly name: string;
  readonly operation: Operation;
}

/** Every operation, domain by domain. */
export const declared: readonly Declared[] = Object.entries(domains).flatMap(([domain, operations]) =>
  Object.entries<Operation>(operations).map(([method, operation]) => ({
    domain,
    method,
    name: wireName(method),
    operation,
  })),
);
