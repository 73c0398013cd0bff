import fc from "fast-check";
import { type TSchema, Type } from "typebox";
import { operationsByWireName } from "../../src/operations/index.ts";
import { ownParams } from "../../src/operations/operation.ts";

/** Names that mean something to a glob, a protocol, an object, a terminal or a shell, and must mean nothing here. */
const specialNames = [
  ..."*?[]^\\:%{}'\"` \0\t\n",
  "[a-z]*",
  "*:*",
  "a:b",
  "%3A",
  "\r\nFLUSHALL\r\n",
  "\u001b[2J",
  "\u2028",
  "\ufeff",
  "e\u0301",
  "Ünï 币 🚀",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "null",
  "undefined",
  "NaN",
  "-1",
  "../..",
  "process:data:",
  "ticker_updates:",
];

/** Names that the recorded cache knows. */
const knownNames = [
  "binance",
  "kraken",
  "bitmex",
  "BTC/USDT",
  "ETH/USDT",
  "BTC/USD:BTC",
  "1",
  "2",
  "1m",
  "1h",
  "s1",
  "s2",
];

/** What JSON knows besides what anybody expects, and what it does not know. */
const oddTexts = [
  ..."null true false [] {} [[]] [{}] 0 -0 1 -1 1.5 1.0 1e0 1e400 -1e400 1e-400 4294967296 9007199254740992".split(" "),
  "-9007199254740993",
  "12345678901234567890123456789012345678901234567890",
  "NaN",
  "-Infinity",
  "undefined",
  "0x10",
  "01",
  "+1",
  "1.",
  "'text'",
  '""',
  '" "',
  '"\\u0000"',
  '"\\ud800"',
  '"\\udfff\\ud800"',
  '"\ud83d"',
  '"\n"',
  '"\\x41"',
  '"unclosed',
  '{"__proto__":{"exchange":"binance"}}',
  '{"toString":1,"valueOf":1,"length":-1}',
  '{"a":1,"a":2}',
  "[1,2,]",
  "/* */1",
];

const oddKeys = [
  "",
  "a",
  "__proto__",
  "constructor",
  "toString",
  "Exchange",
  "exchange ",
  "request_id",
  "operation",
  "params",
  "\0",
  "\ud800",
  "interval_ms",
  "symbols",
  "stream",
  "x".repeat(300),
];

const nested = fc
  .record({
    opened: fc.constantFrom("[", '{"a":'),
    depth: fc.constantFrom(2, 101, 1_000, 20_000),
    isClosed: fc.boolean(),
  })
  .map(
    ({ opened, depth, isClosed }) =>
      opened.repeat(depth) + (isClosed ? `1${(opened === "[" ? "]" : "}").repeat(depth)}` : ""),
  );

const long = fc
  .record({
    part: fc.constantFrom("x", "[", "\\u0000", "币", "*", "e\u0301", '\\"'),
    times: fc.constantFrom(129, 257, 5_000),
  })
  .map(({ part, times }) => `"${part.repeat(times)}"`);

/** Text of any characters, halves of them as well. */
const anyText = (minLength: number, maxLength: number) =>
  fc.array(fc.nat(0xffff), { minLength, maxLength }).map((codes) => String.fromCharCode(...codes));

const odd = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(...oddTexts) },
  { weight: 2, arbitrary: fc.integer().map(String) },
  { weight: 2, arbitrary: fc.double().map(String) },
  { weight: 2, arbitrary: anyText(0, 20).map((text) => JSON.stringify(text)) },
  { weight: 2, arbitrary: fc.json({ maxDepth: 3 }) },
  { weight: 1, arbitrary: long },
  { weight: 1, arbitrary: nested },
);

/** Something that a schema allows, mostly, as JSON. */
function fitting(schema: TSchema, names: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const { type, anyOf, minimum, maximum } = schema as {
    type?: string;
    anyOf?: TSchema[];
    minimum?: number;
    maximum?: number;
  };
  if (anyOf) return fc.oneof(...anyOf.map((one) => fitting(one, names)));
  const range = { min: minimum ?? -10, max: Math.min(maximum ?? 10, 2 ** 31) };
  if (type === "integer") return fc.integer({ min: Math.max(range.min, -(2 ** 31)), max: range.max }).map(String);
  if (type === "number") return fc.integer(range).map((whole) => String(whole / 2));
  if (type === "array") return fc.array(names, { minLength: 1, maxLength: 5 }).map((some) => JSON.stringify(some));
  return names.map((name) => JSON.stringify(name));
}

/** Members of an object, as JSON: names may come twice, and neither has to be right. */
type Members = readonly (readonly [name: string, value: string])[];

