import { CacheError } from "../protocol/errors.ts";

/** An object as Redis holds it; its members are not known yet. */
export type Stored = Readonly<Record<string, unknown>>;

/** Where a value lives: a key, and the field or index in it. */
export interface Place {
  readonly key: string;
  readonly field?: string | undefined;
}

/** Deeper than any honest value; JSON.stringify would overflow the stack a few thousand levels further down. */
const maxDepth = 100;

/** Longer than any honest value, in characters: while a value of fifty million is parsed, nobody else is served. */
const maxLength = 2_097_152;

// No name that can be asked for is longer. A longer one would fill answers and logs with itself.
const maxNameLength = 2_048;

/** Thrown by the readers below; {@link decode} turns it into DATA_CORRUPT with the place. */
export class Unreadable extends Error {}

// An escape or a quote (by which strings are told apart), or a bare token that JSON has no word for. Never a whole
// string: matching a long one at once may exceed what the engine can remember, and an unclosed one would be tried again
// from each of its quotes.
const pythonToken = /\\.|"|-?(?:NaN|Infinity)|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

function translate(token: string): string {
  const value = Number(token);
  if (/^-?\d+$/.test(token)) return Number.isSafeInteger(value) ? token : `"${token}"`;
  return Number.isFinite(value) ? token : "null";
}

function translated(text: string): string {
  let quoted = false;
  return text.replace(pythonToken, (token) => {
    if (token === '"') quoted = !quoted;
    else if (!quoted && !token.startsWith("\\")) return translate(token);
    return token;
  });
}

const largeExponent = /e\+?\d{3}/iy;
const safeDigits = 15;

function isLargeExponent(text: string, at: number): boolean {
  largeExponent.lastIndex = at;
  return largeExponent.test(text);
}

/** Where the string ends whose opening quote is at `at`. */
function endOfString(text: string, at: number): number {
  let end = at + 1;
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code === 0x22) break;
    if (code === 0x5c) end++;
  }
  return end;
}

/**
 * How a text has to be read: `json` as it is; `python` translated first, since it may hold what JSON has no word for, or
 * numbers that would lose digits; `deep` not at all. One pass, since every value of every key comes this way.
 */
function kindOf(text: string): "json" | "python" | "deep" {
  let depth = 0;
  let digits = 0;
  let isFraction = false;
  let isPython = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code >= 0x30 && code <= 0x39) {
      if (++digits > safeDigits && !isFraction) isPython = true;
      continue;
    }
    digits = 0;
    isFraction = code === 0x2e;
    switch (code) {
      case 0x22: // "
        at = endOfString(text, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > maxDepth) return "deep";
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case 0x4e: // NaN
      case 0x49: // Infinity
        isPython = true;
        break;
      case 0x45: // E
      case 0x65: // e
        isPython ||= isLargeExponent(text, at);
    }
  }
  return isPython ? "python" : "json";
}

function mustBeShort(text: string): void {
  if (text.length > maxLength) throw new Unreadable(`it has more than ${maxLength} characters`);
}

/**
 * What Python's `json.dumps` wrote: JSON, and besides it NaN and ±Infinity (read as null) and integers beyond 2^53
 * (read as text, since a number would round them).
 * @throws Unreadable
 */
export function parsePython(text: string): unknown {
  mustBeShort(text);
  const kind = kindOf(text);
  if (kind === "deep") throw new Unreadable(`it is nested more than ${maxDepth} levels deep`);
  try {
    return JSON.parse(kind === "python" ? translated(text) : text);
  } catch (cause) {
    throw new Unreadable("it is not JSON", { cause });
  }
}

/** Whether a value is an object with members (neither an array nor null). */
export function isObject(value: unknown): value is Stored {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A number, or null where there is none (missing, null, NaN); numbers written as text are numbers. @throws Unreadable */
export function number(value: unknown): number | null {
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (value === null || value === undefined) return null;
  if (typeof value === "string") {
    const read = value.trim() === "" ? Number.NaN : Number(value);
    if (Number.isFinite(read)) return read;
    if (/^[+-]?(nan|inf(inity)?)$/i.test(value)) return null;
  }
  throw new Unreadable(`${JSON.stringify(value)?.slice(0, 40)} is not a number`);
}

/** Text, or null where there is none; numbers and booleans become text. @throws Unreadable */
export function text(value: unknown): string | null {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return null;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw new Unreadable(`${JSON.stringify(value)?.slice(0, 40)} is not text`);
}

const isoTime = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?)?\s*(Z|[+-]\d\d:?\d\d)?$/i;

/**
 * A time as unix seconds, whatever form it is in: seconds, milliseconds, micro- or nanoseconds, a number as text, or ISO
 * text (UTC where it names no zone). Null where there is none, or where no form fits: a time that cannot be read must
 * not hide the value it belongs to.
 */
export function seconds(value: unknown): number | null {
  if (typeof value === "number") return Number.isFinite(value) ? inSeconds(value) : null;
  if (typeof value !== "string" || value.trim() === "") return null;
  if (Number.isFinite(Number(value))) return inSeconds(Number(value));
  const found = isoTime.exec(value.trim());
  if (!found) return null;
  const [, date, clock = "00:00", fraction = "0", zone = "Z"] = found;
  const milliseconds = Date.parse(`${date}T${clock}${zone.toUpperCase().replace(/^([+-]\d\d)(\d\d)$/, "$1:$2")}`);
  // Date keeps milliseconds only; Python writes microseconds, and order within a millisecond matters.
  return Number.isNaN(milliseconds) ? null : milliseconds / 1000 + Number(`0.${fraction}`);
}

function inSeconds(value: number): number {
  const size = Math.abs(value);
  if (size < 1e11) return value;
  if (size < 1e14) return value / 1e3;
  return size < 1e17 ? value / 1e6 : value / 1e9;
}

/** Reads a text that is not JSON with `build`; whatever cannot be read becomes DATA_CORRUPT with its place. */
export function decodeText<T>(place: Place, raw: string, build: (text: string) => T): T {
  try {
    mustBeShort(raw);
    return build(raw);
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    const key = place.key.slice(0, maxNameLength);
    const field = place.field?.slice(0, maxNameLength);
    const where = field === undefined ? key : `${key} ${field}`;
    throw new CacheError("DATA_CORRUPT", `the value at ${where.slice(0, 200)} cannot be read: ${error.message}`, {
      details: { key, ...(field === undefined ? {} : { field }) },
      cause: error,
    });
  }
}

/** Reads a value with `build`; whatever cannot be read becomes DATA_CORRUPT with its place. */
export function decode<T>(place: Place, raw: string, build: (value: unknown) => T): T {
  return decodeText(place, raw, (text) => build(parsePython(text)));
}

/** Like {@link decode} for a value that must be an object. */
export function decodeObject<T>(place: Place, raw: string, build: (value: Stored) => T): T {
  return decode(place, raw, (value) => {
    if (!isObject(value)) throw new Unreadable("it is not an object");
    return build(value);
  });
}

/** An object without some of its members: what is left are the extra fields, passed on as they are. */
export function without(value: Stored, names: readonly string[]): Record<string, unknown> {
  const rest = { ...value };
  for (const name of names) delete rest[name];
  return rest;
}
