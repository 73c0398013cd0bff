import { afterAll, expect, test } from "vitest";
import { type Frame, startGateway, type Wire } from "./kit/gateway.ts";
import { Picture, sameItems } from "./kit/picture.ts";
import {
  appendBars,
  beat,
  follow,
  pushTrades,
  saveOrder,
  setPositions,
  setTicker,
  streamKinds,
} from "./kit/streams.ts";

const gateway = await startGateway({ rereadMs: 0 });
const { redis } = gateway;
afterAll(() => gateway[Symbol.asyncDispose]());

/** The frames of a topic, statuses among them. */
const framesOf = (wire: Wire, topic: string, from = 0) =>
  wire.frames.slice(from).filter((frame) => frame["topic"] === topic);

const summary = async (wire: Wire) => ((await wire.ask("get_system_health")) as { gateway: Frame }).gateway;

for (const kind of streamKinds("order"))
  test(`${kind.name}: first the answer, then the picture, then live, then every change`, async () => {
    await kind.write(redis, 1);
    const wire = await gateway.wire();
    const opened = await follow(wire, kind.operation, kind.params);
    expect(opened).toEqual({ stream: expect.any(String), topics: [kind.topic], epoch: expect.any(String) });
    const [answer, ...others] = wire.frames;
    expect(answer).toMatchObject({ success: true, result: opened });
    const snapshot = others.slice(0, -1);
    expect(snapshot.some((frame) => kind.tells(frame, 1))).toBe(true);
    const [first] = snapshot;
    for (const frame of snapshot)
      expect(frame).toMatchObject({
        topic: kind.topic,
        snapshot: true,
        epoch: opened.epoch,
        update_id: first?.["update_id"],
      });
    expect(others.at(-1)).toEqual({
      type: "stream_status",
      topic: kind.topic,
      state: "live",
      epoch: opened.epoch,
      count: snapshot.length,
      update_id: first?.["update_id"],
    });

    for (const n of [2, 3]) {
      await kind.write(redis, n);
      const update = await wire.frame(
        (frame) => frame["topic"] === kind.topic && !("state" in frame) && kind.tells(frame, n),
      );
      expect(update["update_id"]).toBe((first?.["update_id"] as number) + n - 1);
      for (const absent of ["snapshot", "epoch", "skipped", "removed"]) expect(update).not.toHaveProperty(absent);
    }
  });

for (const kind of streamKinds("gone").filter(({ removal }) => removal))
  test(`${kind.name}: what is gone is removed, by its identity`, async () => {
    await kind.write(redis, 1);
    const wire = await gateway.wire();
    await follow(wire, kind.operation, kind.params);
    // Where the topic was open already, the write may come after the picture.
    const shown = await wire.frame(
      (frame) => frame["topic"] === kind.topic && !("state" in frame) && kind.tells(frame, 1),
    );
    await kind.removal?.remove(redis);
    const update = await wire.frame((frame) => frame["removed"] === true);
    expect(update).toEqual({
      type: shown["type"],
      topic: kind.topic,
      ...kind.removal?.identity,
      removed: true,
      update_id: expect.any(Number),
    });
    expect(new Picture(wire, kind.topic).items).not.toContainEqual(expect.objectContaining(kind.removal?.identity));
    // And it may come back.
    await kind.write(redis, 2);
    await wire.frame(
      (frame) => frame["topic"] === kind.topic && frame["removed"] === undefined && kind.tells(frame, 2),
    );
  });

// Those that are one value are never empty, and the bots are those of all tests.
for (const kind of streamKinds("empty").filter(({ topic }) => !/^(process_health|order_queue|bots)/.test(topic)))
  test(`${kind.name}: an empty picture is told to be empty`, async () => {
    const wire = await gateway.wire();
    const { epoch } = await follow(wire, kind.operation, kind.params);
    expect(framesOf(wire, kind.topic)).toEqual([
      { type: "stream_status", topic: kind.topic, state: "live", epoch, count: 0, update_id: expect.any(Number) },
    ]);
    await kind.write(redis, 1);
    const update = await wire.frame((frame) => frame["type"] !== "stream_status" && frame["topic"] === kind.topic);
    expect(kind.tells(update, 1)).toBe(true);
    expect(update).not.toHaveProperty("snapshot");
    expect(new Picture(wire, kind.topic).items).toHaveLength(1);
  });

