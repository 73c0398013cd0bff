import { operationsByWireName } from "../operations/index.ts";
import type { LiveQuery, Query } from "../operations/operation.ts";
import { type Need, needOf } from "../operations/permissions.ts";
import { CacheError } from "../protocol/errors.ts";
import { maxRequestIdLength, type RequestId } from "../protocol/frames.ts";
import { RequestTallies, type RequestTally } from "./request-tallies.ts";

type Params = Readonly<Record<string, unknown>>;

/** A question that is right. */
export interface Asked {
  readonly name: string;
  readonly operation: Query;
  readonly params: Params;
  /** The same for all that ask the same. */
  readonly key: string;
  readonly need: Need;
  readonly tally: RequestTally;
}

/** A stream that may be opened. */
export interface AskedStream {
  readonly name: string;
  readonly operation: LiveQuery;
  readonly params: Params;
  readonly need: Need;
  readonly tally: RequestTally;
}

/** What a request asks for, or what is wrong with it; `id` is null where even that cannot be read. */
export type Request =
  | { readonly id: RequestId; readonly asked: Asked }
  | { readonly id: RequestId; readonly stream: AskedStream }
  | { readonly id: RequestId | null; readonly error: CacheError; readonly tally: RequestTally };

// How most clients begin a request. What follows is the same text whenever they ask the same.
const beginning = '{"request_id":"';
const plainId = /^[\w.:-]{1,128}$/;
const maxKnown = 16_384;
const maxKnownLength = 512;

/** Reads requests. One that was read before is known by its text, but for its id: it need not be taken apart again. */
export class Requests {
  // Questions by the text of their request behind the id.
  readonly #known = new Map<string, Asked>();
  /** What became of them. */
  readonly tallies = new RequestTallies();

  /** Reads one. */
  read(text: string): Request {
    const end = text.startsWith(beginning) ? text.indexOf('",', beginning.length) : -1;
    const id = text.slice(beginning.length, end);
    if (end < 0 || text.length > maxKnownLength || !plainId.test(id)) return parse(text, this.tallies);
    const rest = text.slice(end);
    const known = this.#known.get(rest);
    if (known) return { id, asked: known };
    const request = parse(text, this.tallies);
    // The id could stand there twice; then the last one counts.
    if ("asked" in request && !request.asked.operation.confidential && !rest.includes("request_id"))
      this.#learn(rest, request.asked);
    return request;
  }

  #learn(rest: string, asked: Asked): void {
    if (this.#known.size >= maxKnown) this.#known.clear();
    this.#known.set(rest, asked);
  }
}

function parse(text: string, tallies: RequestTallies): Request {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    message = undefined;
  }
  if (typeof message !== "object" || message === null || Array.isArray(message))
    return {
      id: null,
      error: new CacheError("MALFORMED_MESSAGE", "the frame is not a JSON object"),
      tally: tallies.of(undefined),
    };
  const { request_id: given, operation: name, params = {} } = message as Record<string, unknown>;
  const id = isRequestId(given) ? given : null;
  const tally = tallies.of(name);
  try {
    if (id === null)
      throw new CacheError(
        "INVALID_REQUEST",
        `request_id must be text of 1–${maxRequestIdLength} characters or an integer`,
        { details: { path: "request_id" } },
      );
    if (typeof name !== "string")
      throw new CacheError("INVALID_REQUEST", "operation must be the name of an operation", {
        details: { path: "operation" },
      });
    const operation = operationsByWireName.get(name);
    if (!operation) throw unknownOperation(name);
    const fault = operation.check(params);
    if (fault) throw new CacheError("INVALID_PARAMS", fault.message, { details: { path: fault.path } });
    const asked = { name, params: params as Params, need: needOf(operation, params as Params), tally };
    if (operation.kind === "live") return { id, stream: { ...asked, operation } };
    return { id, asked: { ...asked, operation, key: keyOf(name, operation, asked.params) } };
  } catch (error) {
    return { id, error: error as CacheError, tally };
  }
}

/** What makes two questions the same. The length of a text stands before it, so that no two of them run together. */
function keyOf(name: string, { params: schemas }: Query, params: Params): string {
  let key = name;
  for (const param in schemas) {
    const value = params[param];
    key += typeof value === "string" ? ` ${value.length}:${value}` : ` ${JSON.stringify(value)}`;
  }
  return key;
}

function isRequestId(id: unknown): id is RequestId {
  return typeof id === "string" ? id.length > 0 && id.length <= maxRequestIdLength : Number.isSafeInteger(id);
}

function unknownOperation(name: string): CacheError {
  const names = [...operationsByWireName.keys()];
  const alike = names.find((known) => known.replaceAll("_", "") === name.replace(/[^a-z]/gi, "").toLowerCase());
  const hint = alike === undefined ? "" : `: did you mean ${alike}?`;
  return new CacheError("INVALID_OPERATION", `there is no operation ${JSON.stringify(name.slice(0, 100))}${hint}`, {
    details: { operations: names },
  });
}
