import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { identityAccounts } from "../src/operations/account-map.ts";
import {
  type Change,
  difference,
  endOf,
  events,
  growth,
  items,
  oneValue,
  orNothing,
  readable,
  type Tail,
} from "../src/operations/changes.ts";
import type { Reading } from "../src/operations/reading.ts";
import { CacheError } from "../src/protocol/errors.ts";
import { Redis } from "../src/redis/redis.ts";
import { decodeObject } from "../src/redis/values.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";

let server: TestRedis;
let redis: Redis;
let reading: Reading;
const corrupt: CacheError[] = [];
let now = 1_000;

beforeAll(async () => {
  // One of the tests has the gateway refused on purpose.
  server = await startRedis({ allowRefused: true });
  const address = { url: server.gatewayUrl };
  redis = new Redis({ address, timeoutMs: 2_000, maxBackoffMs: 100 }, { up() {}, down() {} });
  await redis.start();
  reading = {
    cache: redis.cache,
    accounts: identityAccounts,
    staleAfter: 300,
    now: () => now,
    corrupt: (error) => void corrupt.push(error),
  };
});

beforeEach(async () => {
  await server.admin.flushAll();
  corrupt.length = 0;
});

afterAll(async () => {
  await redis.close();
  await server[Symbol.asyncDispose]();
});

const { lRange, del, rPush, lTrim, hSet, hDel } = {
  lRange: (key: string) => server.admin.lRange(key, 0, -1),
  del: (key: string) => server.admin.del(key),
  rPush: (key: string, entries: string[]) => server.admin.rPush(key, entries),
  lTrim: (key: string, start: number, stop: number) => server.admin.lTrim(key, start, stop),
  hSet: (key: string, field: string, value: string) => server.admin.hSet(key, field, value),
  hDel: (key: string, field: string) => server.admin.hDel(key, field),
};

/** `count` entries that never come twice. */
const fresh = (() => {
  let next = 0;
  return (count: number) => Array.from({ length: count }, () => `entry ${next++}`);
})();

const texts = fc.dictionary(fc.string({ maxLength: 3 }), fc.constantFrom("1", "2", "3"), { maxKeys: 12 });
const asMap = (object: Record<string, string>) => new Map(Object.entries(object));

test("the difference of two pictures is what is new, what is different and what is gone", () => {
  fc.assert(
    fc.property(texts.map(asMap), texts.map(asMap), (before, after) => {
      const picture = new Map(before);
      const { changed, gone } = difference(before, after);
      for (const id of changed) expect(before.get(id)).not.toBe(after.get(id));
      for (const id of gone) expect(picture.delete(id)).toBe(true);
      for (const id of changed) picture.set(id, after.get(id) as string);
      expect(picture).toEqual(after);
    }),
    { numRuns: 500 },
  );
  expect(difference(new Map([["a", "1"]]), new Map([["a", "1"]]))).toEqual({ changed: [], gone: [] });
});

test("the end of what is known is found however much was taken from the front and put at the end", () => {
  const lists = fc.record({ known: fc.nat(40), taken: fc.nat(60), added: fc.nat(40) });
  fc.assert(
    fc.property(lists, ({ known, taken, added }) => {
      const before = fresh(known);
      const window = [...before.slice(taken), ...fresh(added)];
      expect(endOf(before.slice(-16), window)).toBe(taken < known ? known - taken : -1);
    }),
    { numRuns: 500 },
  );
});

test("equal entries are taken for known ones rather than told twice", () => {
  expect(endOf(["a", "a"], ["a", "a", "a"])).toBe(3);
  expect(endOf(["x", "a"], ["x", "a", "a"])).toBe(2);
  expect(endOf(["x", "a"], ["a", "b"])).toBe(1);
  expect(endOf(["x", "a"], ["b", "a"])).toBe(-1);
  expect([endOf([], ["a"]), endOf(["a"], []), endOf([], [])]).toEqual([-1, -1, -1]);
});

/** What can happen to a list between two looks, told by how many entries it concerns. */
const step = fc.oneof(
  fc.record({ act: fc.constantFrom("push", "take", "keep"), count: fc.integer({ min: 1, max: 30 }) }),
  fc.constantFrom({ act: "drain", count: 0 }, { act: "look", count: 0 }),
);

