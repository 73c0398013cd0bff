import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { createPlainHttp } from "../src/server/http.ts";
import { CacheWebSocketServer } from "../src/server/websocket-server.ts";
import { freePort } from "./kit/free-port.ts";
import { startGateway, type TestGateway, type Wire } from "./kit/gateway.ts";
import { startProxy } from "./kit/proxy.ts";
import { startRedis } from "./kit/redis.ts";
import { follow, setTicker } from "./kit/streams.ts";
import { secret } from "./kit/tokens.ts";
import { until } from "./kit/until.ts";

const redis = await startRedis();
afterAll(() => redis[Symbol.asyncDispose]());

const at = ({ server }: TestGateway, path: string) => server.url.replace("ws", "http") + path;

/** The status of a page, and what its JSON says. */
async function page(url: string, init?: RequestInit): Promise<[status: number, body: unknown]> {
  const response = await fetch(url, init);
  return [response.status, await response.json()];
}

test("the process lives, and is ready while Redis can be reached", async () => {
  await using proxy = await startProxy(redis.port);
  await using gateway = await startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl), jwtSecret: secret });
  expect(await page(at(gateway, "/healthz"))).toEqual([200, { alive: true }]);
  expect(await page(at(gateway, "/readyz?verbose"))).toEqual([200, { ready: true }]);
  proxy.refuse(true);
  proxy.cut();
  const away = { ready: false, error_code: "CACHE_UNAVAILABLE", error: expect.stringContaining("Redis") };
  await until(async () => expect(await page(at(gateway, "/readyz"))).toEqual([503, away]));
  expect(gateway.server.readiness).toEqual(away);
  // Starting it again would bring no Redis.
  expect(await page(at(gateway, "/healthz"))).toEqual([200, { alive: true }]);
  proxy.refuse(false);
  await until(async () => expect(await page(at(gateway, "/readyz"))).toEqual([200, { ready: true }]));
});

test("pages are for GET and HEAD, whatever else is asked for is not there, and nothing is kept or framed", async () => {
  await using gateway = await startGateway({ to: redis });
  const ask = async (path: string, method = "GET") => {
    const response = await fetch(at(gateway, path), { method });
    return { status: response.status, headers: Object.fromEntries(response.headers), text: await response.text() };
  };
  const secure = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  };
  for (const path of ["/healthz", "/readyz", "/metrics"]) {
    const got = await ask(path);
    expect(got).toMatchObject({ status: 200, headers: secure });
    expect(await ask(path, "HEAD")).toMatchObject({ status: 200, text: "", headers: secure });
    for (const method of ["POST", "PUT", "DELETE"])
      expect(await ask(path, method)).toMatchObject({
        status: 405,
        text: "",
        headers: { ...secure, allow: "GET, HEAD" },
      });
  }
  for (const path of ["/", "/ws"]) {
    expect(await ask(path)).toMatchObject({ status: 426, headers: { ...secure, upgrade: "websocket" } });
    expect(await ask(path, "POST")).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
  }
  for (const path of ["/health", "/metrics/", "/constructor", "/__proto__", "//readyz", "/%72eadyz"])
    for (const method of ["GET", "POST"])
      expect(await ask(path, method), path).toMatchObject({ status: 404, text: "", headers: secure });
});

test("metrics on the main port are for this machine alone, and not for those whom a proxy here speaks for", async () => {
  await using gateway = await startGateway({ to: redis, jwtSecret: secret, host: "0.0.0.0" });
  const url = at(gateway, "/metrics").replace("0.0.0.0", "127.0.0.1");
  expect((await fetch(url)).status).toBe(200);
  const refused = [403, { error: expect.stringContaining("--metrics-port"), error_code: "FORBIDDEN" }];
  for (const header of ["X-Forwarded-For", "Forwarded", "Via"])
    expect(await page(url, { headers: { [header]: "1" } })).toEqual(refused);
  const others = Object.values(networkInterfaces()).flatMap((all = []) => all);
  const other = others.find(({ internal, family }) => !internal && family === "IPv4");
  if (!other) return;
  const from = url.replace("127.0.0.1", other.address);
  expect(await page(from)).toEqual(refused);
  expect(await page(from.replace("metrics", "readyz"))).toEqual([200, { ready: true }]);
});

