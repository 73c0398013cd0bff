import fc from "fast-check";
import { expect, onTestFinished, test, vi } from "vitest";
import { StreamFeed } from "../src/client/feed.ts";
import type { AnyUpdate } from "../src/client/position.ts";
import { CacheError } from "../src/protocol/errors.ts";
import type { StreamStatus } from "../src/protocol/frames.ts";
import { checkIds } from "./kit/reader.ts";

const topic = "orders:x";
type Frame = AnyUpdate | StreamStatus;

/** What may happen to a frame on its way. */
type Fate = "pass" | "drop" | "twice" | "late";

/** The gateway's end of one stream, as the protocol has it, and a network that does with frames what it is told. */
class Model {
  readonly feed: StreamFeed;
  readonly taken: AnyUpdate[] = [];
  readonly items = new Map<string, number>();
  #epoch = 0;
  #id = 0;
  #value = 0;
  /** Whether the feed is subscribed on this connection. */
  #isOpen = false;
  #isWanted = false;
  #late: Frame | undefined;
  /** Changes that wait because the subscriber is congested, by item. */
  #held: Map<string, AnyUpdate> | undefined;
  #sentId = 0;
  #reading: Promise<void> | undefined;

  constructor(identity: readonly string[] | null, bufferSize: number) {
    const host = {
      opens: () => {
        this.#isWanted = true;
        this.#isOpen = false;
      },
      leaves: () => {},
    };
    const request = { operation: "stream_orders", params: {}, identity };
    this.feed = new StreamFeed(request, host, { bufferSize, site: new Error() });
  }

  get isWanted(): boolean {
    return this.#isWanted;
  }

  change(name: string, isRemoval: boolean, fate: Fate): void {
    const isKnown = this.items.has(name);
    if (isRemoval && !isKnown) return;
    const update_id = ++this.#id;
    let update: AnyUpdate = { type: "order_update", topic, name, value: ++this.#value, update_id };
    if (isRemoval) {
      this.items.delete(name);
      update = { type: "order_update", topic, name, removed: true, update_id };
    } else this.items.set(name, this.#value);
    if (!this.#isOpen) return;
    if (this.#held) {
      this.#held.delete(name);
      this.#held.set(name, update);
    } else {
      this.#sentId = update_id;
      this.#send(update, fate);
    }
  }

  congest(): void {
    this.#held ??= new Map();
  }

  relieve(fate: Fate): void {
    for (const update of this.#held?.values() ?? []) {
      const skipped = update.update_id - this.#sentId - 1;
      this.#sentId = update.update_id;
      this.#send((skipped ? { ...update, skipped } : update) as AnyUpdate, fate);
    }
    this.#held = undefined;
  }

  /** Answers the request for the stream, if there is one: the picture comes. */
  answer(fate: Fate): void {
    if (!this.#isWanted) return;
    this.#isWanted = false;
    this.#isOpen = true;
    this.#held = undefined;
    this.#late = undefined;
    this.feed.opened([topic]);
    this.show(fate);
  }

  /** The picture comes (again), as for another stream of the same topic. */
  show(fate: Fate): void {
    if (!this.#isOpen) return;
    this.#held &&= new Map();
    this.#sentId = this.#id;
    const [epoch, update_id] = [`e${this.#epoch}`, this.#id];
    for (const [name, value] of this.items)
      this.#send({ type: "order_update", topic, name, value, snapshot: true, epoch, update_id }, fate);
    const count = this.items.size;
    this.#send({ type: "stream_status", topic, state: "live", epoch, count, update_id }, fate);
  }

  /** The gateway starts anew. */
  restart(): void {
    this.#epoch++;
    this.#id = 0;
    this.#isOpen = false;
    this.#isWanted = true;
    this.#held = undefined;
    this.#late = undefined;
    this.feed.interrupted(new CacheError("CONNECTION_FAILED", "the gateway is gone"));
  }

  /** Takes one update, or waits for it. */
  async take(): Promise<void> {
    this.#reading ??= this.feed.next().then(({ value }) => {
      this.#reading = undefined;
      if (!value) return;
      checkIds(this.taken, value);
      this.taken.push(value);
    });
    // As many turns as it takes if something is there.
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  }

  get isReading(): boolean {
    return this.#reading !== undefined;
  }

  /** Whatever was lost, the network is well now. */
  async settle(): Promise<void> {
    this.relieve("pass");
    this.change("last", false, "pass");
    while (this.isWanted) this.answer("pass");
    this.change("last", false, "pass");
    while (this.isWanted) this.answer("pass");
    do await this.take();
    while (!this.isReading);
    await this.feed.return();
    await this.#reading;
  }

  #send(frame: Frame, fate: Fate): void {
    if (fate === "drop") return;
    if (fate === "late" && !this.#late) {
      this.#late = frame;
      return;
    }
    const late = this.#late;
    this.#late = undefined;
    for (const one of [frame, ...(fate === "twice" ? [frame] : []), ...(late ? [late] : [])]) {
      if (one.type === "stream_status") this.feed.tell(one as StreamStatus);
      else this.feed.take(one as AnyUpdate, 0);
    }
  }
}

const fate = fc.constantFrom<Fate>("pass", "pass", "pass", "drop", "twice", "late");
const name = fc.constantFrom("a", "b", "c");
const does = fc.constantFrom(
  "change",
  "change",
  "change",
  "take",
  "take",
  "answer",
  "show",
  "relieve",
  "congest",
  "restart",
);
const step = fc.record({ does, name, isRemoval: fc.boolean(), fate });

async function play(model: Model, steps: Iterable<{ does: string; name: string; isRemoval: boolean; fate: Fate }>) {
  await model.take();
  for (const { does, name, isRemoval, fate } of steps) {
    if (does === "change") model.change(name, isRemoval, fate);
    else if (does === "take") await model.take();
    else if (does === "answer") model.answer(fate);
    else if (does === "show") model.show(fate);
    else if (does === "relieve") model.relieve(fate);
    else if (does === "congest") model.congest();
    else model.restart();
  }
  await model.settle();
}

test("whatever the network does to the frames, the reader ends with the right picture and ids that add up", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80, size: "max" }), async (steps) => {
      const model = new Model(["name"], 5);
      await play(model, steps);
      const picture = new Map<unknown, unknown>();
      for (const update of model.taken) {
        // Nobody is told of the end of what he never heard of.
        if (update.removed) expect(picture.delete(update["name"])).toBe(true);
        else picture.set(update["name"], update["value"]);
      }
      expect(new Map([...picture].sort())).toEqual(new Map([...model.items].sort()));
    }),
    { numRuns: 500 },
  );
});

