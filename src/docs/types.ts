import { type TSchema, Type } from "typebox";

/** What JSON Schema says of a schema, as far as the declarations use it. */
interface JsonSchema {
  readonly type?: string;
  readonly title?: string;
  readonly description?: string;
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema | readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>;
}

/** A type in the words of TypeScript: `Ticker`, `Ticker[]`, `string`, `number | null`. */
export function typeOf(schema: TSchema): string {
  return short(schema as JsonSchema);
}

function short({ title, type, const: only, anyOf, items, patternProperties }: JsonSchema): string {
  if (title !== undefined) return title;
  if (only !== undefined) return JSON.stringify(only);
  if (anyOf) return [...new Set(anyOf.map(short))].join(" | ");
  if (type === "array") return `${short(items as JsonSchema)}[]`;
  const [values] = Object.values(patternProperties ?? {});
  if (values) return `{ [name: string]: ${short(values)} }`;
  return type === "integer" ? "number" : (type ?? "unknown");
}

/** The named types among some schemas and within them, by name, each once. */
export function typesOf(schemas: readonly TSchema[]): Map<string, TSchema> {
  const found = new Map<string, TSchema>();
  const visit = (schema: JsonSchema) => {
    const { title, anyOf = [], items = [], properties = {}, patternProperties = {} } = schema;
    if (title !== undefined) found.set(title, schema as TSchema);
    const within = [anyOf, items, Object.values(properties), Object.values(patternProperties)].flat();
    for (const one of within as JsonSchema[]) visit(one);
  };
  for (const schema of schemas) visit(schema as JsonSchema);
  return found;
}

/** The declaration of a named type: an interface, or a tuple whose places are explained. */
export function declarationOf(name: string, schema: TSchema): string {
  const { properties, items } = schema as JsonSchema;
  const line = (member: string, { description }: JsonSchema) =>
    `  ${member}${description === undefined ? "" : ` // ${description}`}`;
  if (!properties) {
    const places = (items as readonly JsonSchema[]).map((item) => line(`${short(item)},`, item));
    return [`type ${name} = [`, ...places, "];"].join("\n");
  }
  const members = Object.entries(properties).map(([member, of]) =>
    line(`${member}${Type.IsOptional(of as TSchema) ? "?" : ""}: ${short(of)};`, of),
  );
  return [`interface ${name} {`, ...members, "}"].join("\n");
}