test("everybody who follows a topic is sent the same update", async () => {
  const wires = await Promise.all([1, 2, 3].map(() => gateway.wire()));
  for (const wire of wires) await follow(wire, "stream_orders", { exchange: "same" });
  await saveOrder(redis, "same", "o-1", "open");
  const [one, ...others] = await Promise.all(
    wires.map((wire) => wire.frame((frame) => frame["type"] === "order_update")),
  );
  for (const other of others) expect(other).toEqual(one);
});

test("no stored value can pass for what the protocol says itself", async () => {
  const wire = await gateway.wire();
  const { epoch } = await follow(wire, "stream_orders", { exchange: "forged" });
  const forged = {
    type: "stream_status",
    topic: "orders:same",
    state: "ended",
    update_id: 99,
    skipped: 7,
    snapshot: true,
  };
  const write = (members: object) =>
    redis.command([
      "HSET",
      "order_status:forged",
      "o-1",
      JSON.stringify({ ...forged, epoch: "x", removed: true, ...members }),
    ]);
  await write({ volume: 1 });
  await write({ volume: 2 });
  const update = await wire.frame(({ volume }) => volume === 2);
  expect(update).toMatchObject({ type: "order_update", topic: "orders:forged", state: "ended", order_id: "o-1" });
  for (const absent of ["epoch", "skipped", "snapshot", "removed"]) expect(update).not.toHaveProperty(absent);
  const other = await gateway.wire();
  expect(await follow(other, "stream_orders", { exchange: "forged" })).toMatchObject({ epoch });
  expect(other.updates("orders:forged")).toMatchObject([{ snapshot: true, epoch, update_id: update["update_id"] }]);
  expect(new Picture(wire, "orders:forged").items).toHaveLength(1);
});

test("a second stream of a topic on one connection gets a fresh picture and shares the frames", async () => {
  const [kind] = streamKinds("shared");
  if (!kind) throw new Error("no kind");
  await kind.write(redis, 1);
  const wire = await gateway.wire();
  const one = await follow(wire, kind.operation, kind.params);
  await kind.write(redis, 2);
  await wire.frame(({ price }) => price === 2);
  const from = wire.frames.length;
  const two = await follow(wire, kind.operation, kind.params);
  expect(two.stream).not.toBe(one.stream);
  expect(wire.frames.slice(from)).toMatchObject([
    { success: true },
    { snapshot: true, price: 2 },
    { state: "live", count: 1 },
  ]);
  await kind.write(redis, 3);
  await wire.frame(({ price }) => price === 3);
  const { updates_sent } = (await wire.ask("ping")) as { updates_sent: number };
  expect(wire.updates(kind.topic).filter(({ price }) => price === 3)).toHaveLength(1);
  expect(updates_sent).toBe(wire.updates(kind.topic).length);

  // The one that is left goes on alone.
  await wire.ask("unsubscribe", { stream: one.stream });
  await kind.write(redis, 4);
  await wire.frame(({ price }) => price === 4);
  expect(new Picture(wire, kind.topic).items).toMatchObject([{ price: 4 }]);
});

for (const kind of streamKinds("leave"))
  test(`${kind.name}: after the answer to unsubscribe nothing more of it comes`, async () => {
    const [wire, witness] = await Promise.all([gateway.wire(), gateway.wire()]);
    const { stream } = await follow(wire, kind.operation, kind.params);
    await follow(witness, kind.operation, kind.params);
    const writing = kind.write(redis, 1);
    expect(await wire.ask("unsubscribe", { stream })).toEqual({ stream });
    const answeredAt = wire.frames.length;
    await writing;
    await kind.write(redis, 2);
    await witness.frame((frame) => frame["topic"] === kind.topic && !("state" in frame) && kind.tells(frame, 2));
    await wire.ask("ping");
    expect(framesOf(wire, kind.topic, answeredAt)).toEqual([]);
    expect(await wire.request("unsubscribe", { stream })).toMatchObject({ error_code: "STREAM_NOT_FOUND" });
  });

