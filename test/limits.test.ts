import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Rate } from "../src/server/rate.ts";
import { startGateway, Wire } from "./kit/gateway.ts";
import { startGatewayProcess } from "./kit/gateway-process.ts";
import { startRedis } from "./kit/redis.ts";

describe("a rate", () => {
  test("allows a burst at once, and then so many per second", () => {
    const rate = new Rate(10, 5);
    let paidAt = 0;
    let now = 50_000;
    const take = () => {
      paidAt = rate.take(paidAt, now);
      return rate.wait(paidAt, now) <= 0;
    };
    expect(Array.from({ length: 6 }, take)).toEqual([true, true, true, true, true, false]);
    now += 200;
    expect([take(), take()]).toEqual([true, false]);
    now += 10_000;
    expect(Array.from({ length: 6 }, take)).toEqual([true, true, true, true, true, false]);
    expect(rate.isFlooded(paidAt, now)).toBe(false);
    for (let more = 0; more < 5; more++) take();
    expect(rate.isFlooded(paidAt, now)).toBe(true);
  });

  test("of 0 allows everything", () => {
    const rate = new Rate(0, 1);
    let paidAt = 0;
    for (let n = 0; n < 1_000; n++) paidAt = rate.take(paidAt, 7);
    expect([rate.wait(paidAt, 7), rate.isFlooded(paidAt, 7)]).toEqual([0, false]);
  });
});

test("who sends too many messages is told when to go on, and who does not listen is closed with 4429", async () => {
  await using gateway = await startGateway({ messageRate: 20, messageBurst: 10 });
  const [wire, other] = [await gateway.wire(), await gateway.wire()];
  const ping = (id: number) => JSON.stringify({ request_id: id, operation: "ping" });
  for (let id = 1; id <= 14; id++) wire.send(ping(id));
  const refused = await wire.frame(({ request_id }) => request_id === 14);
  expect(refused).toMatchObject({ success: false, error_code: "RATE_LIMITED", retryable: true });
  const { retry_after_ms: waitMs } = refused["details"] as { retry_after_ms: number };
  expect(waitMs).toBeGreaterThan(0);
  expect(waitMs).toBeLessThanOrEqual(1_000 * (14 / 20));
  // Frames that cannot be read count as well.
  wire.send("nonsense");
  expect(await wire.frame(({ request_id }) => request_id === null)).toMatchObject({ error_code: "RATE_LIMITED" });
  await pause(waitMs + 100);
  expect(await wire.request("ping")).toMatchObject({ success: true });
  const closed = wire.closed();
  for (let id = 100; id < 200; id++) wire.send(ping(id));
  expect(await closed).toBe(4429);
  expect(await other.ask("ping")).toMatchObject({ updates_sent: 0 });
  const { limits } = (await other.ask("get_server_info")) as { limits: object };
  expect(limits).toMatchObject({ message_rate: 20, message_burst: 10 });
  expect(gateway.server.summary.refusals["RATE_LIMITED"]).toBeGreaterThan(10);
});

test("pings are messages, too", async () => {
  await using gateway = await startGateway({ messageRate: 20, messageBurst: 10 });
  const wire = await gateway.wire();
  const closed = wire.closed();
  for (let count = 0; count < 100; count++) wire.socket.ping();
  expect(await closed).toBe(4429);
});

test("a connection that asks nothing and follows nothing may be ended, and no other", async () => {
  await using gateway = await startGateway({ idleMs: 300, pingMs: 100 });
  const [idle, follows, asks] = [await gateway.wire(), await gateway.wire(), await gateway.wire()];
  await follows.ask("stream_bot_status");
  const asking = setInterval(() => asks.send('{"request_id":1,"operation":"ping"}'), 50);
  expect(await idle.closed()).toBe(1000);
  expect(await follows.ask("ping")).toBeDefined();
  expect(await asks.ask("ping")).toBeDefined();
  clearInterval(asking);
  expect(await asks.closed()).toBe(1000);
});

test("whoever begins a request and does not end it is sent away", async () => {
  await using gateway = await startGateway();
  const socket = connect(Number(new URL(gateway.server.url).port), "127.0.0.1");
  let answer = "";
  socket.on("data", (text) => {
    answer += text;
  });
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n");
  await new Promise((resolve) => socket.once("close", resolve));
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
});

test("a process that stood still reads what its clients said before it takes them for dead", async () => {
  await using redis = await startRedis();
  await using gateway = await startGatewayProcess(redis, { pingMs: 400 });
  const wire = await Wire.open(gateway.url, { autoPong: false });
  let stalled: ((stall: Promise<void>) => void) | undefined;
  wire.socket.on("ping", () => {
    stalled?.(gateway.stall(1_000));
    stalled = undefined;
    // Where it stalls, this waits in the socket until it goes on, which is after the next ping is due.
    wire.socket.pong();
  });
  for (let round = 0; round < 6; round++) {
    await new Promise<void>((resolve) => {
      stalled = resolve;
    });
    expect(await wire.request("ping")).toMatchObject({ success: true });
  }
  wire.close();
});
