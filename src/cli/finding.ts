import { printable } from "../protocol/printable.ts";

/** One thing that was looked at: well, worth a word, not to be known, or wrong; and what to do about it. */
export interface Finding {
  readonly level: "ok" | "note" | "unknown" | "wrong";
  /** What was looked at: `redis`, `data`, `gateway`. */
  readonly area: string;
  /** What was found, as one sentence. */
  readonly found: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** Makes the findings of one area. */
export const findingsOf =
  (area: string) =>
  (level: Finding["level"], found: string, advice?: string): Finding => ({
    level,
    area,
    found,
    ...(advice !== undefined && { advice }),
  });

const marks = { ok: "ok", note: "note", unknown: "?", wrong: "WRONG" } as const satisfies Record<
  Finding["level"],
  string
>;
const markWidth = 7;

/** A finding as lines for people. */
export function findingLines({ level, area, found, advice }: Finding): string[] {
  const lines = [`${marks[level].padEnd(markWidth)}${area}: ${found}`];
  if (advice !== undefined) lines.push(`${" ".repeat(markWidth)}→ ${advice}`);
  return lines.map(printable);
}

/** So many things, in words: `1 key`, `2 keys`. */
export function some(count: number, one: string, several = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : several}`;
}

/** How long something takes or took, in words. @param ms milliseconds */
export function span(ms: number): string {
  const units = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["min", 60_000],
    ["s", 1_000],
  ] as const;
  const [unit, size] = units.find(([, size]) => ms >= size) ?? ["ms", 1];
  return `${(ms / size).toFixed(ms / size < 10 && unit !== "d" ? 1 : 0)} ${unit}`;
}

/** The value below which a share of the values lies, which must be some. @param share 0.5: the median */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
