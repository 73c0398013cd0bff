import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { type ConnectionStatus, Link, type LinkOptions, type WebSocketClass } from "../src/client/link.ts";
import { freePort } from "./kit/free-port.ts";
import { startPeer } from "./kit/peer.ts";
import { until } from "./kit/until.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** A link that keeps what it tells. */
function open(
  url: string,
  options: Partial<LinkOptions> = {},
  changed = (_link: Link, _status: ConnectionStatus) => {},
) {
  const told = { states: [] as ConnectionStatus[], received: [] as string[], opened: 0, beats: 0 };
  const link: Link = new Link(
    url,
    {
      WebSocket: WebSocket as unknown as WebSocketClass,
      connectTimeoutMs: 1_000,
      maxBackoffMs: 30_000,
      silenceMs: 10_000,
      ...options,
    },
    {
      opened: () => void told.opened++,
      received: (text) => void told.received.push(text),
      beat: () => void told.beats++,
      status: (status) => {
        told.states.push(status);
        changed(link, status);
      },
    },
  );
  link.open();
  onTestFinished(() => link.close());
  const pauses = () => told.states.flatMap((status) => (status.state === "waiting" ? [status] : []));
  return { link, told, pauses };
}

test("the pauses between attempts grow with each attempt, up to a bound", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.05);
  const { pauses } = open(`ws://127.0.0.1:${await freePort()}`, { maxBackoffMs: 2_000 });
  await until(() => expect(pauses().length).toBeGreaterThanOrEqual(6));
  expect(pauses().map(({ delayMs }) => delayMs)).toEqual([20, 40, 80, 100, 100, 100].slice(0, pauses().length));
  expect(pauses().map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5, 6].slice(0, pauses().length));
  expect(pauses()[0]?.reason).toMatchObject({ code: "CONNECTION_FAILED" });
});

test("pauses are random over their whole length, so that clients do not come back in step", async () => {
  const url = `ws://127.0.0.1:${await freePort()}`;
  const links = Array.from({ length: 40 }, () => open(url));
  await until(() => expect(links.every(({ pauses }) => pauses().length > 0)).toBe(true));
  const delays = links.flatMap(({ pauses }) => pauses().slice(0, 1)).map(({ delayMs }) => delayMs);
  expect(Math.max(...delays)).toBeLessThan(400);
  expect(Math.max(...delays)).toBeGreaterThan(200);
  expect(Math.min(...delays)).toBeLessThan(200);
});

test("a server that accepts and closes at once is not asked ever faster", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.05);
  await using peer = await startPeer((socket) => socket.close(1013));
  const { told, pauses } = open(peer.url);
  await until(() => expect(pauses().length).toBeGreaterThanOrEqual(4));
  expect(pauses().map(({ delayMs }) => delayMs)).toEqual([20, 40, 80, 160].slice(0, pauses().length));
  expect(told.opened).toBe(peer.connections);
});

test("after a connection that held, the first pause is short again", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.05);
  vi.useFakeTimers({ toFake: ["performance"] });
  await using peer = await startPeer((socket, nth) => {
    if (nth < 4) socket.close(1012);
    else socket.on("message", () => socket.close(1012));
  });
  const { link, told, pauses } = open(peer.url);
  await until(() => expect(told.opened).toBe(4));
  vi.advanceTimersByTime(6_000);
  link.send("close, please");
  await until(() => expect(pauses()).toHaveLength(4));
  expect(pauses().map(({ attempt, delayMs }) => [attempt, delayMs])).toEqual([
    [1, 20],
    [2, 40],
    [3, 80],
    [0, 10],
  ]);
});

test("after a connection that held, the pauses grow as long as no other is made", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.05);
  vi.useFakeTimers({ toFake: ["performance"] });
  const peer = await startPeer(() => {}, await freePort());
  const { told, pauses } = open(peer.url);
  await until(() => expect(told.opened).toBe(1));
  vi.advanceTimersByTime(6_000);
  await peer[Symbol.asyncDispose]();
  await until(() => expect(pauses().length).toBeGreaterThanOrEqual(4));
  expect(pauses().map(({ delayMs }) => delayMs)).toEqual([10, 20, 40, 80].slice(0, pauses().length));
});

test("a connection that is closed for good in the moment in which it breaks does not come back", async () => {
  await using peer = await startPeer((socket, nth) => {
    if (nth === 1) socket.close(1012);
  });
  const { told } = open(peer.url, { maxBackoffMs: 1 }, (link, { state }) => {
    if (state === "waiting") link.close();
  });
  await until(() => expect(told.states.at(-1)).toEqual({ state: "closed" }));
  const other = open(peer.url);
  await until(() => expect(other.told.opened).toBe(1));
  expect(told.states.map(({ state }) => state)).toEqual(["connecting", "open", "waiting", "closed"]);
  expect(peer.connections).toBe(2);
});

