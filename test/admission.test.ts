import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { get as getSecurely } from "node:https";
import type { AddressInfo } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import type { ServerInfo } from "../src/operations/server-info.ts";
import { CacheWebSocketServer } from "../src/server/websocket-server.ts";
import { command } from "./kit/command.ts";
import { startGateway, type TestGateway, Wire } from "./kit/gateway.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { setTicker } from "./kit/streams.ts";
import { secret, sha256, TestFile, token } from "./kit/tokens.ts";
import { until } from "./kit/until.ts";

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

/** The status with which a connection is answered, its headers and the code in its body. */
async function knock(url: string, headers: Record<string, string> = {}) {
  const socket = new WebSocket(url, { headers });
  socket.on("error", () => {});
  return new Promise<{ status: number; code?: string; headers: Record<string, unknown> }>((resolve) => {
    socket.once("open", () => {
      resolve({ status: 101, headers: {} });
      socket.terminate();
    });
    socket.once("unexpected-response", (_, response) => {
      let body = "";
      response.on("data", (text) => {
        body += text;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, code: JSON.parse(body).error_code, headers: response.headers }),
      );
    });
  });
}

const refusals = ({ server }: TestGateway) => server.summary.refusals;

describe("a web page", () => {
  test("may connect if its origin is on the list, or if it is this server's own", async () => {
    const allowedOrigins = "https://dash.example.com, http://other.example:8080";
    await using gateway = await startGateway({ to: redis, allowedOrigins });
    const { url } = gateway.server;
    const host = new URL(url).host;
    for (const origin of ["https://dash.example.com", "http://other.example:8080", `http://${host}`])
      expect(await knock(url, { origin }), origin).toMatchObject({ status: 101 });
    const strangers = [
      "https://evil.example",
      "http://dash.example.com",
      "https://dash.example.com:8443",
      "https://dash.example.com.evil.example",
      "https://sub.dash.example.com",
      "http://127.0.0.1",
      "http://other.example",
      "null",
      "",
      "file://",
      "nonsense",
    ];
    for (const origin of strangers)
      expect(await knock(url, { origin }), origin).toMatchObject({ status: 403, code: "FORBIDDEN" });
    expect((await knock(url, { origin: "null" })).headers).toMatchObject({
      "cache-control": "no-store",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
    });
    // A name that somebody made to lead here is not this server's own.
    const rebound = { origin: "http://evil.example", host: "evil.example" };
    expect(await knock(url, rebound)).toMatchObject({ status: 403 });
    expect(await knock(url)).toMatchObject({ status: 101 });
    expect(refusals(gateway)).toEqual({ FORBIDDEN: strangers.length + 2 });
  });
});

