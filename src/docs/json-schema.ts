import { type TSchema, Type } from "typebox";
import { generalMessages, type Message, operationMessages } from "./messages.ts";

/** Plain JSON. */
export type Json = { readonly [name: string]: unknown };

/** Every kind of frame, those of operations first. */
export const messages: readonly Message[] = [
  ...operationMessages.flatMap(({ request, response, update }) => [request, response, ...(update ? [update] : [])]),
  ...Object.values(generalMessages),
];

const frameOf = (title: string, from: Message["from"]) =>
  Type.Union(
    messages.filter((one) => one.from === from).map(({ payload }) => payload),
    { title },
  );

/** Anything that a client may send. */
const ClientFrame = frameOf("ClientFrame", "client");
/** Anything that a gateway may send. */
const GatewayFrame = frameOf("GatewayFrame", "gateway");

/**
 * The schemas of all frames and of the types in them, by name; where one is part of another, there is a reference.
 * @param place where they stand in the document, for example `#/definitions/`
 */
export function definitions(place: string): Map<string, Json> {
  const found = new Map<string, Json>();
  function referring(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(referring);
    if (typeof value !== "object" || value === null) return value;
    const { title } = value as { title?: unknown };
    if (typeof title !== "string") return mapped(value);
    const own = mapped(value);
    const before = found.get(title);
    if (before && JSON.stringify(before) !== JSON.stringify(own)) throw new Error(`two types are called ${title}`);
    found.set(title, own);
    return { $ref: place + title };
  }
  const mapped = (value: object): Json =>
    Object.fromEntries(Object.entries(value).map(([name, of]) => [name, referring(of)]));
  referring([ClientFrame, GatewayFrame] satisfies TSchema[]);
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** One JSON Schema of everything that is said on the wire. */
export function jsonSchema(): Json {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Frame",
    description: "Any frame of fullon-cache.v1, the wire protocol of fullon-cache-api.",
    anyOf: [{ $ref: "#/definitions/ClientFrame" }, { $ref: "#/definitions/GatewayFrame" }],
    definitions: Object.fromEntries(definitions("#/definitions/")),
  };
}
