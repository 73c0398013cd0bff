import type { Spread } from "./rounds.ts";

/** Lays out rows in columns, the first one to the left and the others to the right. Those that are empty are left out. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = rows[0]?.map((_head, at) => rows.map((row) => row[at] ?? "")) ?? [];
  const padded = columns
    .filter(([_head, ...cells]) => cells.some((cell) => cell !== ""))
    .map((cells, at) => {
      const width = Math.max(...cells.map(({ length }) => length));
      return cells.map((cell) => (at === 0 ? cell.padEnd(width) : cell.padStart(width)));
    });
  return rows.map((_row, line) => `  ${padded.map((cells) => cells[line]).join("  ")}`.trimEnd()).join("\n");
}

/** Three digits, or whole thousands. */
export function figure(value: number): string {
  if (Number.isNaN(value)) return "–";
  if (value >= 10_000) return `${Math.round(value / 1_000).toLocaleString("en")} k`;
  if (value >= 1_000) return Math.round(value).toLocaleString("en");
  return value === 0 ? "0" : value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** A ratio with its least and most: `1.14 (1.10–1.20)`. */
export function ratio(of: Spread | undefined): string {
  if (!of) return "";
  const digits = of.median >= 10 ? 1 : 2;
  const [median, min, max] = [of.median, of.min, of.max].map((value) => value.toFixed(digits));
  return `${median} (${min}–${max})`;
}

/** A share, in percent. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
