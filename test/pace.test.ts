import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Pace } from "../src/client/pace.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function paced(): { pace: Pace<number>; passed: [string, number][] } {
  const passed: [string, number][] = [];
  return { pace: new Pace<number>(100, (value, key) => passed.push([key, value])), passed };
}

test("the first value passes at once, the latest of every key at the end of the interval, in the order they came", () => {
  const { pace, passed } = paced();
  pace.put(1, "a");
  expect(passed).toEqual([["a", 1]]);
  pace.put(2, "b");
  pace.put(3, "a");
  pace.put(4, "b");
  vi.advanceTimersByTime(99);
  expect(passed).toHaveLength(1);
  expect(pace.size).toBe(2);
  vi.advanceTimersByTime(1);
  expect(passed.slice(1)).toEqual([
    ["a", 3],
    ["b", 4],
  ]);
  expect(pace.size).toBe(0);
});

test("after values passed at the end of an interval the next one begins; after a quiet one values pass at once", () => {
  const { pace, passed } = paced();
  pace.put(1, "a");
  pace.put(2, "a");
  vi.advanceTimersByTime(100);
  pace.put(3, "a");
  expect(passed).toHaveLength(2);
  vi.advanceTimersByTime(100);
  expect(passed).toHaveLength(3);
  vi.advanceTimersByTime(100);
  pace.put(4, "a");
  expect(passed).toHaveLength(4);
});

test("what is held can be thrown away, by what it is; at the end the rest passes at once", () => {
  const { pace, passed } = paced();
  pace.put(0, "first");
  for (const value of [1, 2, 3, 4]) pace.put(value, `key ${value}`);
  pace.discard((value) => value % 2 === 0);
  vi.advanceTimersByTime(100);
  expect(passed.slice(1)).toEqual([
    ["key 1", 1],
    ["key 3", 3],
  ]);
  pace.put(5, "a");
  pace.end();
  expect(passed.slice(3)).toEqual([["a", 5]]);
  vi.advanceTimersByTime(1_000);
  expect(passed).toHaveLength(4);
  expect(vi.getTimerCount()).toBe(0);
});
