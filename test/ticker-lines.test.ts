import { expect, test } from "vitest";
import { priceText, TickerLines } from "../src/cli/ticker-lines.ts";

test.each([
  [97_321.456, "97321.46"],
  [1_000, "1000.00"],
  [235.4, "235.4000"],
  [1.0544821, "1.0545"],
  [0.5, "0.50000"],
  [0.00002, "0.000020000"],
  [2.043e-5, "0.000020430"],
  [4.57e-12, "0.0000000000045700"],
  [1e-200, `0.${"0".repeat(100)}`],
  [123_456_789.5, "123456789.50"],
  [-37.63, "-37.6300"],
  [0, "0.0000"],
  [null, "–"],
])("the price %s is shown as %s", (price, text) => {
  expect(priceText(price)).toBe(text);
});

test("the columns of tickers stay under one another, whatever comes", () => {
  const timestamp = Date.now() / 1000;
  const time = new Date(timestamp * 1000).toISOString().slice(11, 19);
  const lines = new TickerLines();
  const long = { exchange: "binance", symbol: "BTC/USD:BTC-261225", price: 0.00002, volume: null, timestamp };
  lines.fit(long);
  const short = { ...long, exchange: "okx", symbol: "A/B" };
  const shown = [
    lines.head,
    lines.line({ ...long, percentage: -0.5 }),
    lines.line({ ...long, price: 0.00003, percentage: 12.345 }),
    lines.line({ ...short, price: 97_321.45, percentage: 0 }),
    lines.line({ ...short, price: 97_320, percentage: null }),
    lines.line({ ...short, price: null, timestamp: null }),
    lines.line({ ...short, price: 97_320, timestamp: 1_700_000_000 }),
    lines.line({ ...short, symbol: "\u001b[2J\n", price: 1, timestamp: 1e300 }),
  ];
  expect(shown).toEqual([
    "time (UTC)  exchange  symbol                price                24 h",
    `  ${time}  binance   BTC/USD:BTC-261225        0.000020000   -0.50 %`,
    `  ${time}  binance   BTC/USD:BTC-261225  ▲     0.000030000  +12.35 %`,
    `  ${time}  okx       A/B                   97321.45          +0.00 %`,
    `  ${time}  okx       A/B                 ▼ 97320.00`,
    "         –  okx       A/B                       –",
    "2023-11-14  okx       A/B                   97320.00",
    "         –  okx       \\u001b[2J\\u000a           1.0000",
  ]);
});