test("a topic ends when the last of its streams does, however they end", async () => {
  await using alone = await startGateway({ to: redis });
  const [one, two, three] = await Promise.all([alone.wire(), alone.wire(), alone.wire()]);
  for (const kind of streamKinds("ends")) {
    await follow(one, kind.operation, kind.params);
    await follow(two, kind.operation, kind.params);
    await follow(two, kind.operation, kind.params);
  }
  const kinds = streamKinds("ends").length;
  const channel = "ticker_updates:ends:BTC/USDT";
  const patterns = await redis.command(["PUBSUB", "NUMPAT"]);
  expect(await summary(three)).toMatchObject({ connections: 3, streams: 3 * kinds, topics: kinds });
  expect(await redis.command(["PUBSUB", "NUMSUB", channel])).toEqual([channel, 1]);
  one.close();
  await expect.poll(() => summary(three)).toMatchObject({ connections: 2, streams: 2 * kinds, topics: kinds });
  for (const { stream } of (await two.ask("list_streams")) as { stream: string }[])
    await two.ask("unsubscribe", { stream });
  expect(await summary(three)).toMatchObject({ connections: 2, streams: 0, topics: 0 });
  await expect.poll(() => redis.command(["PUBSUB", "NUMSUB", channel])).toEqual([channel, 0]);
  // The pattern is one for all gateways on this Redis; another one may still have it.
  await expect.poll(() => redis.command(["PUBSUB", "NUMPAT"])).toBeLessThanOrEqual(patterns as number);
});

test("a stream that ends and begins again at once is subscribed", async () => {
  const channel = "ticker_updates:again:X";
  const wire = await gateway.wire();
  const params = { exchange: "again", symbols: ["X"] };
  const { stream } = await follow(wire, "stream_tickers", params);
  await Promise.all([wire.ask("unsubscribe", { stream }), follow(wire, "stream_tickers", params)]);
  const all = await follow(wire, "stream_tickers", { exchange: "again" });
  await Promise.all([
    wire.ask("unsubscribe", { stream: all.stream }),
    follow(wire, "stream_tickers", { exchange: "again" }),
  ]);
  // Redis has confirmed the last of the subscriptions by now, and whatever was to end has ended before.
  expect(await redis.command(["PUBSUB", "NUMSUB", channel])).toEqual([channel, 1]);
  await redis.command(["PUBLISH", channel, JSON.stringify({ exchange: "again", symbol: "X", price: 5, time: 1 })]);
  const topics = ["ticker:again:X", "tickers:again"];
  await Promise.all(topics.map((topic) => wire.frame((frame) => frame["topic"] === topic && frame["price"] === 5)));
});

test("list_streams tells what this connection follows, and nothing of others", async () => {
  const [wire, other] = await Promise.all([gateway.wire(), gateway.wire()]);
  const one = await follow(wire, "stream_tickers", { exchange: "listed", symbols: ["A", "B", "A"], interval_ms: 50 });
  const two = await follow(wire, "stream_orders", { exchange: "listed" });
  await follow(other, "stream_bot_status");
  expect(await wire.ask("list_streams")).toEqual([
    {
      stream: one.stream,
      operation: "stream_tickers",
      params: { exchange: "listed", symbols: ["A", "B", "A"], interval_ms: 50 },
      topics: ["ticker:listed:A", "ticker:listed:B"],
    },
    { stream: two.stream, operation: "stream_orders", params: { exchange: "listed" }, topics: ["orders:listed"] },
  ]);
  await wire.ask("unsubscribe", { stream: one.stream });
  expect(await wire.ask("list_streams")).toMatchObject([{ stream: two.stream }]);
  expect(await other.ask("unsubscribe", { stream: two.stream }).catch(String)).toContain("STREAM_NOT_FOUND");
});

test("ids go on within an epoch when a topic ends and begins again", async () => {
  await using alone = await startGateway({ to: redis });
  const wire = await alone.wire();
  const ids: number[] = [];
  for (let round = 0; round < 3; round++) {
    const { stream, epoch } = await follow(wire, "stream_orders", { exchange: "ids" });
    for (let n = 1; n <= 3; n++) await saveOrder(redis, "ids", "o-1", "open", round * 10 + n);
    await wire.frame(({ volume }) => volume === round * 10 + 3);
    await wire.ask("unsubscribe", { stream });
    expect((await summary(wire))["topics"]).toBe(0);
    ids.push(
      ...wire
        .updates("orders:ids")
        .slice(ids.length)
        .map((frame) => frame["update_id"] as number),
    );
    expect(epoch).toBe(((await wire.ask("get_server_info")) as Frame)["epoch"]);
  }
  expect(ids).toEqual(ids.toSorted((a, b) => a - b));
  const changes = wire.updates("orders:ids").filter((frame) => !frame["snapshot"]);
  expect(new Set(changes.map((frame) => frame["update_id"])).size).toBe(changes.length);
});

