import fc from "fast-check";
import { expect, test } from "vitest";
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
        if (update.removed) picture.delete(update["name"]);
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
