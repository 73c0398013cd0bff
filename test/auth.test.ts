import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { CompactSign, exportJWK } from "jose";
import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { CacheWebSocketServer } from "../src/server/websocket-server.ts";
import { startGateway, Wire } from "./kit/gateway.ts";
import { startRedis } from "./kit/redis.ts";
import { setTicker } from "./kit/streams.ts";
import { type Signing, secret, sha256, TestFile, token } from "./kit/tokens.ts";
import { until } from "./kit/until.ts";

const market = { scope: "tickers:read" };
const ask = { exchange: "binance", symbol: "BTC/USDT" };

/** The status and the body with which a connection is refused, or 101. */
async function knock(url: string, options: { headers?: Record<string, string>; protocols?: string[] } = {}) {
  const { headers = {}, protocols = [] } = options;
  const socket = new WebSocket(url, protocols, { headers });
  socket.on("error", () => {});
  return new Promise<{ status: number; body: string; challenge?: string | undefined; protocol?: string }>((resolve) => {
    socket.once("open", () => {
      resolve({ status: 101, body: "", protocol: socket.protocol });
      socket.terminate();
    });
    socket.once("unexpected-response", (_, response) => {
      let body = "";
      response.on("data", (text) => {
        body += text;
      });
      const challenge = response.headers["www-authenticate"];
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body, challenge }));
    });
  });
}

const bearer = (text: string) => ({ headers: { authorization: `Bearer ${text}` } });

