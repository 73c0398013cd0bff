import { getEventListeners } from "node:events";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type ClientOptions, fullonCacheApi, merge } from "../src/client/index.ts";
import type { CacheClient } from "../src/client/websocket-client.ts";
import { dataOf } from "./kit/answers.ts";
import { figure, isLong, scaled } from "./kit/chaos.ts";
import { collectGarbage } from "./kit/garbage.ts";
import { type Frame, startGateway, type TestGateway } from "./kit/gateway.ts";
import { identityOf } from "./kit/picture.ts";
import { startSource } from "./kit/program.ts";
import { startProxy, type TcpProxy } from "./kit/proxy.ts";
import { Reader } from "./kit/reader.ts";
import { startRedis } from "./kit/redis.ts";
import { startServing } from "./kit/serving.ts";
import { beat, isTrue, saveOrder, setTicker, streamKinds } from "./kit/streams.ts";
import { until } from "./kit/until.ts";
import { startWebSocketProxy } from "./kit/websocket-proxy.ts";

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

// What mostly waits, all of it at once.
describe("the network fails:", () => {
  test.concurrent("200 clients whose gateway is killed all come back, spread over time, and see the same again", async ({
    expect,
  }) => {
    await using redis = await startRedis();
    await using serving = await startServing(redis.gatewayUrl);
    const symbols = ["A", "B", "C", "D"];
    for (const symbol of symbols) await setTicker(redis, "binance", symbol, 0);
    const clients = await Promise.all(
      Array.from({ length: 200 }, () => fullonCacheApi(serving.url, { maxBackoffMs: scaled(1_000, 8_000) })),
    );
    const arrivals: number[] = [];
    // How long each waited before the attempt that succeeded, by its own choice.
    const delays = new Map<CacheClient, number>();
    for (const client of clients)
      void (async () => {
        for await (const status of client.status()) {
          if (status.state === "open") arrivals.push(performance.now());
          if (status.state === "waiting") delays.set(client, status.delayMs);
        }
      })();
    const readers = clients.map((client) => new Reader(client.streamTickers("binance"), "symbol"));
    const allKnow = async (price: number, gone: readonly string[]) => {
      const expected = symbols.filter((symbol) => !gone.includes(symbol)).map((symbol) => ({ symbol, price }));
      for (const { items } of readers) expect(items).toMatchObject(expected);
    };
    await expect.poll(() => allKnow(0, []), { timeout: 20_000 }).toBeUndefined();

    for (let round = 1; round <= scaled(1, 2); round++) {
      arrivals.length = 0;
      await serving.kill();
      await redis.command(["HDEL", "tickers:binance", ...symbols.slice(0, round)]);
      for (const symbol of symbols.slice(round)) await setTicker(redis, "binance", symbol, round);
      await serving.start();
      const back = performance.now();
      await expect.poll(() => allKnow(round, symbols.slice(0, round)), { timeout: 30_000 }).toBeUndefined();
      expect(arrivals).toHaveLength(clients.length);
      const [first = 0, ...later] = arrivals.toSorted((a, b) => a - b);
      const last = later.at(-1) ?? 0;
      const mostIn100Ms = (moments: readonly number[]) =>
        Math.max(...moments.map((from) => moments.filter((at) => at >= from && at < from + 100).length));
      // Not all of them at once.
      expect(mostIn100Ms([...delays.values()])).toBeLessThan(clients.length / 2);
      figure(
        `200 clients after a killed gateway (${round}): the first back after, the last`,
        `${seconds(Math.max(0, first - back))}, ${seconds(last - back)}`,
      );
      figure(`200 clients after a killed gateway (${round}): most within 100 ms`, mostIn100Ms(arrivals));
    }
    const { gateway } = await (clients[0] as CacheClient).getSystemHealth();
    expect(gateway).toMatchObject({ connections: 200, streams: 200, topics: 1 });
    await Promise.all(clients.map((client) => client.close()));
    for (const { ended } of readers) expect(await ended).toBeUndefined();
  }, 90_000);

  // In the long form with the settings that everybody has: so each takes half a minute, all of them at once.
  describe.concurrent("a connection that looks open and carries nothing", () => {
    const settings = isLong ? {} : { pingMs: 300 };
    const options: ClientOptions = isLong ? {} : { silenceMs: 300 };
    const limitMs = isLong ? 30_000 : 5_000;

    test.for<[string, (proxy: TcpProxy) => void]>([
      ["either way", (proxy) => proxy.hold()],
      ["to the gateway", (proxy) => proxy.holdOneWay("requests")],
      ["to the client", (proxy) => proxy.holdOneWay("answers")],
    ])("%s, is found by both sides in time", { timeout: 90_000 }, async ([way, hold], { expect }) => {
      await using gateway = await startGateway(settings);
      const { redis, server } = gateway;
      await using proxy = await startProxy(Number(new URL(server.url).port));
      const client = await gateway.client({ ...options, url: proxy.through(server.url), maxBackoffMs: 100 });
      const reader = new Reader(client.streamTickers("binance"), "symbol");
      await expect.poll(() => reader.stream.state.state, { timeout: 8_000 }).toBe("live");

      hold(proxy);
      const died = performance.now();
      const passed = () => performance.now() - died;
      await setTicker(redis, "binance", "A", 1);
      let clientMs = 0;
      const noticed = (async () => {
        for await (const { state } of client.status()) {
          if (state === "open") continue;
          clientMs = passed();
          return;
        }
      })();
      const closed = () => gateway.lines.some(({ msg, connection }) => msg === "connection closed" && connection === 1);
      await expect.poll(closed, { timeout: 60_000, interval: 20 }).toBe(true);
      const gatewayMs = passed();
      await noticed;
      expect(Math.max(clientMs, gatewayMs)).toBeLessThan(limitMs);
      if (isLong)
        figure(
          `a connection that carries nothing (${way}): found by the client, the gateway`,
          `${seconds(clientMs)}, ${seconds(gatewayMs)}`,
        );
      // The next connection is as good as the first, of which nothing stays.
      proxy.release();
      await expect.poll(() => reader.items, { timeout: 20_000 }).toMatchObject([{ symbol: "A", price: 1 }]);
      const one = { connections: 1, streams: 1, topics: 1 };
      await expect.poll(() => server.summary, { timeout: 8_000 }).toMatchObject(one);
      await client.close();
    });
  });
});

