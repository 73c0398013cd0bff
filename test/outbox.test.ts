import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { Outbox } from "../src/server/outbox.ts";
import { textFrame } from "../src/server/text-frame.ts";
import { collectGarbage } from "./kit/garbage.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Both ends of one WebSocket: the server's with its outbox, the client's with what arrived, in messages and in reads. */
async function pair() {
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const client = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`);
  closers.push(() => {
    client.terminate();
    server.close();
    http.close();
  });
  const messages: string[] = [];
  client.on("message", (data, isBinary) => messages.push(isBinary ? "binary" : String(data)));
  const [[websocket, request], [answer]] = await Promise.all([once(server, "connection"), once(client, "upgrade")]);
  if (client.readyState !== WebSocket.OPEN) await once(client, "open");
  let reads = 0;
  answer.socket.on("data", () => reads++);
  const held: number[] = [];
  const limits = { congested_bytes: 1_000_000, max_backlog_bytes: Number.POSITIVE_INFINITY, slow_ms: 1_000 };
  const owner = { hold: () => held.push(outbox.queuedBytes), goOn: () => {}, slow: () => {}, skipped: () => {} };
  const outbox: Outbox = new Outbox(websocket, request.socket, limits, owner);
  return {
    outbox,
    /** How many bytes were waiting each time that it became congested. */
    held,
    websocket,
    socket: request.socket,
    client,
    messages,
    reads: () => reads,
  };
}

test.each([0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])(
  "a frame of %i bytes is read as it was written",
  async (length) => {
    const { outbox, messages } = await pair();
    const text = "x".repeat(length);
    outbox.add(textFrame(text));
    outbox.add(textFrame("the end"));
    await expect.poll(() => messages.length).toBe(2);
    expect(messages[0] === text).toBe(true);
    expect(messages[1]).toBe("the end");
  },
);

test("the length of a frame is that of its bytes, not of its characters", async () => {
  const { outbox, messages } = await pair();
  // 63 characters of two code units each are 252 bytes; 42 of three bytes are 126.
  const texts = ["🚀".repeat(63), "€".repeat(42), 'ü\u0000\u2028"\\'];
  for (const text of texts) outbox.add(textFrame(text));
  await expect.poll(() => messages).toEqual(texts);
});

test("what is added in one turn leaves in one write, in order", async () => {
  const { outbox, messages, reads } = await pair();
  const texts = Array.from({ length: 200 }, (_, at) => `message ${at}`);
  for (const text of texts) outbox.add(textFrame(text));
  expect(messages).toEqual([]);
  await expect.poll(() => messages).toEqual(texts);
  expect(reads()).toBe(1);
});

test("a flush sends what is due at once, and nothing twice", async () => {
  const { outbox, websocket, messages } = await pair();
  outbox.add(textFrame("first"));
  outbox.flush();
  websocket.send("by ws itself");
  outbox.add(textFrame("last"));
  await expect.poll(() => messages).toEqual(["first", "by ws itself", "last"]);
});

test("after the close frame nothing more is written", async () => {
  const { outbox, websocket, client, messages } = await pair();
  outbox.add(textFrame("before"));
  outbox.flush();
  websocket.close(4000);
  outbox.add(textFrame("after"));
  const [code] = await once(client, "close");
  expect([code, messages]).toEqual([4000, ["before"]]);
});

test("a socket that is gone takes what is due without a complaint", async () => {
  const { outbox, websocket, client, messages, held } = await pair();
  const closed = once(websocket, "close");
  client.terminate();
  for (let at = 0; at < 100; at++) outbox.add(textFrame("x".repeat(10_000)));
  await closed;
  held.length = 0;
  outbox.add(textFrame("too late"));
  outbox.flush();
  expect([held, messages]).toEqual([[], []]);
});

test("what the socket has not taken is told, and its end is announced", async () => {
  const { outbox, socket, client, messages, held } = await pair();
  outbox.add(textFrame("taken at once"));
  outbox.flush();
  expect(outbox.queuedBytes).toBe(0);
  client.pause();
  const text = "x".repeat(100_000);
  let sent = 1;
  while (!outbox.congested) {
    outbox.add(textFrame(text));
    outbox.flush();
    sent++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const drained = once(socket, "drain");
  client.resume();
  await drained;
  expect([outbox.congested, held.length]).toEqual([false, 1]);
  await expect.poll(() => messages.length).toBe(sent);
});

test("what waits keeps no memory but its own", async () => {
  const { outbox, client } = await pair();
  client.pause();
  while (!outbox.congested) {
    outbox.add(textFrame("x".repeat(1_000_000)));
    outbox.flush();
  }
  collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  for (let at = 0; at < 5_000; at++) {
    outbox.add(textFrame("x".repeat(100)));
    outbox.flush();
    // The frames of others, which share memory with it, and go at once.
    for (let other = 0; other < 80; other++) textFrame("y".repeat(100));
  }
  collectGarbage();
  expect((process.memoryUsage().arrayBuffers - before) / 5_000).toBeLessThan(500);
});

test("sockets that are due the same chunks get the same bytes, others get their own", async () => {
  const ends = await Promise.all([pair(), pair(), pair()]);
  const [a, b, c] = ["a", "b", "c"].map(textFrame) as [Buffer, Buffer, Buffer];
  const shares: Buffer[][] = [
    [a, b],
    [a, b],
    [a, c],
  ];
  for (const [at, share] of shares.entries()) for (const chunk of share) ends[at]?.outbox.add(chunk);
  const texts = () => ends.map(({ messages }) => messages.join(""));
  await expect.poll(texts).toEqual(["ab", "ab", "ac"]);
  for (const [at, share] of shares.entries()) for (const chunk of share.toReversed()) ends[at]?.outbox.add(chunk);
  await expect.poll(texts).toEqual(["abba", "abba", "acca"]);
});
