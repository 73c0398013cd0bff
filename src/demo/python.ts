/** What Python's `json.dumps` can write here: a `bigint` stands for an int, a `number` for a float. */
export type PythonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly PythonValue[]
  | { readonly [key: string]: PythonValue };

/** Writes JSON as Python's `json.dumps` does: spaces after `,` and `:`, floats that look it, and ASCII only. */
export function dumps(value: PythonValue): string {
  if (typeof value === "number") return float(value);
  if (typeof value === "string") return text(value);
  if (value === null || typeof value !== "object") return `${value}`;
  if (isList(value)) return `[${value.map(dumps).join(", ")}]`;
  const fields = Object.entries(value).map(([name, field]) => `${text(name)}: ${dumps(field)}`);
  return `{${fields.join(", ")}}`;
}

/** A time in milliseconds as Python's `datetime.isoformat()` in UTC, which drops the fraction when it is zero. */
export function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace("Z", "000+00:00").replace(".000000", "");
}

function float(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : `${value}`;
  const size = Math.abs(value);
  if (size >= 1e16 || (size < 1e-4 && size > 0)) {
    return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }
  return Number.isInteger(value) ? `${value}.0` : `${value}`;
}

function text(value: string): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function isList(value: object): value is readonly PythonValue[] {
  return Array.isArray(value);
}