test("single symbols and a whole exchange are streams of their own kind", async () => {
  await setTicker(redis, "both", "A", 1);
  await setTicker(redis, "both", "B", 2);
  await setTicker(redis, "both", "C", 3);
  const wire = await gateway.wire();
  const some = await follow(wire, "stream_tickers", { exchange: "both", symbols: ["A", "B"] });
  expect(some.topics).toEqual(["ticker:both:A", "ticker:both:B"]);
  const all = await follow(wire, "stream_tickers", { exchange: "both" });
  expect(all.topics).toEqual(["tickers:both"]);
  await setTicker(redis, "both", "C", 4);
  await setTicker(redis, "both", "A", 5);
  await Promise.all(
    ["tickers:both", "ticker:both:A"].map((topic) => wire.frame((one) => one["topic"] === topic && one["price"] === 5)),
  );
  expect(new Picture(wire, "ticker:both:A").items).toMatchObject([{ symbol: "A", price: 5 }]);
  expect(new Picture(wire, "ticker:both:B").items).toMatchObject([{ symbol: "B", price: 2 }]);
  const everything = await wire.ask("get_all_tickers", { exchange: "both" });
  expect(sameItems(new Picture(wire, "tickers:both").items, everything as Frame[])).toBe(true);
  // C moved, which concerns only the stream of the whole exchange.
  expect(wire.frames.filter((frame) => frame["price"] === 4)).toHaveLength(1);
});

test("the tickers of one exchange never show up on another, however alike the names are", async () => {
  const wire = await gateway.wire();
  const exchanges = ["a", "a:b", "a%3Ab", "a*", "a:[b]", "A"];
  const opened = await Promise.all(exchanges.map((exchange) => follow(wire, "stream_tickers", { exchange })));
  expect(new Set(opened.flatMap(({ topics }) => topics)).size).toBe(exchanges.length);
  // The same channel, ticker_updates:a:b:c, for two different tickers.
  const twins = [
    ["a", "b:c"],
    ["a:b", "c"],
  ] as const;
  const single = await Promise.all(
    twins.map(([exchange, symbol]) => follow(wire, "stream_tickers", { exchange, symbols: [symbol] })),
  );
  for (const [at, exchange] of exchanges.entries()) await setTicker(redis, exchange, "X", at + 1);
  await setTicker(redis, "a:b", "c", 100);
  await setTicker(redis, "a", "b:c", 200);
  const pictures = opened.map(({ topics }) => new Picture(wire, topics[0] ?? ""));
  for (const [at, exchange] of exchanges.entries()) {
    const expected = (await wire.ask("get_all_tickers", { exchange })) as Frame[];
    await expect.poll(() => sameItems(pictures[at]?.items ?? [], expected), { message: exchange }).toBe(true);
  }
  for (const [at, [exchange, symbol]] of twins.entries()) {
    const picture = new Picture(wire, single[at]?.topics[0] ?? "");
    const expected = await wire.ask("get_ticker", { exchange, symbol });
    await expect.poll(() => picture.items).toEqual([expected]);
  }
  // Not for a moment either.
  for (const { topics } of [...opened, ...single])
    expect(new Set(wire.updates(topics[0] ?? "").map(({ exchange }) => exchange)).size).toBe(1);
});

test("a ticker that is deleted or overwritten without a message is noticed", async () => {
  await setTicker(redis, "quiet", "A", 1);
  const wire = await gateway.wire();
  await follow(wire, "stream_tickers", { exchange: "quiet" });
  await follow(wire, "stream_tickers", { exchange: "quiet", symbols: ["A"] });
  const pictures = ["tickers:quiet", "ticker:quiet:A"].map((topic) => new Picture(wire, topic));
  const text = JSON.stringify({ exchange: "quiet", symbol: "A", price: 2, time: 1 });
  await redis.command(["HSET", "tickers:quiet", "A", text]);
  for (const picture of pictures)
    await expect.poll(() => picture.items, { timeout: 3_000 }).toMatchObject([{ price: 2 }]);
  await redis.command(["HDEL", "tickers:quiet", "A"]);
  for (const picture of pictures) await expect.poll(() => picture.items, { timeout: 3_000 }).toEqual([]);
});

