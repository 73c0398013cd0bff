import { printable } from "../protocol/printable.ts";

/** One column: what stands over it, and how its values are shown. */
export interface Column {
  readonly head: string;
  /** Figures stand at the right. */
  readonly isNumber?: boolean;
}

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\p{Emoji_Presentation}]/u;

function widthOf(sign: string): number {
  return wide.test(sign) ? 2 : /\p{M}/u.test(sign) ? 0 : 1;
}

/** How many places a text takes in a terminal. */
export function textWidth(text: string): number {
  // Most texts are of signs that take one place each.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const sign of text) width += widthOf(sign);
  return width;
}

/** A text that takes no more places than `width`; what is cut ends with `…`. */
export function cut(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let kept = "";
  let left = width - 1;
  for (const sign of text) {
    left -= widthOf(sign);
    if (left < 0) break;
    kept += sign;
  }
  return width < 1 ? "" : `${kept}…`;
}

/** A number as people write it, never as 2e-5. */
export function numberText(value: number): string {
  const text = String(value);
  if (!text.includes("e")) return text;
  const [, digits = ""] = /e-(\d+)$/.exec(text) ?? [];
  if (digits === "") return value.toLocaleString("en", { useGrouping: false });
  // As many decimals as the first figure needs, and those that come after it.
  const figures = text.replace(/e.*$/, "").replace(/^-?\d\.?/, "").length;
  return value.toFixed(Math.min(100, Number(digits) + figures));
}

/** A value as one cell: text that a terminal takes for nothing else. */
export function cellText(value: unknown): string {
  if (value === undefined || value === null) return "–";
  if (typeof value === "number") return numberText(value);
  return printable(typeof value === "string" ? value : JSON.stringify(value));
}

/** A time in unix seconds as people in any place understand it: in UTC, to the second. */
export function timeText(timestamp: unknown): string {
  const date = new Date(typeof timestamp === "number" ? timestamp * 1000 : Number.NaN);
  return Number.isNaN(date.getTime()) ? "–" : date.toISOString().slice(0, 19).replace("T", " ");
}

/** Cells as lines whose columns stay under one another. They grow with what comes, and never shrink. */
export class Table {
  readonly #columns: readonly Column[];
  readonly #widths: number[];
  readonly #width: number;

  /** @param width how wide a line may be; longer ones are cut, but not within a number */
  constructor(columns: readonly Column[], width = Number.POSITIVE_INFINITY) {
    this.#columns = columns;
    this.#widths = columns.map(({ head }) => textWidth(head));
    this.#width = width;
  }

  /** What stands over the columns. */
  get head(): string {
    return this.#line(this.#columns.map(({ head }) => head));
  }

  /** Makes the columns wide enough for a row. */
  fit(cells: readonly string[]): void {
    for (const [at, cell] of cells.entries()) this.#widths[at] = Math.max(this.#widths[at] ?? 0, textWidth(cell));
  }

  /** One row. */
  line(cells: readonly string[]): string {
    this.fit(cells);
    return this.#line(cells);
  }

  /** The head and several rows. */
  lines(rows: readonly (readonly string[])[]): string[] {
    for (const row of rows) this.fit(row);
    return [this.head, ...rows.map((row) => this.#line(row))];
  }

  #line(cells: readonly string[]): string {
    const padded = cells.map((cell, at) => {
      const room = " ".repeat(Math.max(0, (this.#widths[at] ?? 0) - textWidth(cell)));
      return this.#columns[at]?.isNumber ? room + cell : cell + room;
    });
    const whole = padded.join("  ").trimEnd();
    if (textWidth(whole) <= this.#width) return whole;
    // What is left of a number would be another number.
    const last = padded.findIndex((_, at) => textWidth(padded.slice(0, at + 1).join("  ")) > this.#width - 3);
    const isCut = this.#columns[last]?.isNumber !== true;
    return cut(isCut ? whole : [...padded.slice(0, last), "…"].join("  "), this.#width);
  }
}