test("whatever the network does, no event is told twice but in snapshots, and none is missing without a word", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 80, size: "max" }),
      fc.integer({ min: 1, max: 6 }),
      async (steps, bufferSize) => {
        const model = new Model(null, bufferSize);
        await play(model, steps);
        const told = model.taken.filter(({ snapshot }) => !snapshot).map((update) => update["value"] ?? 0);
        const values = told.filter((value) => value !== 0);
        expect(values).toEqual([...new Set(values)].toSorted((a, b) => Number(a) - Number(b)));
      },
    ),
    { numRuns: 500 },
  );
});

test("the epoch stands with the first update of another counting, and nowhere else but in snapshots", async () => {
  const model = new Model(null, 5);
  await model.take();
  model.answer("pass");
  model.change("a", false, "pass");
  model.change("a", true, "pass");
  await model.take();
  await model.take();
  model.restart();
  model.answer("pass");
  model.change("b", false, "pass");
  model.change("b", false, "pass");
  await model.take();
  await model.take();
  await model.take();
  expect(model.taken.map(({ update_id, epoch }) => [update_id, epoch])).toEqual([
    [1, undefined],
    [2, undefined],
    [1, "e1"],
    [2, undefined],
  ]);
  await model.feed.return();
});

/** A feed of its own whose gateway is the test; `ask` counts how often it wants its picture. */
function feedOf(params: Readonly<Record<string, unknown>> = {}, retain?: number) {
  const counts = { asked: 0, left: 0 };
  const host = { opens: () => void counts.asked++, leaves: () => void counts.left++ };
  const request = { operation: "stream_orders", params, identity: ["name"], retain };
  const feed = new StreamFeed(request, host, { bufferSize: 10, site: new Error() });
  const taken: unknown[] = [];
  const taking = (async () => {
    for (;;) {
      const { done, value } = await feed.next();
      if (done) return;
      taken.push(value.removed ? `${value["name"]} removed` : `${value["name"]} ${value["value"] ?? ""}`.trim());
    }
  })();
  const live = (of: string, update_id: number, count: number): void =>
    feed.tell({ type: "stream_status", topic: of, state: "live", epoch: "e", count, update_id });
  const show = (of: string, name: string, update_id: number): void =>
    feed.take({ type: "order_update", topic: of, name, snapshot: true, epoch: "e", update_id }, 0);
  const change = (name: string, value: number, update_id: number, fastestMs = 0): void =>
    feed.take({ type: "order_update", topic, name, value, update_id }, fastestMs);
  /** Lets those who wait take what is there. */
  const turn = async () => {
    for (let count = 0; count < 20; count++) await Promise.resolve();
  };
  return { feed, counts, taken, taking, live, show, change, turn };
}