test("a closed connection asks for no more signs of life", async () => {
  await using peer = await startPeer(() => {});
  const [closed, other] = [open(peer.url, { silenceMs: 30 }), open(peer.url, { silenceMs: 30 })];
  await until(() => expect(closed.told.opened).toBe(1));
  const { beats } = closed.told;
  closed.link.close();
  await until(() => expect(other.pauses().length).toBeGreaterThan(0));
  expect(closed.told).toMatchObject({ beats, opened: 1 });
  expect(closed.told.states.at(-1)).toEqual({ state: "closed" });
});

test("what comes is handed on; what is sent without a connection goes nowhere", async () => {
  await using peer = await startPeer((socket) => {
    socket.on("message", (data) => socket.send(`you said ${data}`));
    socket.send(Buffer.from("binary"));
  });
  const { link, told } = open(peer.url);
  link.send("too early");
  await until(() => expect(told.opened).toBe(1));
  link.send("hello");
  await until(() => expect(told.received).toEqual(["you said hello"]));
  link.close();
  link.send("too late");
  expect(told.states.map(({ state }) => state)).toEqual(["connecting", "open", "closed"]);
});

test("signs of life are asked for in every interval, and a connection that gives none is given up", async () => {
  await using peer = await startPeer(() => {});
  const { told, pauses } = open(peer.url, { silenceMs: 40, maxBackoffMs: 1 });
  await until(() => expect(told.opened).toBe(2));
  expect(told.beats).toBeGreaterThanOrEqual(1);
  expect(pauses()[0]?.reason.message).toMatch(/is dead: nothing was heard for 40 ms and more/);
});

test.each(["with terminate()", "without"])(
  "a socket that does not open in time is given up; a class %s",
  async (kind) => {
    const mute = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void mute.close());
    await once(mute, "listening");
    const connected = once(mute, "connection");
    class Kind extends WebSocket {}
    if (kind === "without") Object.defineProperty(Kind.prototype, "terminate", { value: undefined });
    const url = `ws://127.0.0.1:${(mute.address() as AddressInfo).port}`;
    const options = { connectTimeoutMs: 50, maxBackoffMs: 10_000 };
    const { pauses, told } = open(url, { WebSocket: Kind as unknown as WebSocketClass, ...options });
    const [socket] = (await connected) as [Socket];
    socket.resume();
    await until(() => expect(pauses()).toHaveLength(1));
    expect(pauses()[0]?.reason.message).toMatch(/is dead: no connection within 50 ms/);
    expect(told.opened).toBe(0);
    await until(() => expect(socket.destroyed).toBe(true));
  },
);

test("a URL of which no socket can be made ends it", async () => {
  const { told } = open("nonsense");
  expect(told.states).toMatchObject([{ state: "connecting", attempt: 1 }, { state: "closed" }]);
  expect(told.states[1]).toMatchObject({ reason: { code: "CONNECTION_FAILED", cause: expect.any(SyntaxError) } });
});

test("close() while connecting ends it without a word from the socket", async () => {
  await using peer = await startPeer(() => {});
  const { link, told } = open(peer.url);
  link.close();
  link.close();
  const other = open(peer.url);
  await until(() => expect(other.told.opened).toBe(1));
  expect(told.states.map(({ state }) => state)).toEqual(["connecting", "closed"]);
  expect(told.opened).toBe(0);
});

test("a token that comes when nobody wants it any more is not used, nor is its failure told", async () => {
  await using peer = await startPeer(() => {});
  const sources = [() => delay(30, "token"), () => delay(30).then(() => Promise.reject(new Error("none")))];
  const links = sources.map((token) => open(peer.url, { token }));
  for (const { link } of links) link.close();
  await delay(60);
  for (const { told } of links) expect(told.states.map(({ state }) => state)).toEqual(["connecting", "closed"]);
  expect(peer.connections).toBe(0);
});

test("a failure that is no error is told without its words", async () => {
  await using peer = await startPeer(() => {});
  const { pauses } = open(peer.url, { token: () => Promise.reject("nothing") });
  await until(() => expect(pauses()).toHaveLength(1));
  expect(pauses()[0]?.reason).toMatchObject({ code: "UNAUTHORIZED", message: `no token could be got for ${peer.url}` });
  class Thrower {
    constructor() {
      throw "no";
    }
  }
  const { told } = open(peer.url, { WebSocket: Thrower as unknown as WebSocketClass });
  expect(told.states[1]).toMatchObject({
    state: "closed",
    reason: { message: expect.stringContaining("no WebSocket") },
  });
});
