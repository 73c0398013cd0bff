import { describe, expect, test } from "vitest";
import { operations, operationsByWireName } from "../src/operations/index.ts";
import type { Operation } from "../src/operations/operation.ts";
import { anyUser, needOf, Permissions, readAll, scopes } from "../src/operations/permissions.ts";
import { wireName } from "../src/protocol/names.ts";
import { startGateway, type Wire } from "./kit/gateway.ts";
import { someParams } from "./kit/params.ts";
import { setPositions, setTicker } from "./kit/streams.ts";
import { secret, TestFile, token } from "./kit/tokens.ts";
import { until } from "./kit/until.ts";

/** What every operation of the given names answers: whether it was allowed. */
async function allowed(wire: Wire, names: Iterable<string>): Promise<string[]> {
  const answers: string[] = [];
  for (const name of names) {
    const { error_code: code } = await wire.request(name, someParams(operationsByWireName.get(name) as Operation));
    if (code !== "FORBIDDEN") answers.push(name);
  }
  return answers.sort();
}

const map = { "1001": { binance: 12, kraken: 13 }, "1002": { binance: 14 } };

describe("a scope", () => {
  test("stands for the operations of one domain, and every operation needs one but those of the gateway", () => {
    const needs = Object.fromEntries(
      Object.entries(operations).map(([name, operation]) => [wireName(name), needOf(operation, {}).scope]),
    );
    expect(new Set(Object.values(needs))).toEqual(
      new Set([undefined, ...scopes.filter((scope) => scope !== readAll && scope !== anyUser)]),
    );
    const free = Object.entries(needs).filter(([, scope]) => scope === undefined);
    expect(free.map(([name]) => name).sort()).toEqual([
      "authenticate",
      "get_server_info",
      "list_streams",
      "ping",
      "unsubscribe",
    ]);
    expect(needs).toMatchObject({
      get_ticker: "tickers:read",
      get_balance: "accounts:read",
      stream_positions: "accounts:read",
      // The trades of one user are his, whatever domain they are declared in.
      get_user_trades: "accounts:read",
      stream_trade_updates: "trades:read",
      get_system_health: "processes:read",
    });
  });

  test("allows what it stands for and nothing else, for every scope and every operation", async () => {
    const accountsFile = new TestFile("accounts.json", map).path;
    await using gateway = await startGateway({ jwtSecret: secret, accountsFile });
    const everything = [...operationsByWireName.keys()].sort();
    const needs = (name: string) => {
      const operation = operationsByWireName.get(name);
      return operation && needOf(operation, {}).scope;
    };
    for (const scope of scopes.filter((one) => one.endsWith(":read") && one !== readAll)) {
      const wire = await gateway.wire(await token({ user_id: 1, scope: `openid ${scope} profile` }));
      const expected = everything.filter((name) => [scope, undefined].includes(needs(name)));
      expect(await allowed(wire, everything), scope).toEqual(expected);
    }
    const all = await gateway.wire(await token({ user_id: 1, scope: readAll }));
    expect(await allowed(all, everything)).toEqual(everything);
    const none = await gateway.wire(await token({ user_id: 1, scope: "" }));
    expect(await allowed(none, everything)).toEqual(everything.filter((name) => needs(name) === undefined));
  });

  test("that a token does not name is what the settings say", async () => {
    await using gateway = await startGateway({ jwtSecret: secret });
    const wire = await gateway.wire(await token({ sub: "ann", user_id: 1001, username: "ann", email: "a@b.c" }));
    const identity = await wire.ask("authenticate", { token: await token({ sub: "ann", user_id: 1001 }) });
    expect(identity).toMatchObject({ user_id: "1001", scopes: ["tickers:read", "ohlcv:read", "accounts:read"] });
    await using strict = await startGateway({ to: gateway.redis, jwtSecret: secret, defaultScope: "bots:read" });
    const other = await strict.wire(await token({ sub: "ann" }));
    expect(await other.ask("get_bots")).toEqual([]);
    expect(await other.request("get_exchanges")).toMatchObject({ error_code: "FORBIDDEN" });
  });

  test("that nobody knows grants nothing", () => {
    const permissions = new Permissions(["read", "tickers", "*", "gateway:read", "__proto__", "tickers:write"], "1");
    expect([...permissions.scopes]).toEqual([]);
    expect(permissions.refusal({ scope: "tickers:read", userId: undefined })).toMatchObject({ code: "FORBIDDEN" });
  });
});

