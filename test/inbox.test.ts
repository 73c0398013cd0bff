import fc from "fast-check";
import { expect, onTestFinished, test, vi } from "vitest";
import { Inbox } from "../src/client/inbox.ts";
import { collectGarbage } from "./kit/garbage.ts";

const over = { done: true, value: undefined };

async function drain<Value>(inbox: Inbox<Value>): Promise<Value[]> {
  const values: Value[] = [];
  while (inbox.size > 0) values.push((await inbox.next()).value as Value);
  return values;
}

test("values come out in the order in which they came in", async () => {
  const inbox = new Inbox<number>(10);
  for (const value of [1, 2, 3]) inbox.put(value);
  expect(inbox.size).toBe(3);
  expect(await drain(inbox)).toEqual([1, 2, 3]);
});

test("those who wait are served in their order", async () => {
  const inbox = new Inbox<number>(10);
  const waiting = [inbox.next(), inbox.next()];
  inbox.put(1);
  inbox.put(2);
  inbox.put(3);
  expect((await Promise.all(waiting)).map(({ value }) => value)).toEqual([1, 2]);
  expect(await drain(inbox)).toEqual([3]);
});

test("a value with a key takes the place of the one that waits under it, at the end of the queue", async () => {
  const inbox = new Inbox<string>(1);
  inbox.put("a1", "a");
  inbox.put("b1", "b");
  inbox.put("c1", "c");
  inbox.put("a2", "a");
  expect(await drain(inbox)).toEqual(["b1", "c1", "a2"]);
});

test("of values without a key only the newest stay when there are too many", async () => {
  const inbox = new Inbox<number>(2);
  for (const value of [1, 2, 3, 4]) inbox.put(value);
  expect(await drain(inbox)).toEqual([3, 4]);
});

test("what is made of a value when it is taken is what its taker gets, waiting or not", async () => {
  let taken = 0;
  const inbox = new Inbox<number>(10, (value) => value * 10 + ++taken);
  const waiting = inbox.next();
  inbox.put(1);
  inbox.put(2);
  expect(taken).toBe(1);
  expect((await waiting).value).toBe(11);
  expect(await drain(inbox)).toEqual([22]);
});

test("what waits can be thrown away by what it is, whoever was too slow for it", async () => {
  const inbox = new Inbox<number>(10);
  for (const value of [1, 2, 3, 4]) inbox.put(value, `key ${value}`);
  inbox.discard((value) => value % 2 === 0);
  expect(await drain(inbox)).toEqual([1, 3]);

  const waiting = inbox.next();
  for (const value of [5, 6, 7, 8]) inbox.put(value, "key");
  inbox.discard((value) => value % 2 === 0);
  expect([(await waiting).value, ...(await drain(inbox))]).toEqual([5, 7]);
});

/** Reads as `for await` does, and does what it is told with each value. */
async function read<Value>(inbox: Inbox<Value>, work: (value: Value) => unknown): Promise<void> {
  for (;;) {
    const { done, value } = await inbox.next();
    if (done) return;
    const doing = work(value);
    if (doing instanceof Promise) await doing;
  }
}

const turnOfTheLoop = () => new Promise((resolve) => setImmediate(resolve));

test("who keeps up is given every value of every turn, however many of them have the same key", async () => {
  const inbox = new Inbox<number>(1);
  const taken: number[] = [];
  const reading = read(inbox, (value) => taken.push(value));
  for (let turn = 0; turn < 10; turn++) {
    await turnOfTheLoop();
    for (let n = 0; n < 5_000; n++) inbox.put(turn * 5_000 + n, "key");
  }
  await turnOfTheLoop();
  inbox.end();
  await reading;
  expect(taken).toEqual(Array.from({ length: 50_000 }, (_, n) => n));
});

test("who was busy when values came is given the latest of each key, and no more than these wait", async () => {
  const inbox = new Inbox<number>(1);
  const taken: number[] = [];
  let go = () => {};
  const reading = read(inbox, (value) => {
    taken.push(value);
    return new Promise<void>((resolve) => {
      go = resolve;
    });
  });
  for (let turn = 0; turn < 10; turn++) {
    await turnOfTheLoop();
    for (let n = 0; n < 1_000; n++) inbox.put(turn * 1_000 + n, `key ${n % 3}`);
    // Of the first turn nobody knows yet whether there is time for all of it.
    expect(inbox.size).toBe(turn === 0 ? 999 : 3);
  }
  inbox.end();
  while (taken.length < 4) {
    go();
    await turnOfTheLoop();
  }
  go();
  await reading;
  expect(taken).toEqual([0, 9_997, 9_998, 9_999]);
});