const isUpdate = (frame: Frame) => frame["update_id"] !== undefined && frame["type"] !== "stream_status";

describe.concurrent("a single frame that is lost on the way is noticed, and all is known again:", () => {
  type Kind = ReturnType<typeof streamKinds>[number];
  const isLost: Readonly<Record<string, (frame: Frame, topic: string) => boolean>> = {
    "an update": (frame, topic) => isUpdate(frame) && frame["snapshot"] === undefined && frame["topic"] === topic,
    "an item of a snapshot": (frame, topic) => frame["snapshot"] === true && frame["topic"] === topic,
    "the end of a snapshot": (frame, topic) => frame["state"] === "live" && frame["topic"] === topic,
    "the answer to the request for a stream": ({ result }, topic) =>
      (result as { topics?: string[] } | undefined)?.topics?.includes(topic) ?? false,
  };

  /** Follows a stream with a client of its own, behind a network that loses one frame of it, and has it say all is well. */
  async function lose(what: string, kind: Kind, gateway: TestGateway): Promise<void> {
    const { redis } = gateway;
    await using proxy = await startWebSocketProxy(gateway.server.url);
    await using client = await fullonCacheApi(proxy.url, { silenceMs: 1_000, timeoutMs: 1_000, maxBackoffMs: 50 });
    await kind.write(redis, 1);
    const lost = proxy.swallow((frame) => isLost[what]?.(frame, kind.topic) ?? false);
    const follow = client[kind.operation.replace(/_(.)/g, (_, letter) => letter.toUpperCase()) as "streamBotStatus"];
    const stream = (follow as (params: object) => ReturnType<typeof follow>)(kind.params);
    const picture = new Map<string, Frame>();
    const updates: Frame[] = [];
    const reading = (async () => {
      for await (const update of stream as AsyncIterable<unknown>) {
        const frame = update as Frame;
        updates.push(frame);
        if (frame["removed"]) picture.delete(identityOf(frame));
        else picture.set(identityOf(frame), dataOf(frame));
      }
    })();
    const tells = (n: number) =>
      expect(
        updates.some((update) => kind.tells(update, n)),
        kind.name,
      ).toBe(true);
    let n = 1;
    if (what === "an update") {
      await until(() => expect(stream.state.state).toBe("live"));
      await kind.write(redis, ++n);
    }
    await lost;
    await until(() => tells(n));
    await until(() => expect(stream.state).toEqual({ state: "live" }));
    const wire = await gateway.wire();
    // Some kinds read the same key as others, who write meanwhile.
    const isKnown = () => isTrue(kind, { items: [...picture.values()] }, wire);
    await until(async () => expect(await isKnown(), kind.name).toBe(true));
    await kind.write(redis, ++n);
    await until(() => tells(n));
    await client.close();
    await reading;
  }

  test.for(Object.keys(isLost))("%s", { timeout: 60_000 }, async (what) => {
    await using gateway = await startGateway({ rereadMs: 0 });
    await Promise.all(streamKinds("lossy").map((kind) => lose(what, kind, gateway)));
  });

  test("the answer to a question, which is given up in time, or to unsubscribe", async () => {
    await using gateway = await startGateway();
    await using proxy = await startWebSocketProxy(gateway.server.url);
    await using client = await fullonCacheApi(proxy.url);
    const answer = () => proxy.swallow(({ success }) => success === true);
    const lost = answer();
    await expect(client.getBots({ timeoutMs: 300 })).rejects.toMatchObject({
      code: "REQUEST_TIMEOUT",
      retryable: true,
    });
    await lost;
    expect(await client.getBots()).toEqual([]);
    const stream = client.streamBotStatus();
    const next = stream.next();
    await until(() => expect(stream.state.state).toBe("live"));
    const unsubscribed = proxy.swallow(({ result }) => Object.hasOwn((result as object) ?? {}, "stream"));
    await stream.return();
    expect((await next).done).toBe(true);
    await unsubscribed;
    expect(await client.listStreams()).toEqual([]);
    expect(gateway.server.summary).toMatchObject({ streams: 0, topics: 0, connections: 1 });
    expect(proxy.connections).toBe(1);
  });

  test("that a topic is stale: its picture is right in the end", async () => {
    await using gateway = await startGateway();
    const { redis } = gateway;
    await using proxy = await startWebSocketProxy(gateway.server.url);
    await using client = await fullonCacheApi(proxy.url, { silenceMs: 300 });
    await saveOrder(redis, "binance", "lost", "open");
    const reader = new Reader(client.streamOrders("binance"), "order_id");
    await until(() => expect(reader.items).toHaveLength(1));
    const lost = proxy.swallow(({ state }) => state === "stale");
    await redis.kill();
    await lost;
    await redis.start();
    await saveOrder(redis, "binance", "new", "open");
    await until(() => expect(reader.items).toMatchObject([{ order_id: "new" }]));
    expect(reader.stream.state).toEqual({ state: "live" });
  });
});

