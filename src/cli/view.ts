import { type TSchema, Type } from "typebox";
import { type Column, cellText, cut, Table, timeText } from "./table.ts";

/** What JSON Schema says of a result, as far as its look depends on it. */
interface Shape {
  readonly type?: string;
  readonly description?: string;
  readonly anyOf?: readonly Shape[];
  readonly items?: Shape | readonly Shape[];
  readonly properties?: Readonly<Record<string, Shape>>;
}

/** A column and where its value is. */
interface Member extends Column {
  readonly name: string | number;
  readonly isTime: boolean;
  readonly isOptional: boolean;
}

const isNumber = ({ type, anyOf = [] }: Shape): boolean =>
  type === "number" || type === "integer" || anyOf.some(({ type }) => type === "number");

function member(name: string | number, title: string, shape: Shape): Member {
  // The declarations say so of every time.
  const isTime = shape.description?.includes("unix seconds") ?? false;
  const head = isTime ? `${typeof name === "number" ? "time" : title} (UTC)` : title;
  return { name, head, isTime, isNumber: !isTime && isNumber(shape), isOptional: Type.IsOptional(shape as TSchema) };
}

/** What a row of this shape has: the declared members, or the places of a tuple. */
function membersOf({ properties, items }: Shape): Member[] {
  if (Array.isArray(items)) return (items as Shape[]).map((item, at) => member(at, item.description ?? "", item));
  return Object.entries(properties ?? {}).map(([name, shape]) => member(name, name, shape));
}

const longestObject = 40;

const valueAt = (row: unknown, { name }: Member): unknown => Object(row)[name];

/** Rows of one kind as a table. Its columns are the declared members, without those that no row of the first has. */
export class View {
  readonly #members: readonly Member[];
  readonly #table: Table;
  #isBegun = false;

  /** @param first the rows to judge by which of the members that may be missing are there */
  constructor(schema: TSchema, first: readonly unknown[], width: number | undefined) {
    this.#members = membersOf(schema as Shape).filter(
      (one) => !one.isOptional || first.some((row) => valueAt(row, one) !== undefined),
    );
    this.#table = new Table(this.#members, width);
  }

  /** The next rows as lines, the head before the first of them. */
  lines(rows: readonly unknown[]): string[] {
    const cells = rows.map((row) =>
      this.#members.map((one) => {
        const value = valueAt(row, one);
        if (one.isTime) return timeText(value);
        // Else it would push out of sight what comes after it.
        return typeof value === "object" ? cut(cellText(value), longestObject) : cellText(value);
      }),
    );
    const lines = this.#table.lines(cells).map((line, at) => line + remark(rows[at - 1]));
    return this.#isBegun ? lines.slice(1) : this.#begun(lines);
  }

  #begun(lines: string[]): string[] {
    this.#isBegun = true;
    return lines;
  }
}

/** What an update says besides its data. */
function remark(row: unknown): string {
  const { removed, skipped } = Object(row) as { readonly removed?: unknown; readonly skipped?: unknown };
  return `${removed === true ? "  gone" : ""}${typeof skipped === "number" ? `  ${skipped} skipped` : ""}`;
}

/** The members of an object and of those within it, by their paths. */
function* paths(value: unknown, shape: Shape | undefined, path = ""): Generator<[string, string]> {
  if (typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0)
    for (const [name, inner] of Object.entries(value))
      yield* paths(inner, shape?.properties?.[name], path === "" ? name : `${path}.${name}`);
  else if (shape?.description?.includes("unix seconds")) yield [`${path} (UTC)`, timeText(value)];
  else yield [path, cellText(value)];
}

/** The answer to a question, as lines for people. @param width how wide a line may be; longer ones are cut */
export function answerLines(schema: TSchema, result: unknown, width: number | undefined): string[] {
  const shape = schema as Shape;
  if (shape.type === "array" && Array.isArray(result)) {
    const items = shape.items as TSchema;
    if (result.length === 0) return ["nothing"];
    return membersOf(items as Shape).length === 0 ? result.map(cellText) : new View(items, result, width).lines(result);
  }
  if (typeof result !== "object" || result === null) return [cellText(result)];
  const table = new Table([{ head: "" }, { head: "" }], width);
  return table.lines([...paths(result, shape)].map(([path, text]) => [cellText(path), text])).slice(1);
}