describe("an account", () => {
  const ownAccounts = [
    ["that the operator's map gives", map, {}],
    ["that the token claims", undefined, { ex_ids: { binance: 12, kraken: 13 } }],
    ["that the map gives, whatever the token claims", map, { ex_ids: { binance: 14 } }],
  ] as const;

  test.each(ownAccounts)("%s is seen by its user, and by no other", async (_, accounts, claims) => {
    const accountsFile = accounts && new TestFile("accounts.json", accounts).path;
    await using gateway = await startGateway({ jwtSecret: secret, accountsFile });
    const { redis } = gateway;
    for (const exId of ["12", "13", "14"]) {
      await setPositions(redis, exId, { [`S${exId}`]: 1 });
      await redis.command(["HSET", "accounts", exId, JSON.stringify({ USDT: { total: Number(exId) } })]);
      await redis.command(["RPUSH", "user_trades:1002:binance", JSON.stringify({ trade_id: exId })]);
    }
    const ann = await gateway.wire(await token({ user_id: 1001, ...claims }));
    const bob = await gateway.wire(await token({ user_id: 1002, ex_ids: { binance: 14 } }));
    const own = { user_id: 1001, exchange: "binance" };
    // Twice, so that an answer that is kept would be seen.
    for (let round = 0; round < 2; round++) {
      expect(await ann.ask("get_balance", own)).toMatchObject({ balances: { USDT: { total: 12 } } });
      expect(await ann.ask("get_positions", { user_id: "1001" })).toMatchObject([{ symbol: "S12" }, { symbol: "S13" }]);
      for (const [operation, params] of [
        ["get_balance", own],
        ["get_positions", own],
        ["get_positions", { user_id: 1001 }],
        ["get_user_trades", own],
        ["stream_positions", own],
        ["stream_positions", { user_id: 1001 }],
      ] as const) {
        const answer = await bob.request(operation, params);
        expect(answer, operation).toMatchObject({ error_code: "FORBIDDEN", details: { path: "params.user_id" } });
        expect(JSON.stringify(answer)).not.toMatch(/S1\d|USDT/);
        const other = await ann.request(operation, { ...params, user_id: 1002 });
        expect(other).toMatchObject({ error_code: "FORBIDDEN" });
      }
    }
    await ann.ask("stream_positions", { user_id: 1001 });
    await until(() => expect(ann.updates("position:1001:binance")).toHaveLength(1));
    expect(await bob.ask("list_streams")).toEqual([]);
    await setPositions(redis, "12", { S12: 5 });
    await until(() => expect(ann.updates("position:1001:binance")).toHaveLength(2));
    expect(JSON.stringify(bob.frames)).not.toMatch(/S12|S13/);
    expect(await ann.request("get_balance", { user_id: 1001, exchange: "okx" })).toMatchObject({
      error_code: "ACCOUNT_NOT_FOUND",
    });
  });

  test("that a token claims by its id goes by that id, and others are forbidden", async () => {
    await using gateway = await startGateway({ jwtSecret: secret });
    for (const exId of ["12", "13", "14"]) await setPositions(gateway.redis, exId, { [`S${exId}`]: 1 });
    const wire = await gateway.wire(await token({ user_id: 1001, ex_ids: [12, "13"] }));
    expect(await wire.ask("get_positions", { user_id: 1001 })).toMatchObject([
      { exchange: "12", symbol: "S12" },
      { exchange: "13", symbol: "S13" },
    ]);
    expect(await wire.ask("get_positions", { user_id: 1001, exchange: "13" })).toHaveLength(1);
    for (const exchange of ["14", "binance", "__proto__"])
      expect(await wire.request("get_positions", { user_id: 1001, exchange })).toMatchObject({
        error_code: "FORBIDDEN",
      });
  });

  test("is nobody's who has a colon in his name, which keys could not tell from a shorter one", async () => {
    await using gateway = await startGateway({ jwtSecret: secret });
    await gateway.redis.command(["RPUSH", "user_trades:a:b:c", JSON.stringify({ trade_id: 1 })]);
    const wire = await gateway.wire(await token({ sub: "a:b" }));
    expect(await wire.request("get_user_trades", { user_id: "a:b", exchange: "c" })).toMatchObject({
      error_code: "FORBIDDEN",
    });
  });

  test("is nobody's where neither a map nor the token says whose it is", async () => {
    await using gateway = await startGateway({ jwtSecret: secret });
    await setPositions(gateway.redis, "1001", { S: 1 });
    const wire = await gateway.wire(await token({ user_id: 1001 }));
    for (const params of [{ user_id: 1001 }, { user_id: 1001, exchange: "1001" }])
      expect(await wire.request("get_positions", params)).toMatchObject({ error_code: "ACCOUNT_NOT_FOUND" });
  });

  test("of anybody is seen by those who have the scope for it", async () => {
    const accountsFile = new TestFile("accounts.json", map).path;
    await using gateway = await startGateway({ jwtSecret: secret, accountsFile });
    await setPositions(gateway.redis, "14", { S14: 1 });
    const risk = await gateway.wire(await token({ sub: "risk", scope: "accounts:read accounts:any" }));
    expect(await risk.ask("get_positions", { user_id: 1002 })).toMatchObject([{ symbol: "S14" }]);
    expect(await risk.request("get_exchanges")).toMatchObject({ error_code: "FORBIDDEN" });
    // The scope widens what may be read, and allows nothing by itself.
    const only = await gateway.wire(await token({ sub: "risk", scope: "accounts:any" }));
    expect(await only.request("get_positions", { user_id: 1002 })).toMatchObject({ error_code: "FORBIDDEN" });
  });

  test("is not shared with a token that claims another account under the same name, as a topic or as an answer", async () => {
    await using gateway = await startGateway({ jwtSecret: secret });
    for (const exId of ["12", "99"]) await setPositions(gateway.redis, exId, { [`S${exId}`]: 1 });
    const own = { user_id: 1001, exchange: "binance" };
    const wires = [];
    for (const exId of [12, 99]) {
      const wire = await gateway.wire(await token({ user_id: 1001, ex_ids: { binance: exId } }));
      await wire.ask("stream_positions", own);
      wires.push(wire);
    }
    for (let round = 0; round < 2; round++)
      for (const [at, symbol] of ["S12", "S99"].entries())
        expect(await wires[at]?.ask("get_positions", own)).toMatchObject([{ symbol }]);
    const [first, second] = wires;
    const symbols = (wire?: Wire) => wire?.updates("position:1001:binance").map(({ symbol }) => symbol);
    await until(() => expect(symbols(second)).toEqual(["S99"]));
    expect(symbols(first)).toEqual(["S12"]);
    expect(gateway.server.summary.topics).toBe(2);
  });
});

