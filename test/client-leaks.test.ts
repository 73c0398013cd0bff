import { spawn } from "node:child_process";
import { getEventListeners, once } from "node:events";
import { afterAll, expect, test } from "vitest";
import { collectGarbage } from "./kit/garbage.ts";
import { startGateway } from "./kit/gateway.ts";
import { startPeer } from "./kit/peer.ts";
import { setTicker } from "./kit/streams.ts";
import { until } from "./kit/until.ts";

const gateway = await startGateway();
const { redis } = gateway;
await setTicker(redis, "binance", "BTC/USDT", 1);
afterAll(() => gateway[Symbol.asyncDispose]());

test("a thousand streams, opened and left, leave nothing behind, neither here nor at the gateway", async () => {
  const client = await gateway.client();
  const { signal } = new AbortController();
  const streams: WeakRef<object>[] = [];
  for (let n = 0; n < 1_000; n++) {
    const stream = client.streamTickers("binance", ["BTC/USDT"], { signal });
    streams.push(new WeakRef(stream));
    for await (const update of stream) {
      expect(update).toMatchObject({ price: 1 });
      break;
    }
  }
  expect(await client.listStreams()).toEqual([]);
  expect((await client.getSystemHealth()).gateway).toMatchObject({ streams: 0, topics: 0 });
  expect(getEventListeners(signal, "abort")).toEqual([]);
  await until(() => {
    collectGarbage();
    expect(streams.filter((stream) => stream.deref()).length).toBeLessThan(10);
  });
  await client.close();
});

test("calls leave nothing behind, answered, refused or given up", async () => {
  const client = await gateway.client();
  const { signal } = new AbortController();
  const errors: WeakRef<object>[] = [];
  const calls = Array.from({ length: 900 }, async (_, n) => {
    const symbol = n % 2 ? "BTC/USDT" : "NO/SUCH";
    await client.getTicker("binance", symbol, { signal }).catch((error) => void errors.push(new WeakRef(error)));
  });
  expect(getEventListeners(signal, "abort")).toHaveLength(1);
  await Promise.all(calls);
  expect(getEventListeners(signal, "abort")).toEqual([]);
  expect(errors).toHaveLength(450);
  await until(() => {
    collectGarbage();
    expect(errors.filter((error) => error.deref()).length).toBeLessThan(10);
  });
  await client.close();
});

const node = ["--experimental-websocket", "--import", "tsx"];

/**
 * Runs a program that uses the client, where Node.js has a WebSocket of its own whatever its version; gives its output
 * and how long it took to end after its last word.
 */
async function run(program: string) {
  const client = JSON.stringify(new URL("../src/client/index.ts", import.meta.url).href);
  const source = `import { fullonCacheApi } from ${client};\n${program}`;
  const child = spawn(process.execPath, [...node, "--input-type=module", "--eval", source]);
  let output = "";
  let errors = "";
  let spokeAt = 0;
  child.stdout.on("data", (text) => {
    output += text;
    spokeAt = performance.now();
  });
  child.stderr.on("data", (text) => {
    errors += text;
  });
  const [code] = await once(child, "close");
  expect(errors.replace(/^.*(ExperimentalWarning|--trace-warnings).*\n/gm, "")).toBe("");
  return { output, code, tookMs: performance.now() - spokeAt };
}

test.each([
  ["the ws package, which is what it takes by itself", ""],
  ["the WebSocket of Node.js", ", { WebSocket }"],
])("a program that has closed its client ends by itself; with %s", async (_, options) => {
  const { output, code, tookMs } = await run(
    `const client = await fullonCacheApi(${JSON.stringify(gateway.server.url)}${options});
    for await (const { price } of client.streamTickers("binance")) { console.log(typeof WebSocket, price); break; }
    await client.getTicker("binance", "NO/SUCH").catch(({ code }) => console.log(code));
    const waiting = client.streamOrders("binance").next();
    await client.ping({ timeoutMs: 60_000 });
    await client.close();
    console.log((await waiting).done);`,
  );
  expect(output).toBe("function 1\nTICKER_NOT_FOUND\ntrue\n");
  expect(code).toBe(0);
  expect(tookMs).toBeLessThan(1_000);
});

test("a program ends soon also where its connection was found dead", async () => {
  await using peer = await startPeer((socket) => socket.pause());
  const { output, code, tookMs } = await run(
    `const client = await fullonCacheApi(${JSON.stringify(peer.url)}, { silenceMs: 20, maxBackoffMs: 60_000 });
    for await (const { state } of client.status()) if (state === "waiting") break;
    await client.close();
    console.log("closed");`,
  );
  expect([output, code]).toEqual(["closed\n", 0]);
  expect(tookMs).toBeLessThan(1_000);
});

test("a program ends soon also where the gateway does not say goodbye, and where it cannot be reached", async () => {
  await using peer = await startPeer((socket) => socket.pause());
  const { output, code, tookMs } = await run(
    `const client = await fullonCacheApi(${JSON.stringify(peer.url)});
    await client.close();
    await fullonCacheApi("ws://127.0.0.1:1").catch(({ code }) => console.log(code));`,
  );
  expect([output, code]).toEqual(["CONNECTION_FAILED\n", 0]);
  expect(tookMs).toBeLessThan(2_500);
});
