import { type Static, type TObject, type TSchema, Type } from "typebox";
import type { ErrorCode } from "../protocol/errors.ts";
import type { Feed } from "./changes.ts";
import { type Check, compileCheck } from "./check.ts";
import type { Asking, Reading } from "./reading.ts";

/** Schemas by parameter name; their order is the order of the client's arguments. */
export type ParamSchemas = Readonly<Record<string, TSchema>>;

/** The values of some parameters. */
export type Values<P extends ParamSchemas> = Static<TObject<P>>;

interface Declared<P extends ParamSchemas> {
  /** One sentence for people: it stands in every table, document and help text. */
  readonly about: string;
  /** The Redis reads, for the documentation. */
  readonly reads: string;
  /** The `fullon_cache` method it mirrors, if there is one. */
  readonly mirrors?: string;
  readonly params: P;
  /** False where the client library does it by itself, and so has no method for it. */
  readonly method?: false;
  /** The domain whose scope it needs, where that is not the one that declares it. */
  readonly domain?: string;
  /** True where its parameters hold a secret: they are neither logged nor kept. */
  readonly confidential?: true;
  /** The errors it may answer besides those that any request may: bad parameters, Redis away, a value that is corrupt. */
  readonly errors?: readonly ErrorCode[];
}

/** A question with one answer. */
export interface Query<P extends ParamSchemas = ParamSchemas, R extends TSchema = TSchema> extends Declared<P> {
  readonly kind: "query";
  readonly result: R;
  readonly check: Check;
  // A method, so that a query of some parameters is a query of any.
  read(asking: Asking, params: Values<P>): Promise<Static<R>>;
}

/** A question whose answer is kept true: a picture at first, then every change of it. */
export interface LiveQuery<P extends ParamSchemas = ParamSchemas, U extends TObject = TObject> extends Declared<P> {
  readonly kind: "live";
  /** The `type` of its updates on the wire. */
  readonly type: string;
  readonly update: U;
  /** The members that tell one item from another (none: there is only one); null where every update is an event. */
  readonly identity: readonly (string & keyof Static<U>)[] | null;
  /** How many items a picture holds at most; older ones leave it without a word. */
  readonly retain?: number;
  readonly check: Check;
  topics(reading: Reading, params: Values<P>): readonly TopicSource[];
}

/** One topic of a live query: its name on the wire, and how to follow it. */
export interface TopicSource {
  readonly name: string;
  /** What it is made from, where the name does not say all of it: those of another source never share the topic. */
  readonly source?: string;
  open(): Feed;
}

/** Any declaration. */
export type Operation = Query | LiveQuery;

/** Every stream takes it; see {@link liveQuery}. */
const interval = {
  interval_ms: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 3_600_000,
      description: "0: every change; otherwise at most one update per item and interval, the latest, in milliseconds",
    }),
  ),
};

/** The parameters that an operation has of its own, in order: without the one that every stream takes. */
export function ownParams({ params }: Operation): [string, TSchema][] {
  return Object.entries(params).filter(([name]) => !Object.hasOwn(interval, name));
}

/** Declares a question with one answer. */
export function query<P extends ParamSchemas, R extends TSchema>(
  declaration: Omit<Query<P, R>, "kind" | "check">,
): Query<P, R> {
  return { ...declaration, kind: "query", check: compileCheck(declaration.params) };
}

/** Declares a question whose answer is kept true. It takes `interval_ms` besides its own parameters. */
export function liveQuery<P extends ParamSchemas, U extends TObject>(
  declaration: Omit<LiveQuery<P, U>, "kind" | "check">,
): LiveQuery<P & typeof interval, U> {
  const params = { ...declaration.params, ...interval };
  return { ...declaration, params, kind: "live", check: compileCheck(params) } as LiveQuery<P & typeof interval, U>;
}

type Declarations = Readonly<Record<string, Query | LiveQuery>>;

/** Holds a domain to its rules: `stream…` is a live query, everything else a query. */
export function domain<const D extends { [N in keyof D]: N extends `stream${string}` ? LiveQuery : Query }>(
  declarations: D & Declarations,
): D {
  return declarations;
}

/**
 * The name of a topic: its kind and its parts with `:` between them. A `:` in any part but the last is escaped; topics of
 * one kind have as many parts, so no two of them ever have the same name.
 */
export function topicName(kind: string, ...parts: readonly string[]): string {
  const last = parts.length - 1;
  const escaped = parts.map((part, at) => (at === last ? part : part.replaceAll("%", "%25").replaceAll(":", "%3A")));
  return [kind, ...escaped].join(":");
}