const objectOf = (members: Members) =>
  `{${members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;

interface Mutation {
  readonly kind: string;
  readonly at: number;
  readonly key: string;
  readonly value: string;
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom("drop", "replace", "add", "double", "rename"),
  at: fc.nat(8),
  key: fc.constantFrom(...oddKeys),
  value: odd,
});

function mutated(members: Members, { kind, at, key, value }: Mutation): Members {
  const place = members.length === 0 ? 0 : at % members.length;
  const member = members[place];
  if (kind === "add" || !member) return members.toSpliced(place, 0, [key, value]);
  if (kind === "drop") return members.toSpliced(place, 1);
  if (kind === "double") return [...members, [member[0], value]];
  return members.with(place, kind === "rename" ? [key, member[1]] : [member[0], value]);
}

/** Mostly none, sometimes one, seldom several. */
const mutations = (often: number): fc.Arbitrary<readonly Mutation[]> =>
  fc.oneof<fc.MaybeWeightedArbitrary<readonly Mutation[]>[]>(
    { weight: often, arbitrary: fc.constant<readonly Mutation[]>([]) },
    { weight: 2, arbitrary: mutation.map((one) => [one]) },
    { weight: 1, arbitrary: fc.array(mutation, { minLength: 2, maxLength: 4 }) },
  );

const requestId = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map(String) },
  { weight: 12, arbitrary: fc.integer({ min: 0 }).map((id) => `"q${id}"`) },
  { weight: 4, arbitrary: anyText(1, 130).map((id) => JSON.stringify(id)) },
  { weight: 1, arbitrary: fc.constantFrom('"twice"', "7", "0", "-0") },
  { weight: 2, arbitrary: odd },
);

/** What happens to the text of a frame on its way. */
const damage = fc.oneof(
  { weight: 20, arbitrary: fc.constant((text: string) => text) },
  {
    weight: 1,
    arbitrary: fc.nat(400).map((at) => (text: string) => text.slice(0, at)),
  },
  {
    weight: 1,
    arbitrary: fc.nat(400).map((at) => (text: string) => text.slice(0, at) + text.slice(at + 1)),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ at: fc.nat(400), sign: fc.constantFrom(...'"{}[],:\\\0\n\u001b\u007f\ufeff\u2028 /-eN') })
      .map(
        ({ at, sign }) =>
          (text: string) =>
            text.slice(0, at) + sign + text.slice(at),
      ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<(text: string) => string>(
      (text) => `\ufeff${text}`,
      (text) => `${text}\0`,
      (text) => `${text}${text}`,
      (text) => `[${text}]`,
      (text) => JSON.stringify(text),
      (text) => ` \r\n\t${text} \n`,
      (text) => text.replaceAll('"', "'"),
      (text) => text.replace(/[a-z]/g, (sign) => `\\u00${sign.charCodeAt(0).toString(16)}`),
      () => "",
    ),
  },
);

/** As large as a frame may be. */
const huge = (bytes: number) =>
  fc
    .record({
      build: fc.constantFrom<(size: number) => string>(
        (size) => `{"request_id":"${"x".repeat(size)}","operation":"ping"}`,
        (size) => `{"request_id":1,"operation":"${"x".repeat(size)}"}`,
        (size) => `{"request_id":1,"operation":"ping","more":"${"\\u0000".repeat(size / 6)}"}`,
        (size) => `{"request_id":1,"operation":"ping","more":${"[".repeat(size / 2)}${"]".repeat(size / 2)}}`,
        (size) => `{"request_id":1,"operation":"get_bots","params":{"${"x".repeat(size)}":1}}`,
        (size) =>
          `{"request_id":1,"operation":"get_ticker","params":{"exchange":"${"币".repeat(size / 3)}","symbol":"x"}}`,
        (size) =>
          `{"request_id":1,"operation":"get_ticker","params":{"symbol":"x","exchange":${"[".repeat(size / 2)}${"]".repeat(size / 2)}}}`,
        (size) =>
          `{"request_id":1,"operation":"stream_tickers","params":{"exchange":"x","symbols":[${'"",'.repeat(size / 3 - 1)}""]}}`,
        (size) =>
          `{"request_id":1,"operation":"get_ticker","params":{${Array.from({ length: size / 16 }, (_, at) => `"p${at}":1`).join(",")}}}`,
        (size) => `{"request_id":1,"operation":"ping"${" ".repeat(size)}}`,
        (size) => "9".repeat(size),
      ),
      short: fc.nat(3),
    })
    .map(({ build, short }) => build(bytes - 200 - short));

/** A text that says what it is without saying all of it. */
export class FrameText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  [fc.toStringMethod](): string {
    return this.text.length < 600
      ? JSON.stringify(this.text)
      : `${JSON.stringify(this.text.slice(0, 500))}… (${this.text.length})`;
  }
}

/**
 * Frames that a client might send, right ones and wrong ones: requests of every operation as it is declared, made wrong
 * at every level, from the text to the values of their parameters.
 * @param names further names that it asks for
 */
export function frames(names: readonly string[], maxFrameBytes: number): fc.Arbitrary<FrameText> {
  const name = fc.oneof(
    { weight: 10, arbitrary: fc.constantFrom(...knownNames) },
    { weight: 4, arbitrary: fc.constantFrom(...specialNames) },
    { weight: 4, arbitrary: fc.constantFrom(...names) },
    { weight: 2, arbitrary: anyText(0, 20) },
  );
  const request = fc.constantFrom(...operationsByWireName).chain(([operation, declared]) => {
    const own = ownParams(declared).map(([param, schema]) => {
      const member = fitting(schema, name).map((value) => [param, value] as const);
      return Type.IsOptional(schema) ? fc.option(member) : member;
    });
    return fc
      .record({
        id: requestId,
        params: fc.tuple(...own),
        inParams: mutations(6),
        inEnvelope: mutations(30),
        damage,
      })
      .map(({ id, params, inParams, inEnvelope, damage }) => {
        const body = objectOf(
          inParams.reduce<Members>(
            mutated,
            params.filter((member) => member !== null),
          ),
        );
        const envelope: Members = [
          ["request_id", id],
          ["operation", JSON.stringify(operation)],
          ["params", body],
        ];
        return damage(objectOf(inEnvelope.reduce(mutated, envelope)));
      });
  });
  return (
    fc
      .oneof(
        { weight: 1_000, arbitrary: request },
        { weight: 20, arbitrary: odd },
        { weight: 1, arbitrary: huge(maxFrameBytes) },
      )
      // As it will arrive: half a character has no bytes of its own.
      .map(
        (text) =>
          new FrameText(
            Buffer.from(text)
              .subarray(0, maxFrameBytes - 4)
              .toString(),
          ),
      )
  );
}
