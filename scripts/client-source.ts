import { type TSchema, Type } from "typebox";
import { typeOf as typeText } from "../src/docs/types.ts";
import { domains } from "../src/operations/index.ts";
import { type LiveQuery, type Operation, ownParams } from "../src/operations/operation.ts";
import { methodName } from "../src/protocol/names.ts";

/** The files of the exported types, by the names of the types. */
async function filesOfTypes(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  // What the gateway says of itself belongs to several domains and so to none.
  for (const file of [...Object.keys(domains), "server-info"]) {
    const module = (await import(`../src/operations/${file}.ts`)) as Record<string, unknown>;
    for (const type of Object.keys(module)) files.set(type, file);
  }
  return files;
}

/** The text of the client's methods, made from the declarations: names, order, types and documentation. */
export async function clientSource(): Promise<string> {
  const files = await filesOfTypes();
  const imports = new Map<string, Set<string>>();

  /** A type, whose file is to be imported if it has a name. */
  function typeOf(schema: TSchema): string {
    const type = typeText(schema);
    for (const name of type.match(/\b[A-Z]\w*/g) ?? []) {
      const file = files.get(name);
      if (file === undefined) throw new Error(`no file exports the type ${name}`);
      imports.set(file, (imports.get(file) ?? new Set()).add(name));
    }
    return type;
  }

  function methodOf(name: string, operation: Operation): string {
    const live = operation.kind === "live";
    const params = ownParams(operation);
    const required = params.filter(([, schema]) => !Type.IsOptional(schema));
    const optional = params.filter(([, schema]) => Type.IsOptional(schema));
    const argument = ([param, schema]: [string, TSchema]) =>
      `${methodName(param)}: ${typeOf(schema).replace(/(.*)\[\]$/, "readonly $1[]")}`;
    const base = live ? "StreamOptions" : "CallOptions";
    const returns = live ? streamType(operation) : `Promise<${typeOf(operation.result)}>`;
    const overloads = optional.concat([["", Type.Null()]]).map((_, count) => {
      const given = [...required, ...optional.slice(0, count)].map(argument);
      const left = optional.slice(count).map((one) => argument(one).replace(":", "?:"));
      const options = left.length === 0 ? base : `${base} & { ${left.join("; ")} }`;
      return `  ${name}(${[...given, `options?: ${options}`].join(", ")}): ${returns};`;
    });
    return `${documentation(operation, params)}\n${overloads.join("\n")}`;
  }

  function streamType({ update, identity }: LiveQuery): string {
    const keys =
      identity === null || identity.length === 0 ? "" : `, ${identity.map((key) => JSON.stringify(key)).join(" | ")}`;
    return `Stream<${typeOf(update)}${keys}>`;
  }

  const operations = Object.values(domains).flatMap((domain) => Object.entries(domain as Record<string, Operation>));
  const methods = operations.filter(([, { method }]) => method !== false);
  const text = methods.map(([name, operation]) => methodOf(name, operation)).join("\n\n");
  const table = methods.map(([name, operation]) => {
    const params = ownParams(operation).map(([param]) => param);
    const { identity, retain } = operation.kind === "live" ? operation : {};
    return `  ${name}: ${JSON.stringify({ params, identity, retain })},`;
  });
  const importLines = [...imports.keys()]
    .sort()
    .map(
      (file) => `import type { ${[...(imports.get(file) ?? [])].sort().join(", ")} } from "../operations/${file}.ts";`,
    );
  return `// Made by \`npm run generate\` from the declarations in src/operations; do not edit.
${importLines.join("\n")}
import type { CallOptions } from "./calls.ts";
import type { Stream, StreamOptions } from "./stream.ts";

/** Every operation as a method; parameters in order, then one object of options, which also takes those left out. */
export interface Operations {
${text}
}

/**
 * What the client has to know of an operation: its parameters in order and, for a stream, what identifies an item and how
 * many there are at most.
 */
export interface Signature {
  readonly params: readonly string[];
  readonly identity?: readonly string[] | null;
  readonly retain?: number;
}

/** The signatures of all operations, by method. */
export const signatures = {
${table.join("\n")}
} as const satisfies Record<keyof Operations, Signature>;
`;
}

function documentation(operation: Operation, params: [string, TSchema][]): string {
  const lines = [operation.about];
  for (const [param, schema] of params) {
    const { description } = schema as { description?: string };
    if (description) lines.push(`@param ${methodName(param)} ${description}`);
  }
  if (operation.errors?.length) lines.push(`@throws CacheError ${operation.errors.join(", ")}`);
  if (operation.mirrors) lines.push(`Mirrors \`fullon_cache\`'s ${operation.mirrors}.`);
  return ["  /**", ...lines.map((line) => `   * ${line}`), "   */"].join("\n");
}