test("a message that the hash does not confirm does not last", async () => {
  await setTicker(redis, "rumour", "A", 1);
  const wire = await gateway.wire();
  await follow(wire, "stream_tickers", { exchange: "rumour", symbols: ["A"] });
  const picture = new Picture(wire, "ticker:rumour:A");
  await redis.command([
    "PUBLISH",
    "ticker_updates:rumour:A",
    JSON.stringify({ exchange: "rumour", symbol: "A", price: 9, time: 1 }),
  ]);
  await wire.frame(({ price }) => price === 9);
  await expect.poll(() => picture.items, { timeout: 3_000 }).toMatchObject([{ price: 1 }]);
});

test("what is published but cannot stand alone is looked up", async () => {
  await setTicker(redis, "odd", "A", 1);
  const wire = await gateway.wire();
  await follow(wire, "stream_tickers", { exchange: "odd", symbols: ["A"] });
  const text = JSON.stringify({ exchange: "elsewhere", symbol: "A", price: 7, time: 1 });
  await redis.command(["HSET", "tickers:odd", "A", text]);
  for (const message of ["", "null", "[]", "{", '{"price": 3}', text])
    await redis.command(["PUBLISH", "ticker_updates:odd:A", message]);
  await wire.frame(({ price }) => price === 7);
  expect(wire.updates("ticker:odd:A")).toMatchObject([{ price: 1 }, { exchange: "odd", price: 7 }]);
});

test("with interval_ms an item comes at most once per interval, the latest, and what was left out is counted", async () => {
  const [every, seldom] = await Promise.all([gateway.wire(), gateway.wire()]);
  await follow(every, "stream_orders", { exchange: "interval" });
  await follow(seldom, "stream_orders", { exchange: "interval", interval_ms: 400 });
  const picture = new Picture(seldom, "orders:interval");
  const began = performance.now();
  const arrivals: { id: unknown; at: number }[] = [];
  seldom.socket.on("message", (data) => {
    const { order_id } = JSON.parse(String(data)) as Frame;
    if (order_id) arrivals.push({ id: order_id, at: performance.now() - began });
  });
  const last = 60;
  for (let n = 1; n <= last; n++) {
    await saveOrder(redis, "interval", n % 2 ? "odd" : "even", "open", n);
    await every.frame(({ volume }) => volume === n);
  }
  await saveOrder(redis, "interval", "late", "open", last + 1);
  await seldom.frame(({ volume }) => volume === last + 1);
  const length = performance.now() - began;
  expect(picture.items).toMatchObject([
    { order_id: "odd", volume: last - 1 },
    { order_id: "even", volume: last },
    { order_id: "late" },
  ]);
  for (const id of ["odd", "even"]) {
    const times = arrivals.filter((arrival) => arrival.id === id);
    expect(times.length).toBeLessThanOrEqual(1 + Math.ceil(length / 400));
  }
  const updates = seldom.updates("orders:interval");
  const skipped = updates.reduce((sum, frame) => sum + ((frame["skipped"] as number | undefined) ?? 0), 0);
  expect(skipped).toBeGreaterThan(0);
  expect(updates.length + skipped).toBe(every.updates("orders:interval").length);
});

test("a stream with a shorter interval does not wait for the longer one of another", async () => {
  const wire = await gateway.wire();
  const params = { exchange: "shorter" };
  await follow(wire, "stream_orders", { ...params, interval_ms: 3_600_000 });
  await saveOrder(redis, "shorter", "o-1", "open", 1);
  await wire.frame(({ volume }) => volume === 1);
  // The hour has begun: these wait.
  await saveOrder(redis, "shorter", "o-1", "open", 2);
  await expect
    .poll(() => wire.ask("get_order_status", { exchange: "shorter", order_id: "o-1" }))
    .toMatchObject({ volume: 2 });
  const shorter = await follow(wire, "stream_orders", { ...params, interval_ms: 20 });
  for (let n = 3; n <= 6; n++) await saveOrder(redis, "shorter", "o-1", "open", n);
  await wire.frame(({ volume }) => volume === 6);
  await wire.ask("unsubscribe", { stream: shorter.stream });
  const all = await follow(wire, "stream_orders", params);
  for (let n = 7; n <= 8; n++) {
    await saveOrder(redis, "shorter", "o-1", "open", n);
    await wire.frame(({ volume }) => volume === n);
  }
  expect(new Picture(wire, "orders:shorter").items).toMatchObject([{ volume: 8 }]);
  await wire.ask("unsubscribe", { stream: all.stream });
});

