import { UsageError } from "./command.ts";

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A time like `10s` in milliseconds. @param flag which flag says it, for the message @throws UsageError */
export function duration(text: string, flag: string): number {
  const [, figure, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (figure === undefined)
    throw new UsageError(
      `--${flag}: ${JSON.stringify(text)} is not allowed; it must be a time like 500ms, 10s, 5m or 1h`,
    );
  return Number(figure) * (units[unit] ?? 0);
}

/** A number of things. @param flag which flag says it, for the message @throws UsageError */
export function count(text: string, flag: string, least = 1, most = Number.MAX_SAFE_INTEGER): number {
  const number = Number(text);
  if (text.trim() !== "" && Number.isInteger(number) && number >= least && number <= most) return number;
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `${least}–${most}`;
  throw new UsageError(`--${flag}: ${JSON.stringify(text)} is not allowed; it must be an integer ${range}`);
}
