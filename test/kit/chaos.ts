import { appendFileSync } from "node:fs";

const figures = process.env["CHAOS_FIGURES"];

/** Whether this is `make chaos`, which takes minutes, or the short form that is part of every test run. */
export const isLong = process.env["CHAOS"] === "1";

/** How much of something is tried: a little in every test run, a lot in `make chaos`. */
export function scaled(short: number, long: number): number {
  return isLong ? long : short;
}

/** Where a random run begins: `CHAOS_SEED` repeats one that failed. */
export const seed = Number(process.env["CHAOS_SEED"] ?? Date.now() % 2 ** 31);

/** Something that was measured or counted, for the table that `make chaos` prints. */
export function figure(what: string, value: string | number): void {
  if (figures !== undefined) appendFileSync(figures, `${JSON.stringify({ what, value: String(value) })}\n`);
}
