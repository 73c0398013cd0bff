import fc from "fast-check";
import { Type } from "typebox";
import { expect, test } from "vitest";
import { allowed, compileCheck } from "../src/operations/check.ts";
import { Exchange, Id, Limit, TradingSymbol } from "../src/operations/fields.ts";

const check = compileCheck({
  exchange: Exchange,
  user_id: Type.Optional(Id("the user")),
  symbols: Type.Optional(Type.Array(TradingSymbol, { minItems: 1, maxItems: 3 })),
  limit: Type.Optional(Limit),
  minutes: Type.Optional(Type.Number({ minimum: 0 })),
});
const takes = "it takes exchange, user_id, symbols, limit, minutes";
const name = "text of 1–256 characters";
const id = `${name} or an integer`;

test.each([
  [{ exchange: "binance" }],
  [{ exchange: "a".repeat(256) }],
  [{ exchange: "🚀".repeat(256) }],
  [{ exchange: "* ? [ ] \\ : \0 \r\n Ünï 币" }],
  [{ exchange: "__proto__", user_id: -3, symbols: ["constructor"], limit: 10_000, minutes: 0.5 }],
  [{ exchange: "a", user_id: Number.MAX_SAFE_INTEGER }],
])("%j is right", (params) => {
  expect(check(params)).toBeUndefined();
});

test.each<[unknown, string, string]>([
  [null, "params", "params must be an object"],
  [[], "params", "params must be an object"],
  [["binance"], "params", "params must be an object"],
  ["binance", "params", "params must be an object"],
  [7, "params", "params must be an object"],
  [{}, "params.exchange", `parameter exchange is missing: it must be ${name}`],
  [{ user_id: 1 }, "params.exchange", `parameter exchange is missing: it must be ${name}`],
  [{ exchange: "" }, "params.exchange", `parameter exchange must be ${name}`],
  [{ exchange: "a".repeat(257) }, "params.exchange", `parameter exchange must be ${name}`],
  [{ exchange: `e${"\u0301".repeat(1000)}` }, "params.exchange", `parameter exchange must be ${name}`],
  [{ exchange: 7 }, "params.exchange", `parameter exchange must be ${name}`],
  [{ exchange: null }, "params.exchange", `parameter exchange must be ${name}`],
  [{ exchange: undefined }, "params.exchange", `parameter exchange must be ${name}`],
  [{ exchange: ["binance"] }, "params.exchange", `parameter exchange must be ${name}`],
  [{ exchange: { length: 1 } }, "params.exchange", `parameter exchange must be ${name}`],
  [{ exchange: "BTC\ud800" }, "params.exchange", `parameter exchange must be ${name}`],
  [{ exchange: "\udc00" }, "params.exchange", `parameter exchange must be ${name}`],
  [{ exchange: "a", user_id: 1.5 }, "params.user_id", `parameter user_id must be ${id}`],
  [{ exchange: "a", user_id: 2 ** 53 }, "params.user_id", `parameter user_id must be ${id}`],
  [{ exchange: "a", user_id: 1e21 }, "params.user_id", `parameter user_id must be ${id}`],
  [{ exchange: "a", user_id: null }, "params.user_id", `parameter user_id must be ${id}`],
  [{ exchange: "a", user_id: true }, "params.user_id", `parameter user_id must be ${id}`],
  [{ exchange: "a", symbols: [] }, "params.symbols", `parameter symbols must be a list of 1–3 × ${name}`],
  [
    { exchange: "a", symbols: ["b", "c", "d", "e"] },
    "params.symbols",
    `parameter symbols must be a list of 1–3 × ${name}`,
  ],
  [{ exchange: "a", symbols: ["b", 7] }, "params.symbols.1", `parameter symbols must be a list of 1–3 × ${name}`],
  [{ exchange: "a", symbols: "b" }, "params.symbols", `parameter symbols must be a list of 1–3 × ${name}`],
  [{ exchange: "a", symbols: { 0: "b" } }, "params.symbols", `parameter symbols must be a list of 1–3 × ${name}`],
  [{ exchange: "a", limit: 0 }, "params.limit", "parameter limit must be an integer 1–10000"],
  [{ exchange: "a", limit: 10_001 }, "params.limit", "parameter limit must be an integer 1–10000"],
  [{ exchange: "a", limit: 1.5 }, "params.limit", "parameter limit must be an integer 1–10000"],
  [{ exchange: "a", limit: "5" }, "params.limit", "parameter limit must be an integer 1–10000"],
  [{ exchange: "a", minutes: -1 }, "params.minutes", "parameter minutes must be a number from 0"],
  [{ exchange: "a", minutes: Number.NaN }, "params.minutes", "parameter minutes must be a number from 0"],
  [{ exchange: "a", Symbol: "b" }, "params.Symbol", `unknown parameter "Symbol": ${takes}`],
  [{ exchnage: "a" }, "params.exchnage", `unknown parameter "exchnage": ${takes}`],
  [JSON.parse('{"exchange": "a", "__proto__": {}}'), "params.__proto__", `unknown parameter "__proto__": ${takes}`],
  [{ exchange: "a", constructor: 1 }, "params.constructor", `unknown parameter "constructor": ${takes}`],
  [{ exchange: "a", "": 1 }, "params.", `unknown parameter "": ${takes}`],
])("%j is answered with a sentence", (params, path, message) => {
  expect(check(params)).toEqual({ path, message });
});

test("an operation without parameters says so", () => {
  const none = compileCheck({});
  expect(none({})).toBeUndefined();
  expect(none({ a: 1 })).toEqual({ path: "params.a", message: 'unknown parameter "a": it takes none' });
});

test("a parameter is told from one whose name begins the same", () => {
  const both = compileCheck({
    limit: Type.Optional(Limit),
    limits: Type.Optional(Type.Array(Limit, { minItems: 1, maxItems: 3 })),
  });
  expect(both({ limit: 1, limits: "x" })).toEqual({
    path: "params.limits",
    message: "parameter limits must be a list of 1–3 × an integer 1–10000",
  });
});

test("what a schema allows is said in words", () => {
  const { Integer, Number: Float, String: Str, Array: List, Union } = Type;
  expect(
    [
      Integer(),
      Integer({ minimum: 1 }),
      Integer({ maximum: 9 }),
      Float({ minimum: 0, maximum: 1 }),
      Str({ minLength: 1, maxLength: 9 }),
      List(Integer(), { minItems: 1, maxItems: 9 }),
      Union([Str({ minLength: 1, maxLength: 2 }), Integer()]),
    ].map(allowed),
  ).toEqual([
    "an integer",
    "an integer from 1",
    "an integer up to 9",
    "a number 0–1",
    "text of 1–9 characters",
    "a list of 1–9 × an integer",
    "text of 1–2 characters or an integer",
  ]);
});

test("whatever comes is either right or named by its path, and never thrown at", () => {
  const close = fc.record(
    { exchange: fc.anything(), user_id: fc.anything(), symbols: fc.anything(), limit: fc.anything() },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.anything(), close), (params) => {
      const fault = check(params);
      if (fault) expect(fault.path).toMatch(/^params(\.|$)/);
      else expect((params as { exchange: unknown }).exchange).toEqual(expect.any(String));
    }),
    { numRuns: 1_000 },
  );
});