test("a stream that the gateway paces already is not slowed down once more", async () => {
  const { feed, taken, live, change, turn } = feedOf({ interval_ms: 60_000 });
  feed.opened([topic]);
  live(topic, 0, 0);
  change("a", 1, 1, 60_000);
  change("b", 1, 2, 60_000);
  await turn();
  change("a", 2, 3, 60_000);
  await turn();
  expect(taken).toEqual(["a 1", "b 1", "a 2"]);
  await feed.return();
});

test("what is held back never overtakes what is newer, also when the faster stream has left", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const { feed, taken, taking, live, change, turn } = feedOf({ interval_ms: 100 });
  feed.opened([topic]);
  live(topic, 0, 0);
  change("a", 1, 1, 0);
  await turn();
  change("a", 2, 2, 0);
  change("a", 3, 3, 100);
  await turn();
  expect(taken).toEqual(["a 1"]);
  await vi.advanceTimersByTimeAsync(100);
  expect(taken).toEqual(["a 1", "a 3"]);
  change("a", 4, 4, 0);
  expect(vi.getTimerCount()).toBe(1);
  await feed.return();
  await taking;
  expect(vi.getTimerCount()).toBe(0);
});

test("a picture that lacks an item is asked for again at once", async () => {
  const { feed, counts, taken, live, show, turn } = feedOf();
  await turn();
  expect(counts.asked).toBe(1);
  feed.opened([topic]);
  show(topic, "a", 7);
  live(topic, 7, 2);
  expect(counts.asked).toBe(2);
  expect(feed.state.now).toMatchObject({ state: "opening", reason: "an update was lost on the way" });
  feed.opened([topic]);
  show(topic, "a", 7);
  show(topic, "b", 7);
  live(topic, 7, 2);
  await turn();
  expect(feed.state.now).toEqual({ state: "live" });
  expect(taken).toEqual(["a", "a", "b"]);
  await feed.return();
});

test("of a topic that is no longer the stream's, what is known is removed and what waits is thrown away", async () => {
  const { feed, taken, taking, live, show, turn } = feedOf();
  feed.opened([topic, "other"]);
  show(topic, "a", 1);
  live(topic, 1, 1);
  show("other", "x", 1);
  await turn();
  show("other", "y", 1);
  show("other", "z", 1);
  live("other", 1, 3);
  feed.tell({ type: "stream_status", topic: "other", state: "stale", epoch: "e" });
  expect(feed.state.now).toEqual({ state: "stale", topic: "other" });
  feed.lost();
  feed.opened([topic]);
  live(topic, 1, 0);
  await turn();
  expect(taken).toEqual(["a", "x", "y", "x removed", "y removed", "a removed"]);
  expect([...feed.topics]).toEqual([topic]);
  expect(feed.state.now).toEqual({ state: "live" });
  await feed.return();
  await taking;
});

test("a picture that another stream of the topic gets is taken where it is newer, and passed over where it is not", async () => {
  const { feed, taken, live, show, change, turn } = feedOf();
  feed.opened([topic]);
  show(topic, "a", 1);
  live(topic, 1, 1);
  show(topic, "a", 1);
  live(topic, 1, 1);
  await turn();
  expect(taken).toEqual(["a"]);
  // What the gateway held back for this connection went into the picture.
  show(topic, "b", 3);
  live(topic, 3, 1);
  change("c", 1, 4);
  await turn();
  expect(taken).toEqual(["a", "b", "a removed", "c 1"]);
  await feed.return();
});

test("items that left a full picture are forgotten, so that they are not called removed later", async () => {
  const { feed, taken, live, show, change, turn } = feedOf({}, 2);
  feed.opened([topic]);
  show(topic, "a", 2);
  show(topic, "b", 2);
  live(topic, 2, 2);
  change("c", 1, 3);
  await turn();
  feed.lost();
  feed.opened([topic]);
  live(topic, 9, 0);
  await turn();
  expect(taken).toEqual(["a", "b", "c 1", "b removed", "c removed"]);
  await feed.return();
});

test("what was held back is nothing beside a newer picture", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const { feed, taken, live, show, change, turn } = feedOf({ interval_ms: 100 });
  feed.opened([topic]);
  live(topic, 0, 0);
  change("a", 1, 1);
  await turn();
  change("a", 2, 2);
  feed.lost();
  feed.opened([topic]);
  show(topic, "a", 5);
  live(topic, 5, 1);
  await vi.advanceTimersByTimeAsync(100);
  expect(taken).toEqual(["a 1", "a"]);
  await feed.return();
});

test("events that wait stay, whatever picture comes after them", async () => {
  const model = new Model(null, 10);
  await model.take();
  model.answer("pass");
  for (const name of ["a", "b", "c"]) model.change(name, false, "pass");
  await model.take();
  model.restart();
  model.answer("pass");
  for (let count = 0; count < 6; count++) await model.take();
  expect(model.taken.map((update) => [update["name"], update.snapshot ?? false])).toEqual([
    ["a", false],
    ["b", false],
    ["c", false],
    ["a", true],
    ["b", true],
    ["c", true],
  ]);
  await model.feed.return();
});