describe("a token", () => {
  test("is taken from the header, from the subprotocols or from the URL, and stands in no log", async () => {
    await using gateway = await startGateway({ jwtSecret: secret });
    const { url } = gateway.server;
    const text = await token({ username: "ann", ...market });
    expect(await knock(url, bearer(text))).toMatchObject({ status: 101, protocol: "" });
    const offered = ["fullon-cache.v1", `bearer.${text}`];
    expect(await knock(url, { protocols: offered })).toMatchObject({ status: 101, protocol: "fullon-cache.v1" });
    expect(await knock(`${url}/ws?token=${text}`)).toMatchObject({ status: 101 });
    expect(await knock(`${url}/ws?token=${text}x`)).toMatchObject({ status: 401 });
    const log = JSON.stringify(gateway.lines);
    expect(log).toContain('"user":"ann"');
    expect(log).not.toContain(text.slice(0, 40));
    expect(log).not.toContain(text.slice(-20));
  });

  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = rsa.publicKey.export({ type: "spki", format: "pem" }).toString();
  const confused = async () => {
    const { createSecretKey } = await import("node:crypto");
    return token(market, { key: createSecretKey(pem, "utf8") });
  };
  const unsigned = (alg?: string) => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    return `${part({ alg })}.${part({ ...market, exp: 9_999_999_999 })}.`;
  };
  const claimless = () =>
    new CompactSign(Buffer.from("[]")).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(secret));
  const refused: readonly [string, () => string | undefined | Promise<string>, string, RegExp][] = [
    ["is missing", () => undefined, "UNAUTHORIZED", /a token is needed/],
    ["is no token", () => "nonsense", "UNAUTHORIZED", /cannot be read/],
    ["is three words", () => "a.b.c", "UNAUTHORIZED", /cannot be read/],
    ["is not signed", () => unsigned("none"), "UNAUTHORIZED", /not accepted/],
    ["is not signed, in capitals", () => unsigned("NONE"), "UNAUTHORIZED", /not accepted/],
    ["says nothing of how it is signed", () => unsigned(), "UNAUTHORIZED", /cannot be read/],
    ["holds no claims", claimless, "UNAUTHORIZED", /cannot be read/],
    ["has expired", () => token(good, { expiresIn: -60 }), "TOKEN_EXPIRED", /has expired/],
    ["never expires", () => token(good, { expiresIn: null }), "UNAUTHORIZED", /exp is missing/],
    ["has no issuer", () => token({ ...market, aud: "cache" }), "UNAUTHORIZED", /iss is missing/],
    ["is of another issuer", () => token({ ...market, iss: "eve", aud: "cache" }), "UNAUTHORIZED", /iss is not accep/],
    ["is for others", () => token({ ...market, iss: "fullon", aud: "bank" }), "UNAUTHORIZED", /aud is not accepted/],
    ["is signed with the public key as if it were the secret", confused, "UNAUTHORIZED", /signature is wrong/],
    [
      "is signed with another key",
      () => token(market, { alg: "RS256", key: other().privateKey }),
      "UNAUTHORIZED",
      /sign/,
    ],
    ["is of HS384", () => token(market, { alg: "HS384" }), "UNAUTHORIZED", /not accepted/],
    ["claims a user that is a list", () => token({ ...good, user_id: [1] }), "UNAUTHORIZED", /claims/],
    ["claims scopes that are numbers", () => token({ ...good, scope: 7 }), "UNAUTHORIZED", /claims/],
    ["claims accounts that are text", () => token({ ...good, ex_ids: "12" }), "UNAUTHORIZED", /claims/],
  ];
  const good = { ...market, iss: "fullon", aud: "cache" };
  const other = () => generateKeyPairSync("rsa", { modulusLength: 2048 });

  test.each(refused)("that %s is refused before there is a connection", async (_, make, code, why) => {
    await using gateway = await startGateway({
      jwtSecret: secret,
      jwtKeyFile: new TestFile("key.pem", pem).path,
      jwtIssuer: "fullon",
      jwtAudience: "cache",
    });
    const text = await make();
    const { status, body, challenge } = await knock(gateway.server.url, text === undefined ? {} : bearer(text));
    expect(status).toBe(401);
    expect(JSON.parse(body)).toEqual({ error: expect.stringMatching(why), error_code: code });
    const fault = text === undefined ? "" : `, error="invalid_token", error_description="${JSON.parse(body).error}"`;
    expect(challenge).toBe(`Bearer realm="fullon-cache-api"${fault}`);
    // What is right is let in by the same gateway.
    expect(await knock(gateway.server.url, bearer(await token(good)))).toMatchObject({ status: 101 });
    const asymmetric = await token(good, { alg: "RS256", key: rsa.privateKey });
    expect(await knock(gateway.server.url, bearer(asymmetric))).toMatchObject({ status: 101 });
  });

  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ed = generateKeyPairSync("ed25519");
  const pairs: readonly [string, { publicKey: KeyObject; privateKey: KeyObject }][] = [
    ["RS256", rsa],
    ["ES256", ec],
    ["EdDSA", ed],
  ];

  test.each(pairs)("signed with %s is held against a public key in PEM or in a key set", async (alg, keys) => {
    const key = keys.privateKey;
    const text = keys.publicKey.export({ type: "spki", format: "pem" }).toString();
    const set = { keys: [{ ...(await exportJWK(keys.publicKey)), kid: "k1", alg }] };
    for (const file of [new TestFile("key.pem", text), new TestFile("keys.json", set)]) {
      await using gateway = await startGateway({ jwtKeyFile: file.path });
      expect(await knock(gateway.server.url, bearer(await token(market, { alg, key })))).toMatchObject({ status: 101 });
      expect(await knock(gateway.server.url, bearer(await token(market)))).toMatchObject({ status: 401 });
      for (const [otherAlg, { privateKey }] of pairs.filter(([name]) => name !== alg))
        expect(
          await knock(gateway.server.url, bearer(await token(market, { alg: otherAlg, key: privateKey }))),
        ).toMatchObject({ status: 401 });
    }
  });

  test("is held against the keys at a URL; where they cannot be had just now, one may come back", async () => {
    const first = generateKeyPairSync("ed25519");
    const second = generateKeyPairSync("ed25519");
    const jwk = async (kid: string, { publicKey }: typeof first) => ({ ...(await exportJWK(publicKey)), kid });
    let keys: object[] | undefined;
    const http = createServer((_, response) => {
      if (!keys) response.statusCode = 500;
      response.end(JSON.stringify({ keys }));
    });
    await once(http.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => void http.close());
    const jwksUrl = `http://127.0.0.1:${(http.address() as AddressInfo).port}/keys`;
    await using gateway = await startGateway({ jwksUrl });
    const by = (kid: string, { privateKey }: typeof first): Signing => ({ alg: "EdDSA", key: privateKey, kid });
    const old = bearer(await token(market, by("1", first)));
    const { status, body } = await knock(gateway.server.url, old);
    expect([status, JSON.parse(body).error_code]).toEqual([503, "AUTH_UNAVAILABLE"]);
    keys = [await jwk("1", first)];
    expect(await knock(gateway.server.url, old)).toMatchObject({ status: 101 });
    expect(await knock(gateway.server.url, bearer(await token(market, by("2", second))))).toMatchObject({
      status: 401,
    });
  });

  test("may be the key of a service, of which the gateway knows the hash alone", async () => {
    const keys = {
      grafana: { sha256: sha256("grafana-key-0123456789"), scope: "tickers:read" },
      backup: { sha256: sha256("backup-key-0123456789").toUpperCase(), scope: ["*:read", "accounts:any"] },
    };
    await using gateway = await startGateway({ apiKeysFile: new TestFile("keys.json", keys).path });
    await setTicker(gateway.redis, "binance", "BTC/USDT", 7);
    const wire = await gateway.wire("grafana-key-0123456789");
    expect(await wire.ask("get_ticker", ask)).toMatchObject({ price: 7 });
    expect(await wire.request("get_bots")).toMatchObject({ error_code: "FORBIDDEN", details: { scope: "bots:read" } });
    expect(await (await gateway.wire("backup-key-0123456789")).ask("get_bots")).toEqual([]);
    for (const wrong of ["grafana-key-012345678", "", keys.grafana.sha256])
      expect(await knock(gateway.server.url, bearer(wrong))).toMatchObject({ status: 401 });
    expect(JSON.stringify(gateway.lines)).not.toContain("key-0123456789");
  });
});