/** An address of this machine that others reach, if it has one. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.family === "IPv4" && !one.internal)?.address;

describe("where nobody has to say who he is", () => {
  test.each(["0.0.0.0", "::", "192.0.2.7", "example.com"])("it does not listen on %s", async (host) => {
    await using server = new CacheWebSocketServer({ redis: redis.gatewayUrl, logLevel: "silent", host, port: 0 });
    await expect(server.start()).rejects.toThrow(/would show every account .*JWT_SECRET.*--insecure/);
    const { code, errors } = command(["serve", "--host", host, "--port", "0", "--redis-url", redis.gatewayUrl]);
    expect(await code).toBe(2);
    expect(errors.join()).toContain("--insecure");
  });

  test("it listens elsewhere if it is told that this is meant so, and warns each time", async () => {
    for (let start = 0; start < 2; start++) {
      await using gateway = await startGateway({ to: redis, host: "0.0.0.0", insecure: true });
      expect(gateway.lines).toContainEqual(
        expect.objectContaining({ level: 40, msg: expect.stringMatching(/^INSECURE/) }),
      );
      const { port } = new URL(gateway.server.url);
      expect(await knock(`ws://${outside ?? "127.0.0.1"}:${port}`)).toMatchObject({ status: 101 });
    }
    await using serving = command([
      ...["serve", "--host", "0.0.0.0", "--port", "0", "--insecure", "--log-level", "silent"],
      ...["--redis-url", redis.gatewayUrl],
    ]);
    expect(await serving.url()).toMatch(/^ws:\/\/0\.0\.0\.0:/);
  });

  test("it listens elsewhere once tokens are needed, without a word", async () => {
    await using gateway = await startGateway({ to: redis, host: "0.0.0.0", jwtSecret: secret });
    expect(gateway.lines.filter(({ level }) => Number(level) >= 40)).toEqual([]);
  });

  test.skipIf(outside === undefined)("an HTTP server of somebody else's lets in this machine alone", async () => {
    const server = new CacheWebSocketServer({ redis: redis.gatewayUrl, logLevel: "silent" });
    await server.connect();
    const http = createServer().on("upgrade", (...upgrade) => server.handleUpgrade(...upgrade));
    await once(http.listen(0, "0.0.0.0"), "listening");
    onTestFinished(async () => {
      await server.stop();
      http.close();
    });
    const { port } = http.address() as AddressInfo;
    expect(await knock(`ws://${outside}:${port}`)).toMatchObject({ status: 403, code: "FORBIDDEN" });
    expect(await knock(`ws://127.0.0.1:${port}`)).toMatchObject({ status: 101 });
  });
});

test("a secret that can be guessed is warned of", async () => {
  await using gateway = await startGateway({ to: redis, jwtSecret: "short" });
  const warnings = gateway.lines.filter(({ level }) => level === 40);
  expect(warnings).toMatchObject([{ msg: expect.stringMatching(/^JWT_SECRET is shorter than 32/) }]);
});

describe("as many connections as there may be", () => {
  test("are served, and one more is told to come back later", async () => {
    await using gateway = await startGateway({ to: redis, maxConnections: 3 });
    const wires = [await gateway.wire(), await gateway.wire(), await gateway.wire()];
    const refused = await knock(gateway.server.url);
    expect(refused).toMatchObject({ status: 503, code: "OVERLOADED", headers: { "retry-after": "5" } });
    wires[0]?.close();
    await until(async () => expect(await knock(gateway.server.url)).toMatchObject({ status: 101 }));
    expect(refusals(gateway)).toMatchObject({ OVERLOADED: expect.any(Number) });
    const info = (await wires[1]?.ask("get_server_info")) as ServerInfo;
    expect(info.limits).toMatchObject({ max_connections: 3, max_connections_per_address: 2000 });
  });

  test("from one address are served; behind a proxy that is trusted, the address is the client's", async () => {
    await using gateway = await startGateway({
      to: redis,
      maxConnectionsPerAddress: 2,
      trustedProxies: "127.0.0.1, 10.0.0.0/8, 2001:db8::/32, ::1",
    });
    const { url } = gateway.server;
    const open = (forwarded?: string) =>
      Wire.open(url, { headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded } });
    const first = [await open("203.0.113.5"), await open("198.51.100.9, 203.0.113.5, 10.1.2.3, 2001:db8::7")];
    expect(await knock(url, { "x-forwarded-for": "203.0.113.5" })).toMatchObject({
      status: 429,
      code: "LIMIT_EXCEEDED",
    });
    // What the client itself wrote before does not count.
    expect(await knock(url, { "x-forwarded-for": "1.2.3.4, 203.0.113.5" })).toMatchObject({ status: 429 });
    const others = [await open("203.0.113.6"), await open("203.0.113.5, 203.0.113.6")];
    for (const wire of [...first, ...others]) wire.close();
    await until(async () =>
      expect(await knock(url, { "x-forwarded-for": "203.0.113.5" })).toMatchObject({ status: 101 }),
    );
    expect(gateway.lines).toContainEqual(expect.objectContaining({ msg: "connection opened", peer: "203.0.113.5" }));
  });

  test("from one address are counted by the socket where no proxy is trusted", async () => {
    await using gateway = await startGateway({ to: redis, maxConnectionsPerAddress: 1 });
    const wire = await gateway.wire();
    expect(await knock(gateway.server.url, { "x-forwarded-for": "203.0.113.5" })).toMatchObject({ status: 429 });
    wire.close();
  });

  test("of one user are served, also for one who becomes another user later", async () => {
    await using gateway = await startGateway({ to: redis, jwtSecret: secret, maxConnectionsPerUser: 1 });
    const [ann, bob] = await Promise.all([token({ user_id: 1 }), token({ user_id: 2 })]);
    const first = await gateway.wire(ann);
    const refused = await knock(gateway.server.url, { authorization: `Bearer ${ann}` });
    expect(refused).toMatchObject({ status: 429, code: "LIMIT_EXCEEDED" });
    const second = await gateway.wire(bob);
    expect(await second.request("authenticate", { token: ann })).toMatchObject({ error_code: "LIMIT_EXCEEDED" });
    expect(await first.ask("authenticate", { token: ann })).toMatchObject({ user_id: "1" });
    first.close();
    await until(async () =>
      expect(await second.request("authenticate", { token: ann })).toMatchObject({ success: true }),
    );
    expect(await knock(gateway.server.url, { authorization: `Bearer ${bob}` })).toMatchObject({ status: 101 });
  });

  test("in a second are let in, and more are told when to come back", async () => {
    await using gateway = await startGateway({ to: redis, connectionRate: 1 });
    const answers = await Promise.all(Array.from({ length: 14 }, () => knock(gateway.server.url)));
    const refused = answers.filter(({ status }) => status !== 101);
    expect(refused.length).toBeGreaterThan(1);
    expect(refused.length).toBeLessThan(5);
    for (const one of refused)
      expect(one).toMatchObject({ status: 429, code: "RATE_LIMITED", headers: { "retry-after": "1" } });
    await until(async () => expect(await knock(gateway.server.url)).toMatchObject({ status: 101 }));
  });

  test("count no more when they are gone, however they went", async () => {
    await using gateway = await startGateway({ to: redis, maxConnections: 5, jwtSecret: secret });
    const { url } = gateway.server;
    const good = await token({ user_id: 1 });
    const { port } = new URL(url);
    for (let round = 0; round < 4; round++) {
      // Refused for its token, refused by the WebSocket handshake, gone while its token is looked at, and closed.
      await knock(url, { authorization: "Bearer wrong" });
      await fetch(`http://127.0.0.1:${port}/`, { headers: { authorization: `Bearer ${good}` } });
      const gone = new WebSocket(url, { headers: { authorization: `Bearer ${good}` } });
      gone.on("error", () => {});
      gone.terminate();
      const wires = await Promise.all([1, 2, 3].map(() => gateway.wire(good)));
      for (const wire of wires) wire.close();
      await until(() => expect(gateway.server.summary.connections).toBe(0));
    }
    const wires = await Promise.all([1, 2, 3, 4, 5].map(() => gateway.wire(good)));
    expect(await knock(url, { authorization: `Bearer ${good}` })).toMatchObject({ status: 503 });
    for (const wire of wires) wire.close();
  });
});

test("a server takes WebSockets of yours as it takes its own, and closes those that it would refuse", async () => {
  const { WebSocketServer } = await import("ws");
  const server = new CacheWebSocketServer({ redis: redis.gatewayUrl, logLevel: "silent", jwtSecret: secret });
  await server.connect();
  const own = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  own.on("connection", (websocket, request) => server.handleClient(websocket, request));
  await once(own, "listening");
  onTestFinished(async () => {
    await server.stop();
    own.close();
  });
  const url = `ws://127.0.0.1:${(own.address() as AddressInfo).port}`;
  const stranger = await Wire.open(url);
  stranger.send('{"request_id":1,"operation":"ping"}');
  expect(await stranger.closed()).toBe(4501);
  expect(stranger.frames).toEqual([]);
  const known = await Wire.open(url, { headers: { authorization: `Bearer ${await token({ user_id: 1 })}` } });
  expect(await known.ask("ping")).toMatchObject({ updates_sent: 0 });
  known.close();
});

describe("a certificate", () => {
  const folder = mkdtempSync(join(tmpdir(), "fullon-cache-api-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** A certificate for this machine, made with openssl. */
  function certificate(name: string): { cert: string; key: string } {
    const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
    const names = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert];
    execFileSync("openssl", [...request, ...names], { stdio: "pipe" });
    return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
  }

  test("makes it wss, with everything that ws has, and can be changed while it runs", async () => {
    const [first, second] = [certificate("first"), certificate("second")];
    const [cert, key] = [new TestFile("cert.pem", first.cert), new TestFile("key.pem", first.key)];
    await using gateway = await startGateway({ to: redis, tlsCertFile: cert.path, tlsKeyFile: key.path });
    const { url } = gateway.server;
    expect(url).toMatch(/^wss:/);
    const ca = [first.cert, second.cert];
    const wire = await Wire.open(url, { ca });
    const issuer = async () => {
      const one = new WebSocket(url, { ca });
      const [{ socket }] = (await once(one, "upgrade")) as [{ socket: TLSSocket }];
      const { subject } = socket.getPeerCertificate();
      one.terminate();
      return subject.CN;
    };
    expect(await issuer()).toBe("first");
    await wire.ask("stream_tickers", { exchange: "tls", symbols: ["X"] });
    await setTicker(redis, "tls", "X", 3);
    await wire.frame(({ price }) => price === 3);
    const page = await new Promise<{ status: number; headers: unknown }>((resolve) =>
      getSecurely(url.replace("wss", "https"), { ca }, (response) =>
        resolve({ status: response.statusCode ?? 0, headers: response.resume().headers }),
      ),
    );
    expect(page).toMatchObject({ status: 426, headers: { "x-content-type-options": "nosniff" } });
    cert.write(second.cert);
    expect(() => gateway.server.reload()).toThrow(/do not make a certificate/);
    expect(await issuer()).toBe("first");
    key.write(second.key);
    gateway.server.reload();
    expect(await issuer()).toBe("second");
    await setTicker(redis, "tls", "X", 4);
    await wire.frame(({ price }) => price === 4);
    wire.close();
  });

  test.each([
    [{ tlsCertFile: "/nowhere.pem", tlsKeyFile: "/nowhere.key" }, /TLS_CERT_FILE: "\/nowhere.pem" cannot be read/],
    [{ tlsCertFile: "/nowhere.pem" }, /are needed both/],
    [{ tlsKeyFile: "/nowhere.key" }, /are needed both/],
  ])("that cannot be read is told before anybody can connect: %j", async (options, why) => {
    await using server = new CacheWebSocketServer({ redis: redis.gatewayUrl, logLevel: "silent", port: 0, ...options });
    await expect(server.start()).rejects.toThrow(why);
  });
});

test("serve reads its files again on SIGHUP, in every worker", async () => {
  const keys = new TestFile("keys.json", { one: { sha256: sha256("first-key"), scope: "*:read" } });
  await using serving = command([
    ...["serve", "--port", "0", "--log-level", "silent", "--redis-url", redis.gatewayUrl],
    ...["--api-keys-file", keys.path],
  ]);
  const url = await serving.url();
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
  const first = await Wire.open(url, { headers: bearer("first-key") });
  keys.write({ two: { sha256: sha256("second-key"), scope: "*:read" } });
  serving.reload();
  expect(await first.closed()).toBe(4501);
  await serving.line("certificate, keys and accounts were read again");
  expect(await knock(url, bearer("first-key"))).toMatchObject({ status: 401 });
  expect(await knock(url, bearer("second-key"))).toMatchObject({ status: 101 });
  keys.write({ two: { sha256: "short", scope: "*:read" } });
  serving.reload();
  await until(() => expect(serving.errors.join()).toContain("must hold keys by name"));
  expect(await knock(url, bearer("second-key"))).toMatchObject({ status: 101 });
});
