import { expect, test } from "vitest";
import { identityAccounts, mappedAccounts } from "../src/operations/account-map.ts";

const accounts = mappedAccounts({ "1001": { binance: 12, kraken: "13" }, "1002": { binance: 14 }, "1003": {} });

test("a map gives the accounts of a user, all of them or the one on an exchange", () => {
  expect(accounts.of("1001")).toEqual([
    { exchange: "binance", exId: "12" },
    { exchange: "kraken", exId: "13" },
  ]);
  expect(accounts.of("1001", "kraken")).toEqual([{ exchange: "kraken", exId: "13" }]);
  expect(accounts.of("1002")).toEqual([{ exchange: "binance", exId: "14" }]);
});

test.each([
  ["1002", "kraken", "user 1002 has no account on kraken"],
  ["1003", undefined, "user 1003 has no account"],
  ["9", undefined, "user 9 has no account"],
  ["12", undefined, "user 12 has no account"],
  ["1001", "12", "user 1001 has no account on 12"],
  ["1001", "", "user 1001 has no account on "],
  ["__proto__", undefined, "user __proto__ has no account"],
  ["constructor", undefined, "user constructor has no account"],
  ["1001", "constructor", "user 1001 has no account on constructor"],
])("user %j on %j is nobody that the map knows", (user, exchange, message) => {
  expect(() => accounts.of(user, exchange)).toThrow(expect.objectContaining({ code: "ACCOUNT_NOT_FOUND", message }));
});

test("a user or an exchange may be called anything", () => {
  const odd = mappedAccounts(JSON.parse('{"__proto__": {"constructor": 1, "__proto__": "2"}, "": {"": 3}}'));
  expect(odd.of("__proto__")).toEqual([
    { exchange: "constructor", exId: "1" },
    { exchange: "__proto__", exId: "2" },
  ]);
  expect(odd.of("__proto__", "__proto__")).toEqual([{ exchange: "__proto__", exId: "2" }]);
  expect(odd.of("", "")).toEqual([{ exchange: "", exId: "3" }]);
});

test.each([
  ["7", undefined, { exchange: null, exId: "7" }],
  ["abc", undefined, { exchange: null, exId: "abc" }],
  ["1001", "12", { exchange: "12", exId: "12" }],
  ["7", "binance", { exchange: "binance", exId: "7" }],
  ["7", "12a", { exchange: "12a", exId: "7" }],
  ["7", "-1", { exchange: "-1", exId: "7" }],
])("without a map, user %j on %j is account %j", (user, exchange, account) => {
  expect(identityAccounts.of(user, exchange)).toEqual([account]);
});
