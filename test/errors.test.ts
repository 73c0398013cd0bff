import { expect, test } from "vitest";
import { CacheError, closeCodes, errorCodes, isErrorCode, mayReconnect } from "../src/protocol/errors.ts";

test("an error says what it is, whether to try again, and keeps its cause to itself", () => {
  const cause = new Error("socket hang up");
  const error = new CacheError("CACHE_UNAVAILABLE", "Redis cannot be reached", { details: { key: "a" }, cause });
  expect(error).toBeInstanceOf(Error);
  expect([error.name, error.code, error.message, error.retryable, error.details, error.cause]).toEqual([
    "CacheError",
    "CACHE_UNAVAILABLE",
    "Redis cannot be reached",
    true,
    { key: "a" },
    cause,
  ]);
  const plain = new CacheError("DATA_CORRUPT", "bad");
  expect([plain.retryable, plain.details, "cause" in plain]).toEqual([false, {}, false]);
});

test("only what may pass by itself is worth another try", () => {
  const retryable = Object.entries(errorCodes).filter(([, { retryable }]) => retryable);
  expect(retryable.map(([code]) => code)).toEqual([
    "CACHE_UNAVAILABLE",
    "CACHE_TIMEOUT",
    "AUTH_UNAVAILABLE",
    "RATE_LIMITED",
    "SLOW_CONSUMER",
    "OVERLOADED",
    "DRAINING",
    "INTERNAL_ERROR",
    "CONNECTION_FAILED",
    "REQUEST_TIMEOUT",
  ]);
});

test("a code is one of the table, and nothing that every object has", () => {
  for (const code of Object.keys(errorCodes)) expect(isErrorCode(code)).toBe(true);
  for (const other of ["", "toString", "__proto__", "ticker_not_found", "NEW_IN_VERSION_2", 7, null, undefined, {}])
    expect(isErrorCode(other)).toBe(false);
});

test("a close code says whether to come back, also one that nobody knows", () => {
  for (const [code, { reconnect }] of Object.entries(closeCodes)) expect(mayReconnect(Number(code))).toBe(reconnect);
  const unknown = [1002, 1005, 1006, 1011, 3000, 4000, 4499, 4500, 4504, 4999, 5000];
  expect(unknown.filter(mayReconnect)).toEqual([1002, 1005, 1006, 1011, 3000, 4000, 4499, 5000]);
});