test("what was left out before the first update of a topic is counted from its picture on", async () => {
  const request = { operation: "stream_orders", params: {}, identity: ["name"] };
  const host = { opens: () => {}, leaves: () => {} };
  const feed = new StreamFeed(request, host, { bufferSize: 10, site: new Error() });
  const first = feed.next();
  feed.opened(["one", "other"]);
  for (const of of ["one", "other"])
    feed.tell({ type: "stream_status", topic: of, state: "live", epoch: "e", count: 0, update_id: 4 });
  const change = (of: string, update_id: number) =>
    feed.take({ type: "order_update", topic: of, name: "a", update_id }, 0);
  change("one", 5);
  expect((await first).value).toEqual({ type: "order_update", topic: "one", name: "a", update_id: 5 });
  for (const id of [5, 6, 7]) change("other", id);
  expect((await feed.next()).value).toMatchObject({ topic: "other", update_id: 7, skipped: 2 });
  await feed.return();
});

test("who keeps up sees every change of a turn, also of what came and went in it; who does not sees where it led", async () => {
  const { feed, taken, live, change, turn } = feedOf();
  const remove = (name: string, update_id: number) =>
    feed.take({ type: "order_update", topic, name, removed: true, update_id }, 0);
  feed.opened([topic]);
  live(topic, 0, 0);
  await turn();
  change("a", 1, 1);
  change("a", 2, 2);
  change("b", 1, 3);
  remove("b", 4);
  remove("c", 5);
  change("a", 3, 6);
  await turn();
  expect(taken).toEqual(["a 1", "a 2", "b 1", "b removed", "a 3"]);
  await feed.return();

  const request = { operation: "stream_orders", params: {}, identity: ["name"] };
  const slow = new StreamFeed(request, { opens: () => {}, leaves: () => {} }, { bufferSize: 10, site: new Error() });
  const first = slow.next();
  slow.opened([topic]);
  slow.tell({ type: "stream_status", topic, state: "live", epoch: "e", count: 0, update_id: 0 });
  const tell = (name: string, update_id: number, rest = {}) =>
    slow.take({ type: "order_update", topic, name, update_id, ...rest }, 0);
  tell("a", 1);
  tell("a", 2);
  tell("b", 3);
  await first;
  tell("b", 4, { removed: true });
  tell("a", 5);
  expect((await slow.next()).value).toMatchObject({ name: "a", update_id: 5, skipped: 3 });
  await slow.return();
});

test("items with the same last name are told apart by the others, however many names there are", async () => {
  const request = { operation: "stream_orders", params: {}, identity: ["exchange", "id"] };
  const feed = new StreamFeed(request, { opens: () => {}, leaves: () => {} }, { bufferSize: 10, site: new Error() });
  feed.opened([topic]);
  feed.tell({ type: "stream_status", topic, state: "live", epoch: "e", count: 0, update_id: 0 });
  const change = (exchange: string, id: number, update_id: number) =>
    feed.take({ type: "order_update", topic, exchange, id, update_id }, 0);
  for (const [at, exchange] of ["x", "y", "x", "y"].entries()) change(exchange, 7, at + 1);
  for (let id = 8; id < 12_000; id++) change("x", id, id - 3);
  change("x", 8, 11_997);
  const ids = [];
  for (let count = 0; count < 11_994; count++) ids.push((await feed.next()).value?.["id"]);
  expect(ids.slice(0, 4)).toEqual([7, 7, 9, 10]);
  expect(ids.slice(-2)).toEqual([11_999, 8]);
  await feed.return();
});

test("a stream that asks for its picture already does not ask twice", async () => {
  const { feed, counts, live } = feedOf();
  feed.lost();
  expect(counts.asked).toBe(1);
  feed.opened([topic]);
  live(topic, 0, 0);
  feed.lost();
  feed.lost();
  expect(counts.asked).toBe(2);
  await feed.return();
});

test("frames for topics that a stream never had are not its business", () => {
  const { feed, counts, live, show } = feedOf();
  feed.opened([topic]);
  show("other", "x", 1);
  live("other", 1, 1);
  expect(feed.state.now).toEqual({ state: "opening" });
  expect(counts.asked).toBe(1);
});

test("a stream that has ended ends only once", async () => {
  const { feed, counts, taking } = feedOf();
  feed.end();
  feed.end(new Error("too late"));
  await feed.return();
  await taking;
  expect(counts.left).toBe(1);
  expect(feed.state.now).toEqual({ state: "ended" });
});
