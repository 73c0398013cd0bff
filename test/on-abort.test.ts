import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { onAbort } from "../src/client/on-abort.ts";

test("all who wait are called once, and whoever no longer waits is not", () => {
  const abort = new AbortController();
  const called: number[] = [];
  const releases = [1, 2, 3].map((n) => onAbort(abort.signal, () => void called.push(n)));
  releases[1]?.();
  releases[1]?.();
  abort.abort();
  abort.abort();
  expect(called).toEqual([1, 3]);
});

test("a signal has one listener while anybody waits, and then none", () => {
  const { signal } = new AbortController();
  const listeners = () => getEventListeners(signal, "abort").length;
  const releases = Array.from({ length: 50 }, () => onAbort(signal, () => {}));
  expect(listeners()).toBe(1);
  for (const release of releases) release();
  expect(listeners()).toBe(0);
  const release = onAbort(signal, () => {});
  expect(listeners()).toBe(1);
  release();
  expect(listeners()).toBe(0);
});

test("without a signal nothing happens", () => {
  const release = onAbort(undefined, () => expect.fail("nobody aborted"));
  expect(release()).toBeUndefined();
});

test("who stops waiting while the others are called is called no more", () => {
  const abort = new AbortController();
  const called: string[] = [];
  const releases = [
    onAbort(abort.signal, () => {
      called.push("first");
      for (const release of releases) release();
    }),
    onAbort(abort.signal, () => void called.push("second")),
  ];
  abort.abort();
  expect(called).toEqual(["first"]);
});
