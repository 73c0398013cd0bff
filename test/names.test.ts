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
  const parts = fc.array(part, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(parts, parts, (one, other) => {
      const same = one.length === other.length && one.every((text, at) => text === other[at]);
      expect(topicName(...one) === topicName(...other)).toBe(same);
    }),
    { numRuns: 2_000 },
  );
  expect(topicName("trades", "binance:BTC/USDT")).not.toBe(topicName("trades", "binance", "BTC/USDT"));
  expect(topicName("position", "1:2")).not.toBe(topicName("position", "1", "2"));
});

test("a topic says what it is about", () => {
  expect(topicName("ticker", "binance", "BTC/USDT")).toBe("ticker:binance:BTC/USDT");
  expect(topicName("ticker", "bitmex", "BTC/USD:BTC").split(":").map(decodeURIComponent)).toEqual([
    "ticker",
    "bitmex",
    "BTC/USD:BTC",
  ]);
});
