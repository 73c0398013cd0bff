import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { Type } from "typebox";
import { expect, type TestContext, test } from "vitest";
import { declared } from "../src/docs/declared.ts";
import { ownParams } from "../src/operations/operation.ts";
import { methodName } from "../src/protocol/names.ts";
import { startGateway } from "./kit/gateway.ts";
import { type Program, start } from "./kit/program.ts";
import { setTicker } from "./kit/streams.ts";
import { secret, TestFile, token } from "./kit/tokens.ts";
import { until } from "./kit/until.ts";
import { startWebSocketProxy } from "./kit/websocket-proxy.ts";

const document = readFileSync("docs/other-languages.md", "utf8");
const [, program = ""] = /^```python\n([\s\S]*?)^```$/m.exec(document) ?? [];
// Debian's packages are for Debian's Python, which need not be the first one.
const python = ["/usr/bin/python3", "python3"].find(
  (name) => spawnSync(name, ["-c", "import websockets"], { stdio: "ignore" }).status === 0,
);

/** The Python that has websockets; skips the test where none does. */
function pythonOf({ skip }: TestContext): string {
  return (
    python ?? skip("no python3 here has websockets: scripts/setup.sh --browser installs it where there is apt-get")
  );
}

/** Runs the client of the document. */
function startPython(context: TestContext, url: string, bearer: string): Program {
  const file = new TestFile("tickers.py", program);
  return start(pythonOf(context), ["-u", file.path, url, bearer]);
}

/** Waits for a line that was not there before. */
async function next({ lines, text }: Program, from: number, fits: RegExp): Promise<string> {
  return until(() => {
    const found = lines.slice(from).find((line) => fits.test(line));
    expect(found, text).toBeDefined();
    return found as string;
  });
}

test("the Python client of the document is short enough to be read", () => {
  expect(program.trim().split("\n").length).toBeLessThan(40);
});