describe("a client", () => {
  test("brings its token, and gets a new one before the old one expires", async () => {
    await using gateway = await startGateway({ jwtSecret: secret, jwtClockToleranceS: 0 });
    await setTicker(gateway.redis, "binance", "BTC/USDT", 1);
    let asked = 0;
    const source = () => {
      asked++;
      // The first ones do not hold for long.
      return token({ sub: "7", ...market }, { expiresIn: asked < 3 ? 4 : 600 });
    };
    const client = await gateway.client({ token: source });
    const stream = client.streamTickers("binance", ["BTC/USDT"]);
    expect((await stream.next()).value).toMatchObject({ price: 1 });
    await until(() => expect(asked).toBeGreaterThanOrEqual(3));
    await new Promise((resolve) => setTimeout(resolve, 4_500));
    await setTicker(gateway.redis, "binance", "BTC/USDT", 2);
    // The same stream, without a break: an update, not a snapshot.
    expect((await stream.next()).value).not.toHaveProperty("snapshot");
  });

  test("whose token is refused says so and does not come back; with a source of tokens it tries again", async () => {
    await using gateway = await startGateway({ jwtSecret: secret });
    await expect(gateway.client({ token: "wrong" })).rejects.toMatchObject({
      code: "UNAUTHORIZED",
      message: expect.stringMatching(/401\)\. The gateway wants a token, and another one if there was one$/),
    });
    await expect(gateway.client()).rejects.toMatchObject({ code: "UNAUTHORIZED" });
    await expect(gateway.client({ token: "with space" })).rejects.toThrow(/letters, digits/);
    let asked = 0;
    const late = async () => {
      if (++asked < 3) throw new Error("not yet");
      return asked < 5 ? "wrong" : token(market);
    };
    const client = await gateway.client({ token: late, waitOnFirstConnect: true, maxBackoffMs: 20 });
    expect(await client.getAllTickers("binance")).toEqual([]);
    expect(asked).toBe(5);
  });

  test("whose token expires is told so before, and closed with 4401", async () => {
    await using gateway = await startGateway({ jwtSecret: secret, jwtClockToleranceS: 0 });
    const expiresIn = 3;
    const wire = await gateway.wire(await token(market, { expiresIn }));
    const warning = await wire.frame(({ type }) => type === "auth_status");
    expect(warning).toEqual({
      type: "auth_status",
      state: "expiring",
      expires_at: expect.any(Number),
      expires_in: expect.any(Number),
    });
    expect(Number(warning["expires_in"])).toBeLessThanOrEqual(expiresIn);
    await wire.ask("stream_tickers", { exchange: "binance" });
    expect(await wire.closed()).toBe(4401);
    expect(wire.frames.filter(({ type }) => type === "auth_status")).toHaveLength(1);
    await until(() => expect(gateway.server.summary).toMatchObject({ connections: 0, topics: 0 }));
  });

  test("whose token expires by the clock of the gateway is closed although its clock was set forward", async () => {
    let ahead = 0;
    const now = () => Date.now() / 1000 + ahead;
    await using gateway = await startGateway({ jwtSecret: secret, now, pingMs: 100 });
    const wire = await gateway.wire(await token(market));
    ahead = 580;
    await wire.frame(({ type }) => type === "auth_status");
    ahead = 3_600;
    expect(await wire.closed()).toBe(4401);
  });

  test("that came without a token may have some time to bring it, where this is allowed", async () => {
    await using gateway = await startGateway({ jwtSecret: secret, authenticateWithinMs: 1_000 });
    const [slow, quick] = [await gateway.wire(), await gateway.wire()];
    expect(await quick.ask("ping")).toMatchObject({ updates_sent: 0 });
    expect(await quick.request("get_ticker", ask)).toMatchObject({ error_code: "UNAUTHORIZED" });
    expect(await quick.request("stream_tickers", { exchange: "x" })).toMatchObject({ error_code: "UNAUTHORIZED" });
    expect(await quick.request("authenticate", { token: "wrong" })).toMatchObject({ error_code: "UNAUTHORIZED" });
    const identity = await quick.ask("authenticate", { token: await token({ sub: "5", ...market }) });
    expect(identity).toMatchObject({ user_id: "5", scopes: ["tickers:read"] });
    expect(await slow.closed()).toBe(4501);
    expect(await quick.ask("get_all_tickers", { exchange: "x" })).toEqual([]);
    // A wrong token is refused at once all the same.
    expect(await knock(gateway.server.url, bearer("wrong"))).toMatchObject({ status: 401 });
  });

  test("that says who it is where nobody has to is anyone", async () => {
    await using gateway = await startGateway();
    const wire = await gateway.wire("whatever");
    expect(await wire.ask("authenticate", { token: "whatever" })).toMatchObject({ user_id: null, expires_at: null });
    expect(await wire.ask("get_bots")).toEqual([]);
  });
});

