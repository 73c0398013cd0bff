import fc from "fast-check";
import { expect, test } from "vitest";
import { dumps, isoTime, type PythonValue } from "../src/demo/python.ts";
import { CacheError } from "../src/protocol/errors.ts";
import {
  decode,
  decodeObject,
  decodeText,
  isObject,
  number,
  parsePython,
  type Stored,
  seconds,
  text,
  Unreadable,
  without,
} from "../src/redis/values.ts";

const { MAX_SAFE_INTEGER } = Number;

/** Anything that Python's json.dumps can write: an int is a bigint, a float a number. */
const pythonValue = fc.letrec<{ value: PythonValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(null, true, false),
    fc.double(),
    fc.integer().map(BigInt),
    fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }),
    fc.string({ unit: "binary" }),
    fc.constantFrom("NaN", '"Infinity"', "-Infinity", "\\", '\\"', "12345678901234567890", "1e400"),
    fc.array(tie("value")),
    fc.dictionary(
      fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "toString", "NaN")),
      tie("value"),
    ) as fc.Arbitrary<PythonValue>,
  ),
})).value;

/** What a reader is to make of it: no NaN, no Infinity, no rounded integer. */
function meant(value: PythonValue): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === "number") return Number.isFinite(value) ? value + 0 : null;
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return (value as readonly PythonValue[]).map(meant);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, meant(member)]));
}

test("whatever Python wrote is read as it was meant", () => {
  fc.assert(
    fc.property(pythonValue, (value) => {
      expect(parsePython(dumps(value))).toEqual(meant(value));
    }),
    { numRuns: 500 },
  );
});

test("whatever was read can be sent as JSON without loss", () => {
  fc.assert(
    fc.property(pythonValue, (value) => {
      const read = parsePython(dumps(value));
      expect(JSON.parse(JSON.stringify(read))).toEqual(read);
    }),
    { numRuns: 500 },
  );
});

