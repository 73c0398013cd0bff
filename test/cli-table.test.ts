import { expect, test } from "vitest";
import { duration } from "../src/cli/duration.ts";
import { span } from "../src/cli/finding.ts";
import { nearest } from "../src/cli/nearest.ts";
import { cellText, cut, numberText, Table, textWidth, timeText } from "../src/cli/table.ts";
import { answerLines, View } from "../src/cli/view.ts";
import { Bot } from "../src/operations/bots.ts";
import { Ticker } from "../src/operations/tickers.ts";
import { printable } from "../src/protocol/printable.ts";

test.each([
  ["plain text ✓ 币 é", "plain text ✓ 币 é"],
  ["\u001b[2J", "\\u001b[2J"],
  ["a\r\n\tb", "a\\u000d\\u000a\\u0009b"],
  ["\u0085\u2028\u2029", "\\u0085\\u2028\\u2029"],
  ["\u202eabc\u200b\ufeff", "\\u202eabc\\u200b\\ufeff"],
  ["\ud800x", "\\ud800x"],
  ["\u{e0041}", "\\udb40\\udc41"],
])("%j is shown as %s", (text, shown) => {
  expect(printable(text)).toBe(shown);
  const json = JSON.stringify({ [text]: text });
  expect(JSON.parse(printable(json))).toEqual({ [text]: text });
});

test.each([
  [0, "0"],
  [1.5, "1.5"],
  [-37.25, "-37.25"],
  [4.57e-6, "0.00000457"],
  [1e-12, "0.000000000001"],
  [-2.5e-9, "-0.0000000025"],
  [1e21, "1000000000000000000000"],
  [123456789.125, "123456789.125"],
])("the number %d is shown as %s", (number, shown) => {
  expect(numberText(number)).toBe(shown);
  expect(Number(numberText(number))).toBe(number);
});

test.each([
  ["abc", 3],
  ["币安", 4],
  ["e\u0301", 1],
  ["🚀", 2],
  ["…", 1],
])("%s takes %i places", (text, width) => {
  expect(textWidth(text)).toBe(width);
});

test.each([
  ["abcdef", 6, "abcdef"],
  ["abcdef", 5, "abcd…"],
  ["币安币安", 5, "币安…"],
  ["币安币安", 4, "币…"],
  ["abc", 1, "…"],
  ["abc", 0, ""],
])("%s in %i places is %s", (text, width, shown) => {
  expect(cut(text, width)).toBe(shown);
  expect(textWidth(cut(text, width))).toBeLessThanOrEqual(width);
});

test("columns stay under one another, figures at their right", () => {
  const table = new Table([{ head: "name" }, { head: "n", isNumber: true }], 12);
  expect(
    table.lines([
      ["币", "1"],
      ["abc", "100"],
    ]),
  ).toEqual(["name    n", "币      1", "abc   100"]);
  expect(table.line(["much longer", "2"])).toBe("much longer…");
  expect(table.head).toBe("name       …");
});

test("no number is shown in part", () => {
  const columns = [{ head: "name" }, { head: "price", isNumber: true }, { head: "volume", isNumber: true }];
  const at = (width: number) => new Table(columns, width).lines([["abc", "12345.678", "1234"]]).at(-1);
  expect([24, 23, 22, 17, 16, 5].map(at)).toEqual([
    "abc   12345.678    1234",
    "abc   12345.678    1234",
    "abc   12345.678  …",
    "abc   …",
    "abc   …",
    "abc …",
  ]);
});

test("a cell is text, whatever it was", () => {
  expect([null, undefined, true, 1e-7, "x\n", { a: ["\u0085"] }].map(cellText)).toEqual([
    "–",
    "–",
    "true",
    "0.0000001",
    "x\\u000a",
    '{"a":["\\u0085"]}',
  ]);
  expect([1_795_330_944.3, null, 1e300].map(timeText)).toEqual(["2026-11-22 07:02:24", "–", "–"]);
});

test("a table has the members that are declared, those that may be missing only where they are there", () => {
  const ticker = { exchange: "binance", symbol: "A", price: 1, volume: null, timestamp: 0, more: "x" };
  const view = new View(Ticker, [ticker], undefined);
  expect(view.lines([ticker])).toEqual([
    "exchange  symbol  price  volume  timestamp (UTC)",
    "binance   A           1       –  1970-01-01 00:00:00",
  ]);
  expect(view.lines([{ ...ticker, skipped: 3 }])).toEqual([
    "binance   A           1       –  1970-01-01 00:00:00  3 skipped",
  ]);
  const bid = new View(Ticker, [{ ...ticker, bid: 2 }], undefined);
  expect(bid.lines([ticker])[0]).toContain("bid");
});

test("one thing is a list of its members, and of theirs, what is not declared among them", () => {
  const feeds = { one: { status: "running", symbols: ["A"] }, two: {} };
  expect(answerLines(Bot, { bot_id: "1", status: "ok", feeds, timestamp: 0, extra: 1 }, undefined)).toEqual([
    "bot_id             1",
    "status             ok",
    "feeds.one.status   running",
    'feeds.one.symbols  ["A"]',
    "feeds.two          {}",
    "timestamp (UTC)    1970-01-01 00:00:00",
    "extra              1",
  ]);
});

test.each([
  ["500ms", 500],
  ["10s", 10_000],
  ["1.5m", 90_000],
  ["1h", 3_600_000],
  ["2d", 172_800_000],
  ["7", 7_000],
])("%s are %i milliseconds", (text, ms) => {
  expect(duration(text, "for")).toBe(ms);
});

test.each([
  [0.25, "0.3 ms"],
  [42, "42 ms"],
  [1_500, "1.5 s"],
  [90_000, "1.5 min"],
  [7_200_000, "2.0 h"],
  [200_000_000, "2 d"],
])("%d ms are called %s", (ms, text) => {
  expect(span(ms)).toBe(text);
});

test.each([
  ["serv", "serve"],
  ["sevre", "serve"],
  ["get_ticker", "get-ticker"],
  ["getTicker", "get-ticker"],
  ["tickers", "stream-tickers"],
  ["x", undefined],
  ["", undefined],
  ["something else", undefined],
])("who types %j means %s", (typed, meant) => {
  expect(nearest(typed, ["serve", "demo", "get-ticker", "stream-tickers"])).toBe(meant);
});
