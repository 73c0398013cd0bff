import fc from "fast-check";
import { expect, test } from "vitest";
import { Inbox } from "../src/client/inbox.ts";

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

test("what waits can be thrown away, by its key or by what it is", async () => {
  const inbox = new Inbox<number>(10);
  for (const value of [1, 2, 3, 4]) inbox.put(value, `key ${value}`);
  inbox.delete("key 1");
  inbox.delete("no such key");
  inbox.discard((value) => value % 2 === 0);
  expect(await drain(inbox)).toEqual([3]);
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