async function happen(key: string, { act, count }: { act: string; count: number }): Promise<void> {
  if (act === "push") await rPush(key, fresh(count));
  else if (act === "take") await server.admin.lPopCount(key, count);
  else if (act === "keep") await lTrim(key, -count, -1);
  else if (act === "drain") await del(key);
}

test("every entry that was there at a look is found once, however the list was trimmed, popped and drained", async () => {
  const key = "trades:growth:ANY";
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      await del(key);
      let tail: Tail | undefined;
      const seen = new Set<string>();
      for (const one of [...steps, { act: "look", count: 0 }]) {
        await happen(key, one);
        if (one.act !== "look") continue;
        const list = await lRange(key);
        const read = await growth(redis.cache, key, tail);
        expect(read.added).toEqual(list.filter((entry) => !seen.has(entry)));
        expect(read.tail).toEqual({ length: list.length, last: read.tail.last });
        for (const entry of list) seen.add(entry);
        tail = read.tail;
      }
    }),
    { numRuns: 60 },
  );
});

test("a list that only grew is read from its known end, in one command, however much was added", async () => {
  const key = "trades:growth:GROWN";
  await rPush(key, fresh(50));
  const first = await growth(redis.cache, key);
  expect(first).toMatchObject({ restarted: true, tail: { length: 50 } });
  const added = fresh(12_000);
  await rPush(key, added);
  const before = await server.stats();
  const next = await growth(redis.cache, key, first.tail);
  const after = await server.stats();
  expect(next).toMatchObject({ restarted: false, tail: { length: 12_050, last: added.slice(-16) } });
  expect(next.added).toEqual(added);
  expect((after.get("lrange") ?? 0) - (before.get("lrange") ?? 0)).toBe(1);
});

test("the first look at a long list takes its last thousand entries", async () => {
  const key = "trades:growth:FIRST";
  const entries = fresh(1_500);
  await rPush(key, entries);
  const first = await growth(redis.cache, key);
  expect(first.added).toEqual(entries.slice(-1_000));
  expect(first.tail.length).toBe(1_500);
  await rPush(key, ["one more"]);
  expect((await growth(redis.cache, key, first.tail)).added).toEqual(["one more"]);
});

test("what was added while a long list was trimmed is found in ever larger windows, up to ten thousand", async () => {
  const key = "trades:growth:TRIMMED";
  await rPush(key, fresh(5_000));
  const { tail } = await growth(redis.cache, key);
  const added = fresh(4_000);
  await rPush(key, added);
  await lTrim(key, -4_005, -1);
  const next = await growth(redis.cache, key, tail);
  expect(next.restarted).toBe(false);
  expect(next.added).toEqual(added);
  const flood = fresh(12_000);
  await rPush(key, flood);
  await lTrim(key, -11_000, -1);
  const last = await growth(redis.cache, key, next.tail);
  expect(last.restarted).toBe(true);
  expect(last.added).toEqual(flood.slice(-10_000));
  expect(last.tail.length).toBe(11_000);
});

test("a list that was replaced is told anew, as long as before or not", async () => {
  const key = "trades:growth:REPLACED";
  await rPush(key, fresh(20));
  let { tail } = await growth(redis.cache, key);
  for (const size of [20, 30, 5]) {
    const entries = fresh(size);
    await del(key);
    await rPush(key, entries);
    const next = await growth(redis.cache, key, tail);
    expect(next).toMatchObject({ added: entries, restarted: true, tail: { length: size } });
    tail = next.tail;
  }
  await del(key);
  expect(await growth(redis.cache, key, tail)).toEqual({ tail: { length: 0, last: [] }, added: [], restarted: true });
});

/** A hash of `{"n": …}` objects, one item per field. */
function numbers(key: string) {
  return items({
    watch: { keys: [key] },
    texts: ({ cache }) => cache.hgetall(key),
    item: (field, text) => decodeObject({ key, field }, text, ({ n }) => ({ n })),
    message(channel, text) {
      const n = Number(text);
      return Number.isNaN(n) ? undefined : { id: channel, value: { n } };
    },
  });
}

const byId = (changes: readonly Change[]) => Object.fromEntries(changes.map(({ id, value }) => [id, value ?? "gone"]));

