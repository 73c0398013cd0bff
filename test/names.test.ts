import fc from "fast-check";
import { expect, expectTypeOf, test } from "vitest";
import { operations, operationsByWireName } from "../src/operations/index.ts";
import { topicName } from "../src/operations/operation.ts";
import { methodName, wireName } from "../src/protocol/names.ts";

test("every operation and every parameter has one name on the wire and one in the client", () => {
  const methods = Object.keys(operations);
  const wires = methods.map(wireName);
  expect(wires).toEqual([...operationsByWireName.keys()]);
  expect(wires.map(methodName)).toEqual(methods);
  for (const operation of operationsByWireName.values())
    for (const name of Object.keys(operation.params)) expect(wireName(methodName(name))).toBe(name);
  for (const name of wires) expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/);
});

test("the compiler knows the names as well", () => {
  const wire = wireName("getLatestOhlcvBars");
  const method = methodName("get_latest_ohlcv_bars");
  expectTypeOf(wire).toEqualTypeOf<"get_latest_ohlcv_bars">();
  expectTypeOf(method).toEqualTypeOf<"getLatestOhlcvBars">();
  expect([wire, method]).toEqual(["get_latest_ohlcv_bars", "getLatestOhlcvBars"]);
  expect([wireName("ping"), methodName("ping")]).toEqual(["ping", "ping"]);
});

test("streams are live queries, everything else is answered once, and no two updates share a type", () => {
  const types: string[] = [];
  for (const [wire, operation] of operationsByWireName) {
    expect(operation.kind).toBe(wire.startsWith("stream_") ? "live" : "query");
    if (operation.kind === "live") types.push(operation.type);
  }
  expect(new Set(types).size).toBe(types.length);
});

test("no two topics have the same name, whatever is asked for", () => {
  const part = fc.oneof(fc.string(), fc.constantFrom("binance", ":", "%", "%3A", "a:b", "%253A", ""));
  // Topics of one kind have as many parts.
  const two = fc
    .integer({ min: 1, max: 4 })
    .chain((length) => fc.tuple(...[1, 2].map(() => fc.array(part, { minLength: length, maxLength: length }))));
  fc.assert(
    fc.property(two, ([one = [], other = []]) => {
      const same = one.every((text, at) => text === other[at]);
      expect(topicName("kind", ...one) === topicName("kind", ...other)).toBe(same);
    }),
    { numRuns: 2_000 },
  );
  expect(topicName("ticker", "binance:BTC/USDT", "X")).not.toBe(topicName("ticker", "binance", "BTC/USDT:X"));
  expect(topicName("position", "1:2", "3")).not.toBe(topicName("position", "1", "2:3"));
});

test("a topic says what it is about", () => {
  expect(topicName("ticker", "binance", "BTC/USDT")).toBe("ticker:binance:BTC/USDT");
  expect(topicName("ticker", "bitmex", "BTC/USD:BTC")).toBe("ticker:bitmex:BTC/USD:BTC");
  expect(topicName("ticker", "a:b%", "c")).toBe("ticker:a%3Ab%25:c");
});
