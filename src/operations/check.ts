import { type TSchema, Type } from "typebox";
import { Compile } from "typebox/compile";

/** One offence against the parameters of an operation: which parameter, and a sentence that says what is allowed. */
export interface Fault {
  readonly path: string;
  readonly message: string;
}

/** Looks at `params`; undefined when they are right. */
export type Check = (params: unknown) => Fault | undefined;

const range = (low: unknown, high: unknown) =>
  low === undefined
    ? high === undefined
      ? ""
      : ` up to ${high}`
    : high === undefined
      ? ` from ${low}`
      : ` ${low}–${high}`;

/** What a schema allows, in words: "text of 1–256 characters", "an integer 1–10000", "a list of 1–500 × text …". */
export function allowed(schema: TSchema): string {
  const { type, minimum, maximum, minLength, maxLength, minItems, maxItems, items, anyOf } = schema as Record<
    string,
    unknown
  >;
  if (Array.isArray(anyOf)) return anyOf.map(allowed).join(" or ");
  if (type === "array") return `a list of${range(minItems, maxItems)} × ${allowed(items as TSchema)}`;
  if (type === "integer" && maximum !== Number.MAX_SAFE_INTEGER) return `an integer${range(minimum, maximum)}`;
  if (type === "integer") return "an integer";
  if (type === "number") return `a number${range(minimum, maximum)}`;
  return `text of${range(minLength, maxLength)} characters`;
}

/** A compiled check of an operation's parameters: 0.3 µs for what is right, a sentence for what is not. */
export function compileCheck(params: Readonly<Record<string, TSchema>>): Check {
  const validator = Compile(Type.Object({ ...params }, { additionalProperties: false }));
  const names = Object.keys(params);
  const allowedNames = names.length === 0 ? "it takes none" : `it takes ${names.join(", ")}`;
  return (value) => {
    if (validator.Check(value)) return undefined;
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return { path: "params", message: "params must be an object" };
    const unknown = Object.keys(value)
      .find((name) => !Object.hasOwn(params, name))
      ?.slice(0, 100);
    if (unknown !== undefined)
      return { path: `params.${unknown}`, message: `unknown parameter ${JSON.stringify(unknown)}: ${allowedNames}` };
    for (const name of names) {
      const schema = params[name] as TSchema;
      if (!Object.hasOwn(value, name)) {
        if (Type.IsOptional(schema)) continue;
        return { path: `params.${name}`, message: `parameter ${name} is missing: it must be ${allowed(schema)}` };
      }
      const fault = validator.Errors(value).find((error) => error.instancePath.split("/")[1] === name);
      if (fault) {
        const path = `params${fault.instancePath.replaceAll("/", ".")}`;
        return { path, message: `parameter ${name} must be ${allowed(schema)}` };
      }
    }
    return { path: "params", message: `params are not valid: ${allowedNames}` };
  };
}