test("any other text is refused as unreadable, and nothing that JSON knows is refused", () => {
  const pieces = ['"', "\\", "{", "}", "[", "]", ":", ",", "NaN", "-", "Infinity", "1", "9".repeat(20), "e400", "0."];
  const rubbish = fc.array(fc.constantFrom(...pieces, "a", " ", "null", "\\u00", "\n", "\ud800"), { maxLength: 12 });
  fc.assert(
    fc.property(
      rubbish.map((parts) => parts.join("")),
      (raw) => {
        let isJson = true;
        try {
          JSON.parse(raw);
        } catch {
          isJson = false;
        }
        try {
          expect(JSON.stringify(parsePython(raw))).toEqual(expect.any(String));
        } catch (error) {
          expect(error).toBeInstanceOf(Unreadable);
          expect(isJson).toBe(false);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test("NaN and the infinities are null wherever they stand, unless they are only text", () => {
  expect(parsePython('{"a": NaN, "b": [Infinity, -Infinity], "c": "NaN, -Infinity", "NaN": 1e400}')).toEqual({
    a: null,
    b: [null, null],
    c: "NaN, -Infinity",
    NaN: null,
  });
  expect(() => parsePython("nan")).toThrow(Unreadable);
  expect(() => parsePython("[1NaN]")).toThrow(Unreadable);
  expect(() => parsePython("[\\NaN]")).toThrow(Unreadable);
});

test("integers beyond 2^53 become text, digit by digit, and those up to it stay numbers", () => {
  const raw = `[${MAX_SAFE_INTEGER}, ${-MAX_SAFE_INTEGER}, 9007199254740992, -9007199254740993, ${"9".repeat(400)}]`;
  expect(parsePython(raw)).toEqual([
    MAX_SAFE_INTEGER,
    -MAX_SAFE_INTEGER,
    "9007199254740992",
    "-9007199254740993",
    "9".repeat(400),
  ]);
  expect(parsePython("[1e+16, 12345678901234567890.5, 1.25e-05]")).toEqual([1e16, 1.2345678901234567e19, 1.25e-5]);
});

test("a member called __proto__ is only a member", () => {
  const read = parsePython('{"__proto__": {"polluted": NaN}, "constructor": 1}') as Stored;
  expect(Object.keys(read)).toEqual(["__proto__", "constructor"]);
  expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  expect(JSON.stringify(without(read, ["constructor"]))).toBe('{"__proto__":{"polluted":null}}');
});

test("values are read down to a hundred levels, and brackets in text do not count", () => {
  const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
  expect(JSON.stringify(parsePython(nested(100)))).toBe(nested(100));
  expect(() => parsePython(nested(101))).toThrow("100 levels");
  expect(() => parsePython(`{"a": ${nested(100)}}`)).toThrow("100 levels");
  expect(() => parsePython("[".repeat(1_000_000))).toThrow(Unreadable);
  const quoted = JSON.stringify(`\\"${"[{".repeat(200)}`);
  expect(parsePython(quoted)).toBe(`\\"${"[{".repeat(200)}`);
  expect(parsePython(`[${"[], ".repeat(200)}1]`)).toHaveLength(201);
});

test("large values are read, escapes and all, and bad ones are refused without a long search", () => {
  const long = `${"x".repeat(1_400_000)}${"币".repeat(100_000)}`;
  expect(parsePython(dumps({ price: Number.NaN, long }))).toEqual({ price: null, long });
  const started = performance.now();
  expect(() => parsePython(`{"a": NaN, "b": "${'\\"'.repeat(500_000)}`)).toThrow(Unreadable);
  expect(performance.now() - started).toBeLessThan(2_000);
});

test.each([
  [1.5, 1.5],
  [-0.25, -0.25],
  ["1000.50", 1000.5],
  [" 7 ", 7],
  ["4.57e-06", 4.57e-6],
  ["123456789012345678901234567890", 1.2345678901234568e29],
  ["nan", null],
  ["-Infinity", null],
  ["+inf", null],
  [Number.NaN, null],
  [Number.NEGATIVE_INFINITY, null],
  [null, null],
  [undefined, null],
])("%j is the number %j", (value, expected) => {
  expect(number(value)).toBe(expected);
});

test.each([["abc"], [""], [" "], [true], [[]], [[1]], [{}], ["1,5"], ["1_000"]])("%j is no number", (value) => {
  expect(() => number(value)).toThrow(Unreadable);
  expect(() => number(value)).toThrow("is not a number");
});

test("text is text, numbers and booleans become it, and nothing else does", () => {
  expect([text("a"), text(""), text(7), text(1.5), text(true), text(null), text(undefined)]).toEqual([
    "a",
    "",
    "7",
    "1.5",
    "true",
    null,
    null,
  ]);
  expect(() => text({})).toThrow("{} is not text");
  expect(() => text([`${"x".repeat(1000)}`])).toThrow(/^.{40} is not text$/);
});

test("objects are told from arrays and null", () => {
  expect([{}, { a: 1 }, [], null, "x", 1, undefined].map(isObject)).toEqual([
    true,
    true,
    false,
    false,
    false,
    false,
    false,
  ]);
});

/** Times of the years 1970 to 2200. */
const microseconds = fc.bigInt({ min: 0n, max: 7_258_118_400_000_000n });

/** Unix seconds of microseconds, by way of decimal text: as near as a float can be. */
function exact(us: bigint): number {
  return Number(`${us / 1_000_000n}.${String(us % 1_000_000n).padStart(6, "0")}`);
}

/** `datetime.isoformat()` of a UTC time. */
function isoformat(us: bigint, separator = "T"): string {
  const fraction = us % 1_000_000n;
  const second = new Date(Number((us - fraction) / 1_000n)).toISOString().slice(0, 19).replace("T", separator);
  return fraction === 0n ? second : `${second}.${String(fraction).padStart(6, "0")}`;
}

test("an ISO time is exact to the microsecond, with or without a fraction, a zone, or a T", () => {
  fc.assert(
    fc.property(microseconds, (us) => {
      for (const zone of ["+00:00", "Z", "z", "", "+0000", " +00:00"]) {
        expect(seconds(isoformat(us) + zone)).toBe(exact(us));
        expect(seconds(isoformat(us, " ") + zone)).toBe(exact(us));
      }
    }),
  );
});

test("times keep their order, also within a millisecond and where one has no fraction", () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 4_000_000_000_000_000n }),
      fc.integer({ min: 1, max: 2_000_000 }),
      (us, more) => {
        const [before, after] = [isoformat(us), isoformat(us + BigInt(more))].map((iso) => seconds(`${iso}+00:00`));
        expect(before).toBeLessThan(after as number);
      },
    ),
  );
});

test.each([
  ["2026-11-22T07:02:40+00:00", 1795330960],
  ["2026-11-22T07:02:40.123300+00:00", 1795330960.1233],
  ["2026-11-22T07:02:40.1233Z", 1795330960.1233],
  ["2026-11-22T07:02:40.123456789Z", 1795330960.1234567],
  ["2026-11-22T12:32:40.5+05:30", 1795330960.5],
  ["2026-11-22T12:32:40.5+0530", 1795330960.5],
  ["2026-11-21T23:02:40-08:00", 1795330960],
  ["2026-11-22 07:02:40", 1795330960],
  ["2026-11-22T07:02", 1795330920],
  ["2026-11-22", 1795305600],
  [" 2026-11-22T07:02:40Z ", 1795330960],
  ["1969-12-31T23:59:58.5+00:00", -1.5],
  ["0001-01-01T00:00:00", -62135596800],
  ["1795330954", 1795330954],
  ["1795330944.334456", 1795330944.334456],
  [1795330954, 1795330954],
  [1795330960123, 1795330960.123],
  [1795330960123456, 1795330960.123456],
  ["1795330960123456789", 1795330960.1234567],
  [1.7953309601e18, 1795330960.1],
  [0, 0],
  [-1.5, -1.5],
])("the time %j is %d", (value, expected) => {
  expect(seconds(value)).toBe(expected);
});

test.each([
  ["None"],
  ["not a date"],
  [""],
  [" "],
  ["2026-13-22T07:02:40"],
  ["2026-11-22T25:02:40"],
  ["2026-11-22T07:02:40+99:99"],
  ["2026-11-22T07:02:40 Europe/Berlin"],
  ["nan"],
  ["Infinity"],
  [Number.NaN],
  [Number.POSITIVE_INFINITY],
  [null],
  [undefined],
  [true],
  [[1795330954]],
  [{}],
])("%j is no time, which hides nothing else", (value) => {
  expect(seconds(value)).toBeNull();
});

test("the demo's clock and the gateway's agree", () => {
  expect([seconds(isoTime(1_795_330_960_000)), seconds(isoTime(1_795_330_960_123))]).toEqual([
    1795330960, 1795330960.123,
  ]);
});

test("values that are longer than any honest one are refused without being parsed, and so are texts", () => {
  const longest = JSON.stringify("x".repeat(2_097_150));
  const place = { key: "k", field: "f".repeat(1_000_000) };
  for (const read of [decode, decodeText]) {
    expect(read({ key: "k" }, longest, () => "read")).toBe("read");
    expect(() => read(place, `${longest} `, () => "read")).toThrow("it has more than 2097152 characters");
  }
  // The name of what cannot be read does not fill answers and logs either.
  expect(() => decode(place, "{oops", () => 1)).toThrow(
    expect.objectContaining({ details: { key: "k", field: "f".repeat(2_048) } }),
  );
});

test("what cannot be read is DATA_CORRUPT with the place, however long its name, and the cause", () => {
  const key = `tickers:${"x".repeat(1_000)}`;
  let caught: unknown;
  try {
    decode({ key, field: "BTC/USDT" }, "{oops", () => 1);
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(CacheError);
  const { code, details, message, cause, retryable } = caught as CacheError;
  expect({ code, details, retryable }).toEqual({
    code: "DATA_CORRUPT",
    details: { key, field: "BTC/USDT" },
    retryable: false,
  });
  expect(message).toMatch(/^the value at tickers:x{192} cannot be read: it is not JSON$/);
  expect(cause).toBeInstanceOf(Unreadable);
  expect((cause as Unreadable).cause).toBeInstanceOf(SyntaxError);
  expect(() => decode({ key: "accounts" }, "1", text)).not.toThrow();
  expect(() => decode({ key: "ohlcv:A:1m" }, "null", number)).not.toThrow();
  expect(() => decode({ key: "ohlcv:A:1m" }, '"x"', number)).toThrow('the value at ohlcv:A:1m cannot be read: "x"');
});

test("a mistake of ours is not taken for a corrupt value", () => {
  const bug = new TypeError("a bug");
  expect(() =>
    decode({ key: "accounts" }, "1", () => {
      throw bug;
    }),
  ).toThrow(bug);
});

test.each([["[]"], ["null"], ['"text"'], ["42"], ["true"], [""], ["NaN"]])("%s is not an object", (raw) => {
  expect(() => decodeObject({ key: "bot_status", field: "1" }, raw, (stored) => stored)).toThrow(CacheError);
});

test("leaving members out does not touch the original", () => {
  const stored: Stored = { a: 1, b: 2, c: 3 };
  expect(without(stored, ["a", "c", "missing"])).toEqual({ b: 2 });
  expect(stored).toEqual({ a: 1, b: 2, c: 3 });
});
