import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Hints } from "../src/redis/hints.ts";

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_500 }));
afterEach(() => void vi.useRealTimers());

/** So many who check one key, and how often each was told. */
function many(count: number) {
  const told = Array.from({ length: count }, () => 0);
  const checkers = told.map((_, at) => ({
    stale() {
      told[at] = (told[at] ?? 0) + 1;
    },
  }));
  const hints = new Hints(() => checkers);
  return { told, hints, times: () => told.reduce((sum, one) => sum + one, 0) };
}

test("after a quiet time all are told shortly after the write, and together on the full second while writes go on", () => {
  const { told, hints, times } = many(500);
  hints.written("key");
  vi.advanceTimersByTime(10);
  expect(times()).toBe(500);
  for (let at = 0; at < 40; at++) {
    hints.written("key");
    vi.advanceTimersByTime(5);
  }
  expect(times()).toBe(500);
  vi.advanceTimersByTime(290);
  // Once at first, and once for all writes until the full second.
  expect(told.every((one) => one === 2)).toBe(true);
});

test("of very many a thousand are told each second, each of them once for what was written before", () => {
  const { told, hints, times } = many(3_500);
  hints.written("key");
  vi.advanceTimersByTime(10);
  expect(times()).toBe(1_000);
  hints.written("key");
  for (const expected of [2_000, 3_000, 3_500]) {
    vi.advanceTimersByTime(1_000);
    expect(times()).toBe(expected);
  }
  expect(told.every((one) => one === 1)).toBe(true);
  // The second write came while the round was under way, so there is one more round for it.
  vi.advanceTimersByTime(10_000);
  expect(told.every((one) => one === 2)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("whom nobody hears any more is told nothing", () => {
  const { hints, times } = many(10);
  hints.written("key");
  hints.forget("key");
  vi.advanceTimersByTime(5_000);
  expect([times(), vi.getTimerCount()]).toEqual([0, 0]);
});