test("items are all told at first, then only those that differ, and those that are gone", async () => {
  const key = "tickers:items";
  await hSet(key, "a", '{"n": 1}');
  await hSet(key, "b", '{"n": 2}');
  const feed = numbers(key);
  expect(byId((await feed.look(reading)).changes)).toEqual({ a: { n: 1 }, b: { n: 2 } });
  expect((await feed.look(reading)).changes).toEqual([]);
  await hSet(key, "b", '{"n": 3}');
  await hSet(key, "__proto__", '{"n": 4}');
  expect(await feed.look(reading)).toEqual({
    changes: [
      { id: "b", value: { n: 3 } },
      { id: "__proto__", value: { n: 4 } },
    ],
    doubt: false,
  });
  await hDel(key, "a");
  expect((await feed.look(reading)).changes).toEqual([{ id: "a" }]);
  await del(key);
  expect(byId((await feed.look(reading)).changes)).toEqual({ b: "gone", ["__proto__"]: "gone" });
  expect(corrupt).toEqual([]);
});

test("an item that cannot be read is reported once and gone until it is mended", async () => {
  const key = "tickers:mended";
  await hSet(key, "a", '{"n": 1}');
  await hSet(key, "never", "{");
  const feed = numbers(key);
  expect(byId((await feed.look(reading)).changes)).toEqual({ a: { n: 1 } });
  await hSet(key, "a", "oops");
  expect((await feed.look(reading)).changes).toEqual([{ id: "a" }]);
  expect((await feed.look(reading)).changes).toEqual([]);
  expect(corrupt.map(({ code, details }) => [code, details])).toEqual([
    ["DATA_CORRUPT", { key, field: "never" }],
    ["DATA_CORRUPT", { key, field: "a" }],
  ]);
  await hSet(key, "a", '{"n": 1}');
  expect((await feed.look(reading)).changes).toEqual([{ id: "a", value: { n: 1 } }]);
  await hSet(key, "a", "oops again");
  await feed.look(reading);
  await hDel(key, "a");
  await hDel(key, "never");
  expect((await feed.look(reading)).changes).toEqual([]);
});

test("a message is told at once, its repetition is silence, and one that cannot be trusted asks for a look", async () => {
  const key = "tickers:heard";
  const feed = numbers(key);
  expect((await feed.look(reading)).changes).toEqual([]);
  expect(feed.hear?.("a", "1")).toEqual([{ id: "a", value: { n: 1 } }]);
  expect(feed.hear?.("a", "1")).toEqual([]);
  expect(feed.hear?.("a", "rubbish")).toBeUndefined();
  // The hash has the last word: nothing was ever written there.
  expect((await feed.look(reading)).changes).toEqual([{ id: "a" }]);
});

test("a message that comes while a look is under way wins over what the look finds, and leaves a doubt", async () => {
  const key = "tickers:raced";
  await hSet(key, "a", '{"n": 1}');
  await hSet(key, "b", '{"n": 1}');
  const feed = numbers(key);
  const looking = feed.look(reading);
  expect(feed.hear?.("a", "2")).toEqual([{ id: "a", value: { n: 2 } }]);
  const { changes, doubt } = await looking;
  expect([byId(changes), doubt]).toEqual([{ b: { n: 1 } }, true]);
  expect(byId((await feed.look(reading)).changes)).toEqual({ a: { n: 1 } });
});

test("items that only grew old are told apart from those that are gone", async () => {
  const key = "tickers:aged";
  let isAged = true;
  const feed = items({
    watch: { keys: [key] },
    texts: ({ cache }) => cache.hgetall(key),
    item: (_id, text) => JSON.parse(text),
    aged: () => isAged,
  });
  await hSet(key, "a", "{}");
  await hSet(key, "b", "{}");
  await feed.look(reading);
  await hDel(key, "a");
  expect((await feed.look(reading)).changes).toEqual([{ id: "a", aged: true }]);
  isAged = false;
  await hDel(key, "b");
  expect((await feed.look(reading)).changes).toEqual([{ id: "b" }]);
});