describe("whoever says anew who he is", () => {
  test("keeps the streams that he still may follow, and no others", async () => {
    const accountsFile = new TestFile("accounts.json", map).path;
    await using gateway = await startGateway({ jwtSecret: secret, accountsFile });
    await setTicker(gateway.redis, "binance", "BTC/USDT", 1);
    await setPositions(gateway.redis, "12", { S12: 1 });
    const wire = await gateway.wire(await token({ user_id: 1001, scope: "tickers:read accounts:read bots:read" }));
    const opened = [];
    for (const [operation, params] of [
      ["stream_tickers", { exchange: "binance" }],
      ["stream_positions", { user_id: 1001 }],
      ["stream_bot_status", {}],
    ] as const)
      opened.push(((await wire.ask(operation, params)) as { stream: string }).stream);
    await until(() => expect(wire.updates("position:1001:binance")).toHaveLength(1));
    const identity = await wire.ask("authenticate", {
      token: await token({ user_id: 1002, scope: "tickers:read accounts:read" }),
    });
    expect(identity).toMatchObject({ user_id: "1002" });
    const ended = wire.frames.filter(({ state }) => state === "ended");
    expect(ended).toHaveLength(3);
    for (const topic of ["position:1001:binance", "position:1001:kraken", "bots"])
      expect(ended).toContainEqual(expect.objectContaining({ topic, error_code: "FORBIDDEN" }));
    expect(await wire.ask("list_streams")).toMatchObject([{ stream: opened[0] }]);
    await setPositions(gateway.redis, "12", { S12: 2 });
    await setTicker(gateway.redis, "binance", "BTC/USDT", 2);
    await wire.frame(({ price }) => price === 2);
    expect(wire.updates("position:1001:binance")).toHaveLength(1);
    expect(await wire.request("get_positions", { user_id: 1001 })).toMatchObject({ error_code: "FORBIDDEN" });
    expect(gateway.server.summary.topics).toBe(1);
    // A token that is wrong changes nothing.
    expect(await wire.request("authenticate", { token: "wrong" })).toMatchObject({ error_code: "UNAUTHORIZED" });
    expect(await wire.request("get_positions", { user_id: 1002, exchange: "binance" })).toMatchObject({ result: [] });
  });

  test("while a stream of his is being opened does not get it as somebody else", async () => {
    const accountsFile = new TestFile("accounts.json", map).path;
    await using gateway = await startGateway({ jwtSecret: secret, accountsFile });
    const wire = await gateway.wire(await token({ user_id: 1001 }));
    const other = await token({ user_id: 1002 });
    // Redis answers nothing until the other token is known.
    gateway.redis.pause();
    const opening = wire.request("stream_positions", { user_id: 1001, exchange: "binance" });
    await wire.ask("authenticate", { token: other });
    gateway.redis.resume();
    expect(await opening).toMatchObject({ error_code: "FORBIDDEN" });
    await until(() => expect(gateway.server.summary).toMatchObject({ streams: 0, topics: 0 }));
  });
});

test("files that are read again change who may see what, at once", async () => {
  const accounts = new TestFile("accounts.json", map);
  await using gateway = await startGateway({ jwtSecret: secret, accountsFile: accounts.path });
  await setPositions(gateway.redis, "12", { S12: 1 });
  await setPositions(gateway.redis, "15", { S15: 1 });
  const wire = await gateway.wire(await token({ user_id: 1001 }));
  const own = { user_id: 1001, exchange: "binance" };
  expect(await wire.ask("get_positions", own)).toMatchObject([{ symbol: "S12" }]);
  await wire.ask("stream_positions", own);
  accounts.write("{");
  expect(() => gateway.server.reload()).toThrow(/is not JSON/);
  expect(await wire.ask("get_positions", own)).toMatchObject([{ symbol: "S12" }]);
  accounts.write({ "1001": { binance: 15 } });
  gateway.server.reload();
  await wire.frame(({ state, error_code }) => state === "ended" && error_code === "FORBIDDEN");
  expect(await wire.ask("get_positions", own)).toMatchObject([{ symbol: "S15" }]);
});