test("the Python client asks, follows, counts what was skipped, and comes back with the whole picture", {
  timeout: 60_000,
}, async (context) => {
  await using gateway = await startGateway({ jwtSecret: secret });
  const { redis, server } = gateway;
  await setTicker(redis, "binance", "BTC/USDT", 1);
  await setTicker(redis, "binance", "ETH/USDT", 5);
  // It passes frames on, and brings the token along as the client did.
  await using proxy = await startWebSocketProxy(`${server.url}/?token=${await token({ user_id: 1001 })}`);
  await using client = startPython(context, proxy.url, "of-the-proxy");
  await client.line(/^answer \{.*"price": 1\b/);
  await client.line(/^answer \{"stream"/);
  await client.line(/^live \{"BTC\/USDT": 1, "ETH\/USDT": 5\}$/);

  await setTicker(redis, "binance", "BTC/USDT", 2);
  await client.line(/^update \{"BTC\/USDT": 2, "ETH\/USDT": 5\} skipped 0$/);
  await redis.command(["HDEL", "tickers:binance", "ETH/USDT"]);
  await client.line(/^update \{"BTC\/USDT": 2\} skipped 0$/);

  // As many as it takes until some come faster than four a second.
  let price = 10;
  await until(async () => {
    for (const last = price + 10; price < last; price++) await setTicker(redis, "binance", "BTC/USDT", price);
    expect(client.lines.some((line) => / skipped [1-9]/.test(line))).toBe(true);
  });
  await client.line(new RegExp(`"BTC/USDT": ${price - 1}\\}`));

  // One is swallowed: the next one shows it.
  const swallowed = proxy.swallow((frame) => frame["price"] === 0.5);
  await setTicker(redis, "binance", "BTC/USDT", 0.5);
  await swallowed;
  let from = client.lines.length;
  await setTicker(redis, "binance", "BTC/USDT", 3);
  expect(await next(client, from, /^(live|update)/)).toBe('live {"BTC/USDT": 3}');
  expect(proxy.connections).toBe(2);

  from = client.lines.length;
  proxy.cut();
  await next(client, from, /^lost /);
  await setTicker(redis, "binance", "SOL/USDT", 7);
  await next(client, from, /^live \{"BTC\/USDT": 3, "SOL\/USDT": 7\}$/);
  expect(client.errors).toEqual([]);
});

test("the Python client is let in by its token, and does not come back where it is refused for good", {
  timeout: 60_000,
}, async (context) => {
  await using gateway = await startGateway({ jwtSecret: secret });
  await setTicker(gateway.redis, "binance", "BTC/USDT", 1);
  await using welcome = startPython(context, gateway.server.url, await token({ user_id: 1001 }));
  await welcome.line(/^live \{"BTC\/USDT": 1\}$/);
  await using stranger = startPython(context, gateway.server.url, "no-token");
  expect(await stranger.ended).toEqual({ code: 0, signal: null });
  expect(stranger.lines).toEqual([expect.stringMatching(/^lost .*HTTP 401$/)]);
  await using other = startPython(context, gateway.server.url, await token({ user_id: 1, scope: "bots:read" }));
  expect(await other.ended).toEqual({ code: 0, signal: null });
  expect(other.lines).toEqual(["answer FORBIDDEN", "answer FORBIDDEN"]);
});

test("what the document says to do by hand works", { timeout: 60_000 }, async (context) => {
  await using gateway = await startGateway({ jwtSecret: secret });
  await setTicker(gateway.redis, "binance", "BTC/USDT", 1);
  const [talk = "", show = ""] = [...document.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text);
  const here = (text: string) => text.replaceAll("localhost:8765", new URL(gateway.server.url).host);
  const [command = "", question = ""] = here(talk).split("\n> ");
  const asked = command.replace("python3", pythonOf(context)).replace("TOKEN", await token({ user_id: 1 }));
  const talking = spawn("sh", ["-c", asked]);
  let said = "";
  talking.stdout.on("data", (text) => {
    said += text;
  });
  talking.stdin.write(`${question.trim()}\n`);
  await until(() => expect(said).toContain('"price":1'));
  talking.stdin.end();
  await once(talking, "close");
  const sh = (script: string) => promisify(execFile)("sh", ["-c", script]);
  const [, shown = "", upgrade = ""] = /^(curl[^\n]*)\n(curl[\s\S]*)$/.exec(here(show)) ?? [];
  expect(JSON.parse((await sh(shown)).stdout)).toMatchObject({ asyncapi: "3.0.0" });
  const { stdout: refused } = await sh(upgrade);
  expect(refused).toMatch(/^HTTP\/1\.1 401 /);
  expect(refused).toContain('"error_code":"UNAUTHORIZED"');
});

test("whoever comes from the Python service finds every call of ours, and what it mirrors", () => {
  const text = readFileSync("docs/upgrading-from-python.md", "utf8");
  const rows = text.split("\n").filter((line) => /^\|.*`cache\.\w+\(/.test(line));
  const cells = rows.map((row) => row.split(" | ").map((cell) => cell.trim()));
  const methods = declared.filter(({ operation }) => operation.method !== false);
  for (const { name, method, operation } of methods) {
    const row = cells.find(([, here]) => here?.includes(`\`cache.${method}(`));
    expect([name, row?.[2]]).toEqual([name, operation.mirrors === undefined ? "–" : `\`${operation.mirrors}\``]);
    // Where the older service had it, it had the same name.
    const [, before = name] = /`(\w+)/.exec(row?.[0] ?? "") ?? [];
    expect(before).toBe(name);
    const taken = ownParams(operation).map(
      ([param, schema]) => methodName(param) + (Type.IsOptional(schema) ? "?" : ""),
    );
    expect(row?.[1]).toContain(`${method}(${taken.join(", ")})`);
  }
  const named = [...text.matchAll(/`cache\.(\w+)\(/g)].map(([, method]) => method);
  expect(named.toSorted()).toEqual(methods.map(({ method }) => method).toSorted());
});