test("who takes too long over the values of one turn is given the latest of each key of the rest", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const inbox = new Inbox<number>(1);
  const taken: number[] = [];
  const reading = read(inbox, (value) => {
    taken.push(value);
    vi.advanceTimersByTime(30);
  });
  await turnOfTheLoop();
  for (let n = 0; n < 100; n++) inbox.put(n, `key ${n % 2}`);
  await turnOfTheLoop();
  inbox.end();
  await reading;
  expect(taken).toEqual([0, 1, 2, 3, 98, 99]);
});

test("what its taker has no use for in the moment in which it would be taken is passed over", async () => {
  const taken: number[] = [];
  const give = (value: number) => {
    taken.push(value);
    return value;
  };
  // Of no use is what is no more than the last one.
  const inbox = new Inbox<number>(10, give, (value) => value > (taken.at(-1) ?? 0));
  const waiting = inbox.next();
  inbox.put(0, "zero");
  inbox.put(5, "five");
  for (const value of [4, 6, 6, 7]) inbox.put(value, "some");
  expect([(await waiting).value, ...(await drain(inbox))]).toEqual([5, 6, 7]);
  for (const value of [8, 9]) inbox.put(value, `key ${value}`);
  inbox.put(3, "key 8");
  inbox.put(10, "key 9");
  expect(await drain(inbox)).toEqual([10]);

  for (const value of [12, 11, 13]) inbox.put(value, `key ${value}`);
  expect([(await inbox.next()).value, (await inbox.next()).value]).toEqual([12, 13]);
  expect(inbox.isAwaited).toBe(false);
});

test("a long queue that never runs empty keeps nothing of what was taken", async () => {
  const inbox = new Inbox<{ n: number }>(10_000);
  for (let n = 0; n < 10_000; n++) inbox.put({ n });
  const taken: WeakRef<object>[] = [];
  for (let n = 10_000; n < 30_000; n++) {
    const { value } = await inbox.next();
    expect(value?.n).toBe(n - 10_000);
    if (value) taken.push(new WeakRef(value));
    inbox.put({ n });
  }
  expect(inbox.size).toBe(10_000);
  await vi.waitFor(() => {
    collectGarbage();
    expect(taken.filter((value) => value.deref()).length).toBeLessThan(10);
  });
});

test("after the end what waits can still be taken, and nothing more comes in", async () => {
  const inbox = new Inbox<number>(10);
  inbox.put(1);
  inbox.end();
  inbox.put(2);
  inbox.end({ error: new Error("too late to matter") });
  expect(await inbox.next()).toEqual({ done: false, value: 1 });
  expect(await inbox.next()).toEqual(over);
});

test("an error at the end is thrown once, after what waits", async () => {
  const inbox = new Inbox<number>(10);
  inbox.put(1);
  inbox.end({ error: new Error("broken") });
  expect(await inbox.next()).toEqual({ done: false, value: 1 });
  await expect(inbox.next()).rejects.toThrow("broken");
  expect(await inbox.next()).toEqual(over);
});

test("an error at the end goes to the first who waits; the others are just at the end", async () => {
  const inbox = new Inbox<number>(10);
  const waiting = [inbox.next(), inbox.next()];
  inbox.end({ error: undefined });
  expect(await Promise.allSettled(waiting)).toEqual([
    { status: "rejected", reason: undefined },
    { status: "fulfilled", value: over },
  ]);
});

test("return() ends it for those who wait and throws away what waits, an error too", async () => {
  const inbox = new Inbox<number>(10);
  const waiting = inbox.next();
  expect(await inbox.return()).toEqual(over);
  expect(await waiting).toEqual(over);

  const broken = new Inbox<number>(10);
  broken.put(1);
  broken.end({ error: new Error("nobody wants to know") });
  await broken.return();
  expect(await broken.next()).toEqual(over);
});

test("whatever is put and taken, of every key the last value comes out, and values keep their order", async () => {
  const step = fc.oneof(
    fc.record({ put: fc.constantFrom("a", "b", "c", "d") }),
    fc.constant("take" as const),
    fc.constant("wait" as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async (steps) => {
      const inbox = new Inbox<{ key: string; n: number }>(100);
      const results: Promise<IteratorResult<{ key: string; n: number }, undefined>>[] = [];
      const last = new Map<string, number>();
      for (const [n, one] of steps.entries()) {
        if (typeof one === "object") {
          inbox.put({ key: one.put, n }, one.put);
          last.set(one.put, n);
        } else if (one === "wait" || inbox.size > 0) results.push(inbox.next());
      }
      while (inbox.size > 0) results.push(inbox.next());
      inbox.end();
      const taken = (await Promise.all(results)).flatMap(({ value }) => (value ? [value] : []));
      const order = taken.map(({ n }) => n);
      expect(order).toEqual(order.toSorted((a, b) => a - b));
      expect(new Map(taken.map(({ key, n }) => [key, n]))).toEqual(last);
    }),
  );
});