test("a feed that could not be read says so, and then goes on from what it knew", async () => {
  const key = "tickers:failing";
  await hSet(key, "a", '{"n": 1}');
  const feed = numbers(key);
  await feed.look(reading);
  await del(key);
  await server.admin.set(key, "a string");
  await expect(feed.look(reading)).rejects.toMatchObject({ code: "DATA_CORRUPT", details: { key } });
  await del(key);
  await hSet(key, "a", '{"n": 2}');
  expect((await feed.look(reading)).changes).toEqual([{ id: "a", value: { n: 2 } }]);
});

test("a mistake of ours in reading an item is thrown, not hidden", async () => {
  const key = "tickers:bug";
  await hSet(key, "a", "{}");
  const bug = new TypeError("a bug");
  const feed = items({
    watch: { keys: [key] },
    texts: ({ cache }) => cache.hgetall(key),
    item() {
      throw bug;
    },
  });
  await expect(feed.look(reading)).rejects.toBe(bug);
  expect(corrupt).toEqual([]);
});

test("one value is told when it differs, with the time it was read at", async () => {
  const key = "ticker_time:one";
  let due: number | undefined;
  const feed = oneValue({
    watch: { keys: [key] },
    read: async ({ cache }) => ({ n: Number(await cache.get(key)) }),
    due: () => due,
  });
  now = 1_000;
  expect((await feed.look(reading)).changes).toEqual([{ id: "", value: { n: 0, timestamp: 1_000 } }]);
  now = 1_001;
  expect((await feed.look(reading)).changes).toEqual([]);
  await server.admin.set(key, "7");
  now = 1_002;
  expect((await feed.look(reading)).changes).toEqual([{ id: "", value: { n: 7, timestamp: 1_002 } }]);
  expect(feed.hear).toBeUndefined();
  expect(feed.due?.()).toBeUndefined();
  due = 1_003;
  expect(feed.due?.()).toBe(1_003);
});

const prefix = "trades:events:";

/** All lists of the prefix, as an exchange's trades are followed; or one list alone. */
function entries(only?: string) {
  const follows = (key: string) => (only === undefined ? key.startsWith(prefix) : key === only);
  return events({
    watch: only === undefined ? { families: ["trades:"] } : { keys: [only] },
    keys: async ({ cache }) => (only === undefined ? (await cache.scan("trades:", "list")).filter(follows) : [only]),
    follows,
    event(key, text) {
      if (text.startsWith("bad")) throw new CacheError("DATA_CORRUPT", text, { details: { key } });
      return { key, text, timestamp: null };
    },
  });
}

const told = (changes: readonly Change[]) => changes.map(({ value }) => (value as { text: string }).text);

