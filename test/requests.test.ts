import fc from "fast-check";
import { expect, test } from "vitest";
import { Requests } from "../src/server/requests.ts";
import { collectGarbage } from "./kit/garbage.ts";

const ticker = (symbol: string) => ({ exchange: "binance", symbol });

test("a request is read the same whether its text is known or not", () => {
  const operations = fc.constantFrom("get_ticker", "get_all_tickers", "ping", "stream_tickers", "no_such", 7);
  const requests = fc.record({
    request_id: fc.oneof(
      fc.constantFrom("a", "c1", 'q"', "\\", "", "ü", "a b"),
      fc.string(),
      fc.integer(),
      fc.double(),
    ),
    operation: operations,
    params: fc.constantFrom(ticker("A"), ticker('B"},'), { exchange: "binance" }, {}, null, { request_id: "x" }),
  });
  const warm = new Requests();
  fc.assert(
    fc.property(requests, (request) => {
      const text = JSON.stringify(request);
      warm.read(text);
      expect(warm.read(text)).toEqual(new Requests().read(text));
    }),
    { numRuns: 2_000 },
  );
});

test("ids are told apart, however much the rest is alike", () => {
  const requests = new Requests();
  const text = (id: string) => `{"request_id":${id},"operation":"get_ticker","params":${JSON.stringify(ticker("A"))}}`;
  const ids = ['"1"', '"2"', "3", '"with \\"quotes\\""', '"\\u0041"', `"${"x".repeat(128)}"`];
  const read = () => ids.map((id) => requests.read(text(id)));
  expect(read().map(({ id }) => id)).toEqual(ids.map((id) => JSON.parse(id)));
  expect(read()).toEqual(read());
  for (const wrong of ['""', `"${"x".repeat(129)}"`, '"a\nb"', "null", "{}"])
    expect(requests.read(text(wrong))).toHaveProperty("error");
});

test("of an id that stands there twice the last one counts, as JSON has it", () => {
  const requests = new Requests();
  const text = (first: string) => `{"request_id":"${first}","operation":"ping","request_id":"last"}`;
  for (const first of ["last", "first", "last", "other"])
    expect(requests.read(text(first))).toMatchObject({ id: "last", asked: { name: "ping" } });
});

test("a frame that is no JSON is not taken for one that was read before", () => {
  const requests = new Requests();
  expect(requests.read('{"request_id":"a\\",b","operation":"ping"}')).toMatchObject({ id: 'a",b' });
  expect(requests.read('{"request_id":"a",b","operation":"ping"}')).toMatchObject({ id: null });
});

test("what is known is bounded", () => {
  const requests = new Requests();
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let at = 0; at < 200_000; at++)
    requests.read(`{"request_id":"1","operation":"get_ticker","params":${JSON.stringify(ticker(`S${at}`))}}`);
  collectGarbage();
  // All of them would be some hundred megabytes.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(60_000_000);
});