describe.concurrent("a clock that jumps by an hour", () => {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  const clock = new URL("./kit/clock.ts", import.meta.url).href;
  const env = { NODE_OPTIONS: `--import ${tsx} --import ${clock}` };

  test("takes nothing for dead, neither at the gateway nor at a client; heartbeats are judged by the new time", {
    timeout: 60_000,
  }, async () => {
    await using redis = await startRedis();
    const flags = ["--ping-ms", "1000", "--reread-ms", "300", "--log-level", "info"];
    await using serving = await startServing(redis.gatewayUrl, flags, env);
    await using proxy = await startWebSocketProxy(serving.url);
    await using follower = startSource(
      fileURLToPath(new URL("./kit/follower.ts", import.meta.url)),
      [proxy.url, "binance", JSON.stringify({ silenceMs: 1_000 })],
      { env },
    );
    await beat(redis, "bot:x:1", "running", Date.now() / 1000);
    await using observer = await fullonCacheApi(serving.url);
    const health = new Reader(observer.streamProcessHealth());
    const stale = () => health.items.map(({ stale_processes }) => stale_processes);
    await until(() => expect(stale()).toEqual([0]));
    let price = 0;
    const goesOn = async () => {
      await setTicker(redis, "binance", "BTC/USDT", ++price);
      await follower.line(new RegExp(`^price ${price}$`));
      const pings = () => proxy.operations.filter((operation) => operation === "ping").length;
      const before = pings();
      await until(() => expect(pings()).toBeGreaterThan(before));
    };
    await goesOn();
    // The client's clock goes the other way.
    for (const [signal, opposite, hours] of [
      ["SIGUSR2", "SIGURG", 1],
      ["SIGURG", "SIGUSR2", 0],
      ["SIGURG", "SIGUSR2", -1],
      ["SIGUSR2", "SIGURG", 0],
    ] as const) {
      const says = (lines: readonly string[]) => lines.filter((line) => line.startsWith("the clock is")).at(-1);
      serving.signal(signal);
      follower.kill(opposite);
      await until(() => expect(says(serving.lines)).toBe(`the clock is ${hours} h ahead`));
      await until(() => expect(says(follower.lines)).toBe(`the clock is ${-hours} h ahead`));
      await until(() => expect(stale()).toEqual([hours === 1 ? 1 : 0]));
      expect((await observer.getSystemHealth()).stale_processes).toBe(hours === 1 ? 1 : 0);
      await goesOn();
    }
    expect((await observer.ping()).server_time).toBeCloseTo(Date.now() / 1000, -1);
    expect(follower.lines.filter((line) => line.startsWith("connection"))).toEqual(["connection open"]);
    expect(serving.text).not.toContain("connection closed");
    expect(health.stream.state).toEqual({ state: "live" });
  });
});

