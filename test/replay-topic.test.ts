import { expect, test } from "vitest";
import type { RecordedFrame } from "../src/cli/recording.ts";
import { ReplayTopic } from "../src/cli/replay-topic.ts";
import { operations } from "../src/operations/index.ts";
import type { LiveQuery } from "../src/operations/operation.ts";

const { streamTickers, streamTradeUpdates, streamOhlcv } = operations;
const topic = "t";

const update = (members: object, updateId: number) =>
  ({ type: "x", topic, update_id: updateId, ...members }) as RecordedFrame;
const shown = (members: object, updateId: number) => update({ ...members, snapshot: true, epoch: "e" }, updateId);
const status = (members: object) => ({ type: "stream_status", topic, epoch: "e", ...members }) as RecordedFrame;
const live = (updateId: number, count: number) => status({ state: "live", count, update_id: updateId });

/** A topic that was told so much of a recording, and what its follower heard. */
function played(query: LiveQuery, ...frames: readonly RecordedFrame[]) {
  const replayed = new ReplayTopic(topic, query);
  const heard: RecordedFrame[] = [];
  const follower = { take: (frame: RecordedFrame) => void heard.push(frame) };
  replayed.follow(follower);
  for (const frame of frames) replayed.apply(frame);
  return { replayed, heard, follower };
}

const a = { exchange: "one", symbol: "A" };
const b = { exchange: "one", symbol: "B" };

test("before its first picture is whole, a topic has nothing to show", () => {
  const { replayed, heard } = played(streamTickers, shown({ ...a, price: 1 }, 5));
  expect([replayed.welcome(), heard]).toEqual([[], []]);
});

test("a newcomer gets the picture as it is now, and a follower what comes", () => {
  const { replayed, heard, follower } = played(
    streamTickers,
    shown({ ...a, price: 1 }, 5),
    shown({ ...b, price: 2 }, 5),
    live(5, 2),
    update({ ...a, price: 3, skipped: 2 }, 8),
    update({ ...b, removed: true }, 9),
  );
  const ends = { snapshot: true, epoch: "e", update_id: 9 };
  expect(replayed.welcome()).toEqual([{ type: "x", topic, ...a, price: 3, ...ends }, live(9, 1)]);
  expect(heard).toHaveLength(5);
  replayed.leave(follower);
  replayed.apply(update({ ...a, price: 4 }, 10));
  expect(heard).toHaveLength(5);
});

test("a topic that is stale says since when and why, where this was told", () => {
  const first = [shown({ ...a, price: 1 }, 5), live(5, 1)];
  const why = { since: 7, error_code: "CACHE_UNAVAILABLE" };
  const told = played(streamTickers, ...first, status({ state: "stale", ...why }));
  expect(told.replayed.welcome().at(-1)).toEqual(status({ state: "stale", ...why, update_id: 5 }));
  const untold = played(streamTickers, ...first, status({ state: "stale" }));
  expect(untold.replayed.welcome().at(-1)).toEqual(status({ state: "stale", update_id: 5 }));
});

test("a picture that comes again takes the place of the one before", () => {
  const { replayed } = played(
    streamTickers,
    shown({ ...a, price: 1 }, 5),
    live(5, 1),
    shown({ ...b, price: 2 }, 9),
    live(9, 1),
  );
  expect(replayed.welcome()).toMatchObject([{ symbol: "B", update_id: 9 }, { count: 1 }]);
});

test("events are all kept, and of a bounded picture the newest", () => {
  const trades = Array.from({ length: 3 }, (_, at) => update({ trade_id: 1, symbol: "A" }, 2 + at));
  expect(played(streamTradeUpdates, live(1, 0), ...trades).replayed.welcome()).toHaveLength(4);
  const bars = Array.from({ length: 103 }, (_, at) => update({ symbol: "A", timeframe: "1m", timestamp: at }, 2 + at));
  const kept = played(streamOhlcv, live(1, 0), ...bars).replayed.welcome();
  expect([kept.length, kept[0]]).toEqual([101, expect.objectContaining({ timestamp: 3 })]);
});
