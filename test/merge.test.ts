import { expect, test } from "vitest";
import { Inbox } from "../src/client/inbox.ts";
import { merge } from "../src/client/index.ts";

/** A source that counts what was asked of it. */
class Source extends Inbox<number> {
  asked = 0;
  returned = 0;

  constructor(...values: number[]) {
    super(100);
    for (const value of values) this.put(value);
  }

  override next() {
    this.asked++;
    return super.next();
  }

  override return() {
    this.returned++;
    return super.return();
  }
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

test("values come with the names of their sources, in the order in which they come", async () => {
  const [a, b] = [new Source(), new Source()];
  const merged = merge({ a, b });
  const order = [];
  for (const [source, value] of [[b, 1] as const, [a, 2] as const, [b, 3] as const]) {
    const next = merged.next();
    source.put(value);
    order.push((await next).value);
  }
  expect(order).toEqual([
    ["b", 1],
    ["a", 2],
    ["b", 3],
  ]);
  await merged.return?.();
});

test("it ends when the last source has ended, and without sources at once", async () => {
  const [a, b] = [new Source(1), new Source(2, 3)];
  a.end();
  b.end();
  expect((await collect(merge({ a, b }))).toSorted()).toEqual([
    ["a", 1],
    ["b", 2],
    ["b", 3],
  ]);
  expect(await collect(merge({}))).toEqual([]);
});

test("a source that always has something does not keep another from its turn", async () => {
  const busy = new Source(...Array.from({ length: 50 }, (_, n) => n));
  const calm = new Source(100, 101, 102);
  const names = [];
  for await (const [name] of merge({ busy, calm })) {
    names.push(name);
    if (names.length === 6) break;
  }
  expect(names.filter((name) => name === "calm")).toHaveLength(3);
});

test("the next value of a source is asked for only when its last one was taken", async () => {
  const [a, b] = [new Source(1, 2, 3), new Source(1, 2, 3)];
  const merged = merge({ a, b });
  expect([a.asked, b.asked]).toEqual([0, 0]);
  await merged.next();
  expect([a.asked, b.asked]).toEqual([1, 1]);
  await merged.next();
  expect(a.asked + b.asked).toBe(3);
  await merged.return?.();
});

test("`break` ends all sources", async () => {
  const [a, b] = [new Source(1), new Source()];
  for await (const pair of merge({ a, b })) {
    expect(pair).toEqual(["a", 1]);
    break;
  }
  expect([a.returned, b.returned]).toEqual([1, 1]);
  expect(await b.next()).toEqual({ done: true, value: undefined });
});

test("the end of a block ends all sources, and nothing comes afterwards", async () => {
  const [a, b] = [new Source(1, 2), new Source(3)];
  const merged = merge({ a, b });
  {
    await using block = merged;
    await block.next();
  }
  expect([a.returned, b.returned]).toEqual([1, 1]);
  expect(await merged.next()).toEqual({ done: true, value: undefined });
});

test("an error in one source ends the others and is thrown", async () => {
  const [a, b] = [new Source(), new Source()];
  const loop = collect(merge({ a, b }));
  a.end({ error: new Error("broken") });
  await expect(loop).rejects.toThrow("broken");
  expect([a.returned, b.returned]).toEqual([0, 1]);
});

test("return() from outside ends every next() that waits", async () => {
  const source = new Source();
  const merged = merge({ source });
  const waiting = [merged.next(), merged.next()];
  await merged.return?.();
  expect(await Promise.all(waiting)).toEqual(Array(2).fill({ done: true, value: undefined }));
});

test("those who wait are served one after the other, also by a single source", async () => {
  const source = new Source();
  const merged = merge({ source });
  const waiting = [merged.next(), merged.next(), merged.next()];
  for (const value of [1, 2, 3]) source.put(value);
  expect((await Promise.all(waiting)).map(({ value }) => value?.[1])).toEqual([1, 2, 3]);
  expect(source.asked).toBe(3);
  await merged.return?.();
});

test("what came before an error is given away first; how the others end does not hide it", async () => {
  const [good, bad] = [new Source(1), new Source()];
  const stubborn = { next: () => new Promise<never>(() => {}), return: () => Promise.reject(new Error("hidden")) };
  const idle = {
    next: async () => ({ done: false as const, value: 2 }),
    return: () => Promise.reject(new Error("no")),
  };
  const merged = merge({ good, idle, stubborn, bad });
  expect((await merged.next()).value).toEqual(["good", 1]);
  bad.end({ error: new Error("broken") });
  expect((await merged.next()).value).toEqual(["idle", 2]);
  await expect(merged.next()).rejects.toThrow("broken");
  expect(await merged.next()).toEqual({ done: true, value: undefined });
  expect(good.returned).toBe(1);
});

test("a generator that waits for something does not hold up the end", async () => {
  let isCleanedUp = false;
  let go = () => {};
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  async function* slow() {
    try {
      yield 1;
      await gate;
      yield 2;
    } finally {
      isCleanedUp = true;
      // biome-ignore lint/correctness/noUnsafeFinally: what a source throws when it ends is nobody's business any more.
      throw new Error("too late");
    }
  }
  const source = new Source();
  const merged = merge({ slow: slow(), source });
  await merged.next();
  const waiting = merged.next();
  await merged.return?.();
  expect(await waiting).toEqual({ done: true, value: undefined });
  go();
  await expect.poll(() => isCleanedUp).toBe(true);
  expect(await merged.next()).toEqual({ done: true, value: undefined });
});

test("a source without a return() is just left", async () => {
  const bare = { next: async () => ({ done: false as const, value: 7 }) };
  for await (const pair of merge({ bare })) {
    expect(pair).toEqual(["bare", 7]);
    break;
  }
});