describe("whoever loses interest leaves nothing behind, neither here nor at the gateway:", () => {
  const times = scaled(20, 100);
  const reason = new Error("no longer wanted");

  /** Something that somebody waits for: what it is, the promise, and how to `break`, where that can be done. */
  interface Wait {
    readonly what: object;
    readonly promise: Promise<unknown>;
    leave?(): Promise<unknown>;
    /** Whether the gateway has opened what belongs to it. */
    isOpen?(): boolean;
  }

  const waits: Readonly<Record<string, (client: CacheClient, signal: AbortSignal) => Wait>> = {
    "a call"(client, signal) {
      const promise = client.getBots({ signal, timeoutMs: 60_000 });
      return { what: promise, promise };
    },
    "a stream"(client, signal) {
      const what = client.streamOrders("nobody", { signal });
      return { what, promise: what.next(), leave: () => what.return(), isOpen: () => what.state.state === "live" };
    },
    "merged streams"(client, signal) {
      const orders = client.streamOrders("nobody", { signal });
      const bots = client.streamBotStatus({ signal });
      const what = merge({ orders, bots });
      const isOpen = () => orders.state.state === "live" && bots.state.state === "live";
      return { what, promise: what.next(), leave: async () => what.return?.(), isOpen };
    },
    "the state of a stream"(client, signal) {
      const stream = client.streamOrders("nobody", { signal });
      const next = stream.next();
      const what = stream.status();
      const promise = (async () => {
        for await (const _ of what);
        return next;
      })();
      return { what, promise, leave: () => stream.return(), isOpen: () => stream.state.state === "live" };
    },
    "the state of the connection"(client) {
      const what = client.status();
      const promise = (async () => {
        for await (const _ of what);
      })();
      return { what, promise, leave: async () => what.return?.() };
    },
  };

  type End = "break" | "abort" | "close()";

  /** Whether something can end so while it is in a phase. */
  function isPossible(name: string, phase: string, end: End): boolean {
    if (name === "a call") return end !== "break" && phase !== "live";
    return name !== "the state of the connection" || end !== "abort";
  }

  /** Begins to wait for all of these, often, ends all of it, and gives what should be garbage then. */
  async function waitAndEnd(client: CacheClient, phase: string, end: End): Promise<WeakRef<object>[]> {
    const shared = new AbortController();
    const possible = Object.entries(waits).filter(([name]) => isPossible(name, phase, end));
    const begun = possible.flatMap(([, wait]) => Array.from({ length: times }, () => wait(client, shared.signal)));
    const settled = Promise.allSettled(begun.map(({ promise }) => promise));
    if (phase === "live") await until(() => expect(begun.every(({ isOpen }) => isOpen?.() ?? true)).toBe(true));
    // However many wait.
    expect(getEventListeners(shared.signal, "abort").length).toBeLessThan(2);
    if (end === "abort") shared.abort(reason);
    if (end === "break") await Promise.all(begun.map((one) => one.leave?.()));
    if (end === "close()") await client.close();
    for (const [at, one] of (await settled).entries()) {
      const isCall = begun[at]?.leave === undefined;
      const expected =
        end === "abort"
          ? { status: "rejected", reason }
          : isCall
            ? { status: "rejected", reason: { code: "CONNECTION_CLOSED" } }
            : { status: "fulfilled" };
      expect(one).toMatchObject(expected);
    }
    expect(getEventListeners(shared.signal, "abort")).toEqual([]);
    return [...begun.map(({ what }) => new WeakRef(what)), new WeakRef(shared), new WeakRef(shared.signal)];
  }

  async function expectGarbage(refs: readonly WeakRef<object>[]): Promise<void> {
    await until(() => {
      collectGarbage();
      expect(refs.filter((ref) => ref.deref()).length).toBeLessThanOrEqual(refs.length / 50);
    });
  }

  const listeners = (socket: WebSocket | undefined) =>
    socket?.eventNames().map((name) => [name, socket.listenerCount(name)]);

  const phases: Readonly<Record<string, (proxy: TcpProxy) => void>> = {
    "while it is being opened": (proxy) => proxy.hold(),
    live: () => {},
    "while there is no connection": (proxy) => {
      proxy.refuse(true);
      proxy.cut();
    },
  };

  test.for(
    Object.keys(phases).flatMap((phase) =>
      (["break", "abort", "close()"] as const).map((end) => [end, phase] as const),
    ),
  )("%s, %s", async ([end, phase]) => {
    await using gateway = await startGateway();
    await using proxy = await startProxy(Number(new URL(gateway.server.url).port));
    const sockets: WebSocket[] = [];
    const Tapped = class extends WebSocket {
      constructor(url: string) {
        super(url);
        sockets.push(this);
      }
    };
    const client = await gateway.client({
      url: proxy.through(gateway.server.url),
      WebSocket: Tapped as never,
      maxBackoffMs: 50,
    });
    const before = listeners(sockets[0]);
    phases[phase]?.(proxy);
    const { server } = gateway;
    if (phase === "while there is no connection") await until(() => expect(server.summary.connections).toBe(0));
    const refs = await waitAndEnd(client, phase, end);
    proxy.release();
    proxy.refuse(false);
    const connections = end === "close()" ? 0 : 1;
    // What was asked before has been heard of by then.
    if (end !== "close()") expect(await client.getBots()).toEqual([]);
    await until(() => expect(server.summary).toMatchObject({ connections, streams: 0, topics: 0 }));
    if (end !== "close()") expect(listeners(sockets.at(-1))).toEqual(before);
    await expectGarbage(refs);
    await client.close();
    expect(listeners(sockets.at(-1))).not.toEqual(before);
  });

  test("states that nobody watches any more take no memory", async () => {
    await using gateway = await startGateway();
    const client = await gateway.client();
    const stream = client.streamBotStatus();
    const next = stream.next();
    const watch = async (count: number) => {
      for (let n = 0; n < count; n++)
        for (const states of [client.status(), stream.status()]) {
          await states.next();
          await states.return?.();
        }
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const before = await watch(1_000);
    expect((await watch(20_000)) - before).toBeLessThan(5e6);
    await stream.return();
    expect((await next).done).toBe(true);
    await client.close();
  });

  test.for<[string, ClientOptions, (proxy: TcpProxy) => void]>([
    ["at once", {}, () => {}],
    ["while the gateway says nothing", {}, (proxy) => proxy.hold()],
    ["while it waits for the next attempt", { waitOnFirstConnect: true }, (proxy) => proxy.refuse(true)],
  ])("abort of a connect %s", async ([when, options, fail]) => {
    await using gateway = await startGateway();
    await using proxy = await startProxy(Number(new URL(gateway.server.url).port));
    fail(proxy);
    const sockets: WeakRef<object>[] = [];
    const Tapped = class extends WebSocket {
      constructor(url: string) {
        super(url);
        sockets.push(new WeakRef(this));
      }
    };
    const refs = await (async () => {
      const { signal, ...controller } = withAbort();
      const url = proxy.through(gateway.server.url);
      const connecting = Array.from({ length: times }, () =>
        fullonCacheApi(url, { ...options, signal, WebSocket: Tapped as never }),
      );
      const settled = Promise.allSettled(connecting);
      if (when !== "at once") await until(() => expect(sockets.length).toBeGreaterThanOrEqual(times));
      controller.abort();
      for (const one of await settled) expect(one).toMatchObject({ status: "rejected", reason });
      expect(getEventListeners(signal, "abort")).toEqual([]);
      return [...connecting.map((promise) => new WeakRef(promise)), new WeakRef(signal)];
    })();
    proxy.refuse(false);
    proxy.release();
    await until(() => expect(proxy.connections).toBe(0));
    await until(() => expect(gateway.server.summary.connections).toBe(0));
    await expectGarbage([...refs, ...sockets]);
  });

  function withAbort() {
    const controller = new AbortController();
    return { signal: controller.signal, abort: () => controller.abort(reason) };
  }
});