test("an item that comes and goes within an interval leaves nothing behind", async () => {
  const [every, seldom] = await Promise.all([gateway.wire(), gateway.wire()]);
  await follow(every, "stream_positions", { user_id: "brief" });
  await follow(seldom, "stream_positions", { user_id: "brief", interval_ms: 100 });
  const picture = new Picture(seldom, "positions:brief");
  const volumes = [{ A: 1 }, { A: 1, B: 1 }, { B: 2 }, {}, { C: 1 }];
  for (const [at, some] of volumes.entries()) {
    await setPositions(redis, "brief", some as Record<string, number>);
    await expect
      .poll(() => new Picture(every, "positions:brief").items.length)
      .toBe(Object.keys(volumes[at] ?? {}).length);
  }
  await expect.poll(() => picture.items).toMatchObject([{ symbol: "C", volume: 1 }]);
});

test("process health changes when a heartbeat grows stale, without a word from Redis", async () => {
  let now = 1_000_000;
  await using timed = await startGateway({ now: () => now, staleAfterS: 60, rereadMs: 0 });
  await beat(timed.redis, "tick:one:1", "running", now - 59.8);
  await beat(timed.redis, "bot:two:1", "running", now - 30);
  const wire = await timed.wire();
  await follow(wire, "stream_process_health");
  const picture = new Picture(wire, "process_health");
  expect(picture.items).toMatchObject([{ healthy: true, total_processes: 2, stale_processes: 0 }]);
  await timed.redis.command(["CONFIG", "RESETSTAT"]);
  now += 0.5;
  await expect
    .poll(() => picture.items)
    .toMatchObject([
      { healthy: false, stale_processes: 1, problems: [{ process_id: "tick:one:1", stale: true }], timestamp: now },
    ]);
  expect(
    [...(await timed.redis.stats()).keys()].filter((name) => !["config|resetstat", "info", "ping"].includes(name)),
  ).toEqual([]);
  await beat(timed.redis, "tick:one:1", "running", now);
  await expect.poll(() => picture.items).toMatchObject([{ healthy: true, stale_processes: 0 }]);
  await beat(timed.redis, "bot:two:1", "error", now);
  await expect.poll(() => picture.items).toMatchObject([{ error_processes: 1, by_status: { error: 1, running: 1 } }]);
  await timed.redis.command(["HDEL", "process:active:bot", "bot:two:1"]);
  await expect.poll(() => picture.items).toMatchObject([{ healthy: true, total_processes: 1 }]);
  // A heartbeat that changes nothing is no news.
  const before = wire.frames.length;
  await beat(timed.redis, "tick:one:1", "running", now + 0.1);
  await beat(timed.redis, "tick:one:1", "idle", now + 0.1);
  await wire.frame(({ by_status }) => Object.hasOwn((by_status as object) ?? {}, "idle"));
  expect(wire.frames).toHaveLength(before + 1);
});