test("every event is told once, in the order of its list, whichever keys are said to be written", async () => {
  const lists = [`${prefix}A`, `${prefix}B`, `${prefix}C`];
  const moves = fc.array(fc.record({ list: fc.nat(2), step, isAll: fc.boolean() }), { maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(moves, async (sequence) => {
      await server.admin.flushAll();
      const feed = entries();
      const ids = new Set<string>();
      const seen = new Set<string>();
      await feed.look(reading);
      let written = new Set<string>(["trades:other:A"]);
      for (const { list, step: one, isAll } of [
        ...sequence,
        { list: 0, step: { act: "look", count: 0 }, isAll: true },
      ]) {
        const key = lists[list] as string;
        await happen(key, one);
        if (one.act !== "look") {
          written.add(key);
          continue;
        }
        const { changes } = await feed.look(reading, isAll ? undefined : written);
        const there = await Promise.all(lists.map(lRange));
        expect(told(changes).sort()).toEqual(
          there
            .flat()
            .filter((entry) => !seen.has(entry))
            .sort(),
        );
        for (const [at, entriesOf] of there.entries()) {
          const ofList = changes.filter(({ value }) => (value as { key: string }).key === lists[at]);
          expect(told(ofList)).toEqual(entriesOf.filter((entry) => !seen.has(entry)));
        }
        for (const { id } of changes) ids.add(id);
        for (const entry of there.flat()) seen.add(entry);
        written = new Set();
      }
      expect(ids.size).toBe(seen.size);
    }),
    { numRuns: 40 },
  );
});

test("a list that appears later is told from its beginning", async () => {
  const feed = entries();
  expect((await feed.look(reading)).changes).toEqual([]);
  const late = fresh(1_500);
  await rPush(`${prefix}LATE`, late);
  expect(told((await feed.look(reading)).changes)).toEqual(late);
});

test("a list is never remembered as empty when events of it were told", async () => {
  const key = `${prefix}RACE`;
  const late = fresh(3);
  // A push as it can happen between any two commands of one look.
  const racing: Reading["cache"] = Object.create(redis.cache, {
    llen: { value: (name: string) => redis.cache.llen(name) },
    lrange: { value: (...args: [string, number, number]) => rPush(key, late).then(() => redis.cache.lrange(...args)) },
  });
  const feed = entries(key);
  expect((await feed.look(reading)).changes).toEqual([]);
  expect(told((await feed.look({ ...reading, cache: racing })).changes)).toEqual(late);
  expect((await feed.look(reading)).changes).toEqual([]);
});

test("an event that cannot be read is left out and reported; the others are told", async () => {
  await rPush(`${prefix}A`, ["one", "bad", "two"]);
  const feed = entries();
  expect(told((await feed.look(reading)).changes)).toEqual(["one", "two"]);
  expect((await feed.look(reading)).changes).toEqual([]);
  expect(corrupt.map(({ message }) => message)).toEqual(["bad"]);
});

test("among many lists one of the wrong type is left out and reported, and told when it is mended", async () => {
  const [good, wrong] = [`${prefix}GOOD`, `${prefix}WRONG`];
  await rPush(good, ["one"]);
  await rPush(wrong, ["two"]);
  const feed = entries();
  expect(told((await feed.look(reading)).changes).sort()).toEqual(["one", "two"]);
  await del(wrong);
  await server.admin.set(wrong, "a string");
  await rPush(good, ["three"]);
  expect(told((await feed.look(reading, new Set([wrong, good]))).changes)).toEqual(["three"]);
  expect(corrupt.map(({ details }) => details["key"])).toEqual([wrong]);
  await del(wrong);
  await rPush(wrong, ["four"]);
  expect(told((await feed.look(reading)).changes)).toEqual(["four"]);
});

test("a single list of the wrong type is an error", async () => {
  const key = `${prefix}ONLY`;
  const feed = entries(key);
  await server.admin.set(key, "a string");
  await expect(feed.look(reading)).rejects.toMatchObject({ code: "DATA_CORRUPT", details: { key } });
  expect(corrupt).toEqual([]);
});

test("what was found before a look failed half-way is told by the next one", async () => {
  const keys = [`${prefix}A`, `${prefix}B`, `${prefix}C`];
  for (const key of keys) await rPush(key, [`${key} 1`]);
  const feed = entries();
  await feed.look(reading);
  for (const key of keys) await rPush(key, [`${key} 2`]);
  const user = ["ACL", "SETUSER", new URL(server.gatewayUrl).username, "resetkeys"];
  await server.command([...user, `%R~${keys[0]}`, `%R~${keys[2]}`]);
  await expect(feed.look(reading, new Set(keys))).rejects.toMatchObject({ code: "CACHE_UNAVAILABLE" });
  await server.command([...user, "%R~*"]);
  expect(told((await feed.look(reading)).changes).sort()).toEqual(keys.map((key) => `${key} 2`));
});

test("what cannot be read is reported and left out; a mistake of ours is neither", async () => {
  const bug = new TypeError("a bug");
  const bad = new CacheError("DATA_CORRUPT", "bad", { details: { key: "k" } });
  const away = new CacheError("CACHE_UNAVAILABLE", "away");
  const read = (_id: number, text: string) => {
    if (text === "bad") throw bad;
    if (text === "bug") throw bug;
    return text;
  };
  expect(readable(reading, ["a", "bad", "b"].entries(), read)).toEqual(["a", "b"]);
  expect(() => readable(reading, ["bug"].entries(), read)).toThrow(bug);
  expect(await orNothing(reading, Promise.resolve("a"), "nothing")).toBe("a");
  expect(await orNothing(reading, Promise.reject(bad), "nothing")).toBe("nothing");
  await expect(orNothing(reading, Promise.reject(away), "nothing")).rejects.toBe(away);
  await expect(orNothing(reading, Promise.reject(bug), "nothing")).rejects.toBe(bug);
  expect(corrupt).toEqual([bad, bad]);
});