test("a port of their own has the pages for whoever reaches it, and no WebSocket", async () => {
  const metricsPort = await freePort();
  await using gateway = await startGateway({ to: redis, jwtSecret: secret, metricsPort });
  const url = `http://127.0.0.1:${metricsPort}`;
  expect(await page(`${url}/healthz`)).toEqual([200, { alive: true }]);
  expect(await page(`${url}/readyz`)).toEqual([200, { ready: true }]);
  const metrics = await fetch(`${url}/metrics`, { headers: { "X-Forwarded-For": "192.0.2.1" } });
  expect([metrics.status, metrics.headers.get("content-type")]).toEqual([
    200,
    "text/plain; version=0.0.4; charset=utf-8",
  ]);
  expect(await metrics.text()).toContain("\nfullon_cache_api_ready 1\n");
  for (const path of ["/", "/ws", "/docs"]) expect((await fetch(url + path)).status).toBe(404);
  const upgrade = request(`${url}/ws`, { headers: { Connection: "Upgrade", Upgrade: "websocket" } }).end();
  const [answer] = (await once(upgrade, "response")) as [IncomingMessage];
  expect(answer.resume().statusCode).toBe(404);
  expect((await fetch(at(gateway, "/metrics"))).status).toBe(404);
  expect(await page(at(gateway, "/readyz"))).toEqual([200, { ready: true }]);
});

test("a port for metrics that is taken is an error that says so, and nothing goes on listening", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  onTestFinished(() => void taken.close());
  const { port: metricsPort } = taken.address() as { port: number };
  const port = await freePort();
  const options = { port, metricsPort, redis: redis.gatewayUrl, logLevel: "silent" };
  await using server = new CacheWebSocketServer(options);
  await expect(server.start()).rejects.toThrow(`METRICS_PORT ${metricsPort} on 127.0.0.1 cannot be listened on`);
  const [error] = await once(connect(port, "127.0.0.1"), "error");
  expect(error).toMatchObject({ code: "ECONNREFUSED" });
});

test("a server that stops is not ready from that moment on, and says why, while it drains", async () => {
  const metricsPort = await freePort();
  const gateway = await startGateway({ to: redis, metricsPort, drainMs: 4_000 });
  const wire = await gateway.wire();
  // It reads nothing, so it does not say goodbye.
  wire.socket.pause();
  const stopped = gateway.server.stop();
  const draining = [503, { ready: false, error_code: "DRAINING", error: "the server is going away" }];
  const own = `http://127.0.0.1:${metricsPort}`;
  for (const url of [at(gateway, ""), own]) {
    expect(await page(`${url}/readyz`)).toEqual(draining);
    expect(await page(`${url}/healthz`)).toEqual([200, { alive: true }]);
  }
  expect(await (await fetch(`${own}/metrics`)).text()).toContain("\nfullon_cache_api_draining 1\n");
  // Who comes now is told when to come back.
  await expect(gateway.wire()).rejects.toThrow("503");
  wire.socket.resume();
  await stopped;
  await expect(fetch(`${own}/healthz`)).rejects.toThrow();
  await gateway[Symbol.asyncDispose]();
});

test("many clients are not sent away all at once: those whose turn comes later are served until then", async () => {
  await using gateway = await startGateway({ to: redis, drainMs: 10_000 });
  const wires: Wire[] = [];
  while (wires.length < 600) wires.push(...(await Promise.all(Array.from({ length: 50 }, () => gateway.wire()))));
  const [first, last] = [wires[0], wires.at(-1)] as [Wire, Wire];
  await follow(last, "stream_tickers", { exchange: "drain", symbols: ["BTC/USDT"] });
  const closedAt = wires.map((wire) => wire.closed().then((code) => [code, performance.now()] as const));
  const stopped = gateway.server.stop();
  await first.closed();
  await setTicker(redis, "drain", "BTC/USDT", 5);
  await last.frame(({ price }) => price === 5);
  await stopped;
  const ends = await Promise.all(closedAt);
  expect(new Set(ends.map(([code]) => code))).toEqual(new Set([1012]));
  expect(last.frames.at(-1)).toMatchObject({ state: "ended", error_code: "DRAINING" });
  const times = ends.map(([, time]) => time);
  // Five pauses; a busy machine may join some of them, but not all.
  expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(200);
});

test("a page that cannot be made is an error of the server, which goes on", async () => {
  const fails = () => {
    throw new Error("a file is missing");
  };
  const http = createPlainHttp({ "/bad": fails, "/worse": async () => fails() }).listen(0, "127.0.0.1");
  await once(http, "listening");
  onTestFinished(() => void http.close());
  const { port } = http.address() as { port: number };
  for (const path of ["/bad", "/worse"]) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    expect([answer.status, await answer.text()]).toEqual([500, ""]);
  }
});