test("every trade comes once, in order, whoever drains the list meanwhile", async () => {
  const wire = await gateway.wire();
  await pushTrades(redis, "drained", "BTC/USDT", [1, 2, 3]);
  await follow(wire, "stream_trade_updates", { exchange: "drained", symbol: "BTC/USDT" });
  const topic = "trade:drained:BTC/USDT";
  const key = "trades:drained:BTCUSDT";
  const ids = () => wire.updates(topic).map(({ trade_id }) => trade_id);
  const told = (id: number) => wire.frame((frame) => frame["topic"] === topic && frame["trade_id"] === id);
  await pushTrades(redis, "drained", "BTC/USDT", [4, 5]);
  await told(5);
  await redis.command(["DEL", key]);
  await pushTrades(redis, "drained", "BTC/USDT", [6]);
  await told(6);
  await pushTrades(redis, "drained", "BTC/USDT", [7, 8]);
  await told(8);
  await redis.command(["LPOP", key, "2"]);
  await pushTrades(redis, "drained", "BTC/USDT", [9]);
  await told(9);
  // Read and drained, as the ohlcv service does it, and pushed again with as many.
  await redis.command(["DEL", key]);
  await pushTrades(redis, "drained", "BTC/USDT", [10, 11]);
  await told(11);
  expect(ids()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  expect(framesOf(wire, topic).filter((frame) => frame["removed"])).toEqual([]);
});

test("two trades that look alike are two trades", async () => {
  const wire = await gateway.wire();
  await follow(wire, "stream_trade_updates", { exchange: "alike", symbol: "X" });
  await pushTrades(redis, "alike", "X", [1, 1]);
  await wire.frame(({ trade_id }) => trade_id === 1);
  await pushTrades(redis, "alike", "X", [1]);
  await pushTrades(redis, "alike", "X", [2]);
  await wire.frame(({ trade_id }) => trade_id === 2);
  expect(wire.updates("trade:alike:X").map(({ trade_id }) => trade_id)).toEqual([1, 1, 1, 2]);
});

test("the trades of a whole exchange come from lists that are there and from lists that appear", async () => {
  await pushTrades(redis, "wide", "BTC/USDT", [1]);
  await pushTrades(redis, "wider", "BTC/USDT", [100]);
  const wire = await gateway.wire();
  await follow(wire, "stream_trade_updates", { exchange: "wide" });
  await pushTrades(redis, "wide", "ETH/USDT", [2, 3]);
  await pushTrades(redis, "wider", "ETH/USDT", [101]);
  await wire.frame(({ trade_id }) => trade_id === 3);
  await redis.command(["DEL", "trades:wide:BTCUSDT", "trades:wide:ETHUSDT"]);
  await pushTrades(redis, "wide", "NEW/USDT", [4]);
  await pushTrades(redis, "wide", "BTC/USDT", [5]);
  await wire.frame(({ trade_id }) => trade_id === 5);
  await wire.frame(({ trade_id }) => trade_id === 4);
  const ids: Record<string, unknown[]> = {};
  for (const { symbol, trade_id } of wire.updates("trades:wide")) {
    ids[String(symbol)] ??= [];
    ids[String(symbol)]?.push(trade_id);
  }
  expect(ids).toEqual({ "BTC/USDT": [1, 5], "ETH/USDT": [2, 3], "NEW/USDT": [4] });
});

test("a stream that begins while others are written begins with its whole picture", async () => {
  await pushTrades(redis, "calm", "X", [1]);
  await pushTrades(redis, "calm", "Y", [2]);
  const [busy, wire] = await Promise.all([gateway.wire(), gateway.wire()]);
  await follow(busy, "stream_trade_updates", { exchange: "busy" });
  let writing = true;
  const writes = (async () => {
    for (let id = 1; writing; id += 50)
      await Promise.all(Array.from({ length: 50 }, (_, at) => pushTrades(redis, "busy", `S${at}`, [id + at])));
  })();
  try {
    for (let round = 0; round < 20; round++) {
      const from = wire.frames.length;
      const { stream } = await follow(wire, "stream_trade_updates", { exchange: "calm" });
      const ids = framesOf(wire, "trades:calm", from).flatMap(({ trade_id }) =>
        trade_id === undefined ? [] : [trade_id],
      );
      expect(ids.toSorted()).toEqual([1, 2]);
      await wire.ask("unsubscribe", { stream });
    }
  } finally {
    writing = false;
    await writes;
  }
});

test("a newcomer to trades gets the last ones that passed, also those that were drained", async () => {
  const [wire, late] = await Promise.all([gateway.wire(), gateway.wire()]);
  await follow(wire, "stream_trade_updates", { exchange: "late", symbol: "X" });
  await pushTrades(
    redis,
    "late",
    "X",
    Array.from({ length: 1_200 }, (_, at) => at),
  );
  await wire.frame(({ trade_id }) => trade_id === 1_199);
  await redis.command(["DEL", "trades:late:X"]);
  await follow(late, "stream_trade_updates", { exchange: "late", symbol: "X" });
  const ids = late.updates("trade:late:X").map(({ trade_id }) => trade_id);
  expect([ids.length, ids[0], ids.at(-1)]).toEqual([1_000, 200, 1_199]);
  expect(late.updates("trade:late:X").every((frame) => frame["snapshot"] === true)).toBe(true);
});

test("bars: one that changed, one that is new, and a list that was cut", async () => {
  await appendBars(redis, "BARS/A", [
    [1, 10],
    [2, 20],
  ]);
  const wire = await gateway.wire();
  await follow(wire, "stream_ohlcv", { symbol: "BARS/A", timeframe: "1m" });
  const picture = new Picture(wire, "ohlcv:BARS/A:1m");
  const bars = () => picture.items.map(({ timestamp, close }) => [(timestamp as number) / 60, close]);
  expect(bars()).toEqual([
    [1, 10],
    [2, 20],
  ]);
  await appendBars(redis, "BARS/A", [[2, 21]]);
  await expect.poll(bars).toEqual([
    [1, 10],
    [2, 21],
  ]);
  await appendBars(redis, "BARS/A", [
    [2, 22],
    [3, 30],
  ]);
  await expect.poll(bars).toEqual([
    [1, 10],
    [2, 22],
    [3, 30],
  ]);
  // What was pushed again as it was is no news; the next change is the next update.
  const before = wire.frames.length;
  await appendBars(redis, "BARS/A", [[3, 30]]);
  await appendBars(redis, "BARS/A", [[4, 40]]);
  await wire.frame(({ close }) => close === 40);
  expect(wire.frames).toHaveLength(before + 1);
  // The writer keeps the last ten thousand: that cuts nothing here.
  await redis.command(["LTRIM", "ohlcv:BARS/A:1m", "-10000", "-1"]);
  await redis.command(["LTRIM", "ohlcv:BARS/A:1m", "-2", "-1"]);
  await expect.poll(bars).toEqual([
    [3, 30],
    [4, 40],
  ]);
  await redis.command(["DEL", "ohlcv:BARS/A:1m"]);
  await expect.poll(bars).toEqual([]);
  expect(wire.frames.filter((frame) => frame["removed"]).map(({ timestamp }) => timestamp)).toEqual([
    60, 120, 180, 240,
  ]);
});

test("five hundred bars in one push leave the picture that a newcomer gets", async () => {
  await appendBars(redis, "BARS/B", [[1, 1]]);
  const [wire, late] = await Promise.all([gateway.wire(), gateway.wire()]);
  await follow(wire, "stream_ohlcv", { symbol: "BARS/B", timeframe: "1m" });
  await appendBars(
    redis,
    "BARS/B",
    Array.from({ length: 500 }, (_, at) => [at + 2, at + 2] as const),
  );
  await wire.frame(({ close }) => close === 501);
  await follow(late, "stream_ohlcv", { symbol: "BARS/B", timeframe: "1m" });
  const closes = (one: Wire) => new Picture(one, "ohlcv:BARS/B:1m").items.map(({ close }) => close as number);
  const newest = Array.from({ length: 100 }, (_, at) => 402 + at);
  expect(closes(late)).toEqual(newest);
  expect(closes(wire).slice(-100)).toEqual(newest);
  const asked = (await wire.ask("get_latest_ohlcv_bars", { symbol: "BARS/B", timeframe: "1m" })) as number[][];
  expect(asked.map(([, , , , close]) => close)).toEqual(newest);
});

test("a list of bars that was replaced is read anew", async () => {
  await appendBars(redis, "BARS/C", [
    [1, 1],
    [2, 2],
    [3, 3],
  ]);
  const wire = await gateway.wire();
  await follow(wire, "stream_ohlcv", { symbol: "BARS/C", timeframe: "1m" });
  await redis.admin
    .multi()
    .del("ohlcv:BARS/C:1m")
    .rPush("ohlcv:BARS/C:1m", ["[180,1,9,0.5,3,3]", "[240,1,9,0.5,4,3]"])
    .exec();
  const picture = new Picture(wire, "ohlcv:BARS/C:1m");
  await expect.poll(() => picture.items.map(({ timestamp }) => timestamp)).toEqual([180, 240]);
});

test("a stream whose key cannot be read is refused, one that could be is stale until it can be again", async () => {
  await redis.command(["SET", "order_status:type", "text"]);
  const wire = await gateway.wire();
  expect(await wire.request("stream_orders", { exchange: "type" })).toMatchObject({
    error_code: "DATA_CORRUPT",
    details: { key: "order_status:type" },
  });
  await redis.command(["DEL", "order_status:type"]);
  await saveOrder(redis, "type", "o-1", "open", 1);
  await follow(wire, "stream_orders", { exchange: "type" });
  await redis.admin.multi().del("order_status:type").set("order_status:type", "text").exec();
  const stale = await wire.frame(({ state }) => state === "stale");
  expect(stale).toMatchObject({
    topic: "orders:type",
    error_code: "DATA_CORRUPT",
    since: expect.closeTo(Date.now() / 1000, -1),
  });
  const other = await gateway.wire();
  expect(await other.request("stream_orders", { exchange: "type" })).toMatchObject({ success: false });
  const from = wire.frames.length;
  await redis.command(["DEL", "order_status:type"]);
  await saveOrder(redis, "type", "o-1", "open", 2);
  await wire.frame(({ state }) => state === "live", from);
  await expect.poll(() => new Picture(wire, "orders:type").items).toMatchObject([{ volume: 2 }]);
});
