import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Doubts } from "../src/redis/doubts.ts";

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_500 }));
afterEach(() => void vi.useRealTimers());

/** Some who check, and how often each was told to. */
function checkers(count: number) {
  const told = Array.from({ length: count }, () => 0);
  const all = told.map((_, at) => ({
    stale() {
      told[at] = (told[at] ?? 0) + 1;
    },
  }));
  return { told, all, times: () => told.reduce((sum, one) => sum + one, 0) };
}

test("after a quiet time a check follows shortly, while writes go on it is on the full second, once for all of them", () => {
  const { told, all, times } = checkers(500);
  const doubts = new Doubts(() => all);
  doubts.written("key");
  vi.advanceTimersByTime(10);
  expect(times()).toBe(500);
  for (let at = 0; at < 40; at++) {
    doubts.written("key");
    for (const checker of all) doubts.add(checker);
    vi.advanceTimersByTime(5);
  }
  expect(times()).toBe(500);
  vi.advanceTimersByTime(290);
  // Each for what it was told, and for its key.
  expect(told.every((one) => one === 3)).toBe(true);
});

test("of very many a thousand check each second, each of them once for what was written before", () => {
  const { told, all, times } = checkers(3_200);
  const doubts = new Doubts(() => all);
  doubts.written("key");
  vi.advanceTimersByTime(10);
  expect(times()).toBe(1_000);
  doubts.written("key");
  for (let at = 0; times() < 3_200; at++) {
    const before = times();
    vi.advanceTimersByTime(1_000);
    expect(times() - before).toBeLessThanOrEqual(1_000);
    expect(at).toBeLessThan(10);
  }
  expect(told.every((one) => one === 1)).toBe(true);
  // The second write came while the round was under way, so there is one more round for it.
  vi.advanceTimersByTime(20_000);
  expect(told.every((one) => one === 2)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("all keys have their turn, and those who were told something are not crowded out", () => {
  const [first, second, third] = [checkers(2_000), checkers(2_000), checkers(2_000)];
  const byKey = new Map([["a", first.all] as const, ["b", second.all] as const]);
  const doubts = new Doubts((key) => byKey.get(key as "a" | "b") ?? []);
  for (const checker of third.all) doubts.add(checker);
  for (let at = 0; at < 20; at++) {
    for (const key of byKey.keys()) doubts.written(key);
    vi.advanceTimersByTime(1_000);
  }
  for (const { told } of [first, second, third]) expect(Math.min(...told)).toBeGreaterThan(0);
});

test("who has gone is told nothing", () => {
  const { all, times } = checkers(10);
  const doubts = new Doubts(() => all);
  doubts.written("key");
  for (const checker of all) doubts.add(checker);
  doubts.forget("key");
  for (const checker of all) doubts.delete(checker);
  vi.advanceTimersByTime(5_000);
  expect([times(), vi.getTimerCount()]).toEqual([0, 0]);
});