test("a token that is sent stands in no log, whatever becomes of it", async () => {
  await using redis = await startRedis();
  await using gateway = await startGateway({ to: redis, jwtSecret: secret });
  const text = await token({ sub: "5", ...market });
  const wire = await Wire.open(gateway.server.url, { headers: { authorization: `Bearer ${text}` } });
  await wire.ask("authenticate", { token: text });
  await wire.request("authenticate", { token: `${text}x` });
  await wire.request("authenticate", { token: text, other: text });
  wire.close();
  expect(JSON.stringify(gateway.lines)).not.toContain(text.slice(0, 60));
});

describe("what the gateway is to know tokens by", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const pem = (key: KeyObject, type: "spki" | "pkcs8") => key.export({ type, format: "pem" } as never).toString();
  const hash = sha256("a key of sixteen letters");
  const wrong: readonly [string, () => object, RegExp][] = [
    ["a key file that is not there", () => ({ jwtKeyFile: "/nowhere" }), /JWT_KEY_FILE: "\/nowhere" cannot be read/],
    ["a private key", () => ({ jwtKeyFile: new TestFile("k", pem(privateKey, "pkcs8")).path }), /holds a private key/],
    ["a key file of something else", () => ({ jwtKeyFile: new TestFile("k", "text").path }), /a public key in PEM or/],
    ["a key set that is none", () => ({ jwtKeyFile: new TestFile("k", { keys: 3 }).path }), /a public key in PEM or/],
    [
      "two sources of keys",
      () => ({ jwksUrl: "https://k", jwtKeyFile: new TestFile("k", pem(publicKey, "spki")).path }),
      /choose one/,
    ],
    ["keys fetched in the open", () => ({ jwksUrl: "http://keys.example.com" }), /https:\/\/…, or http/],
    ["keys from nowhere", () => ({ jwksUrl: "keys" }), /https:\/\/…, or http/],
    ["no file of keys", () => ({ apiKeysFile: "/nowhere" }), /API_KEYS_FILE: "\/nowhere" cannot be read/],
    ["keys in the open", () => ({ apiKeysFile: new TestFile("a", { a: "secret" }).path }), /must hold keys by name/],
    [
      "a hash that is too short",
      () => ({ apiKeysFile: new TestFile("a", { a: { sha256: "ab", scope: "*:read" } }).path }),
      /must hold keys by name/,
    ],
    [
      "a key without a scope",
      () => ({ apiKeysFile: new TestFile("a", { a: { sha256: hash } }).path }),
      /does not say the scope of "a"/,
    ],
    [
      "a scope that there is not",
      () => ({ apiKeysFile: new TestFile("a", { a: { sha256: hash, scope: "tickers:write" } }).path }),
      /"tickers:write": .*tickers:read/,
    ],
    ["an origin with a path", () => ({ allowedOrigins: "https://a.example/x" }), /origins like/],
    ["a proxy that is no address", () => ({ trustedProxies: "proxy" }), /addresses or subnets/],
    ["a subnet that is too narrow", () => ({ trustedProxies: "10.0.0.0/33" }), /addresses or subnets/],
  ];

  test.each(wrong)("is not %s: it says what is allowed, and shows no secret", (_, options, why) => {
    let said = "";
    try {
      new CacheWebSocketServer({ logLevel: "silent", ...options() });
    } catch (error) {
      said = (error as Error).message;
    }
    expect(said).toMatch(why);
    expect(said).not.toContain("secret");
  });
});

test("a key that is none is refused where there are no tokens, and one who is nobody stays so", async () => {
  const keys = new TestFile("keys.json", { one: { sha256: sha256("first-key"), scope: "*:read" } });
  await using gateway = await startGateway({ apiKeysFile: keys.path, authenticateWithinMs: 60_000 });
  const { body } = await knock(gateway.server.url, bearer("other-key"));
  expect(JSON.parse(body)).toMatchObject({ error: "this key is not known" });
  const [known, unknown] = [await gateway.wire("first-key"), await gateway.wire()];
  gateway.server.reload();
  expect(await known.ask("get_bots")).toEqual([]);
  expect(await unknown.request("get_bots")).toMatchObject({ error_code: "UNAUTHORIZED" });
  keys.write({ one: { sha256: sha256("first-key"), scope: "tickers:read" } });
  const closed = known.closed();
  gateway.server.reload();
  expect(await closed).toBe(4501);
  expect(await unknown.ask("authenticate", { token: "first-key" })).toMatchObject({ scopes: ["tickers:read"] });
});

test("where nobody has to say who he is, files that are read again change nothing about that", async () => {
  await using gateway = await startGateway();
  const wire = await gateway.wire();
  gateway.server.reload();
  expect(await wire.ask("get_bots")).toEqual([]);
});
