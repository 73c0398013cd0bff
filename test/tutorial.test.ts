import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type Market, startMarket } from "../src/demo/market.ts";
import { command, outcome } from "./kit/command.ts";
import { type DocumentProgram, makeProgramFolder, programsIn } from "./kit/documents.ts";
import { startGateway, type TestGateway } from "./kit/gateway.ts";
import { type Program, start, startSource } from "./kit/program.ts";
import { setTicker } from "./kit/streams.ts";
import { secret, sha256, TestFile, token } from "./kit/tokens.ts";

// The programs of docs/tutorial.md and docs/cookbook.md, as they stand there. All are compiled, and all are run but two: the
// React hook, because there is no React here, and the program for web pages, because it has no end; that one is bundled.

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000, maxConcurrency: 4 });

const tutorial = programsIn("docs/tutorial.md");
const cookbook = programsIn("docs/cookbook.md");
const hook = programsIn("docs/cookbook.md", "tsx");
const watcher = tutorial.at(-1) as DocumentProgram;
/** The recipe that has a text in it. */
const recipe = (text: string) => cookbook.find((program) => program.text.includes(text)) as DocumentProgram;
const webhook = recipe("WEBHOOK_URL");
const renewal = recipe("TOKEN_URL");
const backTest = recipe("REPLAY_URL");
const page = recipe("document.querySelector");
const worker = recipe("new Worker");

let folder = "";
let gateway: TestGateway;
let market: Market;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fullon-cache-api-tutorial-"));
  makeProgramFolder(folder, ".", { jsx: "react-jsx" });
  gateway = await startGateway();
  market = await startMarket(gateway.redis.url, { intervalMs: 20 });
});

afterAll(async () => {
  await market.stop();
  await gateway[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** Runs a program of a document against a gateway in place of the one that it names. */
async function begin(
  { name, text }: DocumentProgram,
  url: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Program> {
  const path = join(folder, name);
  await writeFile(path, text.replaceAll("ws://localhost:8765", url));
  return startSource(path, [], { cwd: folder, env });
}

/** What a line looks like, whatever the figures in it are. */
function like(line: string): RegExp {
  const plain = line.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  const numbers = plain.replace(/\d+(\\\.\d+)?/g, "\\d+(\\.\\d+)?");
  return new RegExp(`^${numbers.replace(/\b[A-Z]{3}\/USDT\b/g, "[A-Z]{3}/USDT").replace(/rose|fell/, "(rose|fell)")}$`);
}

/** Has a program run until it ended, or has said what it is to say and Ctrl-C ended it. */
async function expectToWork({ text, output }: DocumentProgram, program: Program): Promise<void> {
  const last = (line: string) => /stopped/.test(line);
  const isEndless = text.includes("// Ctrl-C ends it.");
  for (const line of output) if (!last(line)) await program.line(like(line));
  if (isEndless) {
    await program.line(/./);
    program.interrupt();
  }
  const { code, signal } = await program.ended;
  const killed = isEndless && !text.includes("process.once(");
  expect({ code, signal, errors: program.errors }, program.text).toEqual({
    code: killed ? null : 0,
    signal: killed ? "SIGINT" : null,
    errors: [],
  });
  expect(program.lines).not.toEqual([]);
  for (const line of output.filter(last)) await program.line(like(line));
}

test("every step of the tutorial shows what it prints, and the cookbook has as many recipes as its programs", () => {
  expect(tutorial).toHaveLength(8);
  for (const { name, output } of tutorial) expect(output, name).not.toEqual([]);
  expect([cookbook.length, hook.length]).toEqual([10, 1]);
});

test.concurrent.each(tutorial.map((step) => [step.name, step] as const))(
  "%s does what the tutorial says",
  async (_name, step) => {
    await using program = await begin(step, gateway.server.url, { FULLON_CACHE_URL: gateway.server.url });
    await expectToWork(step, program);
  },
);

const plain = cookbook.filter((one) => ![webhook, renewal, backTest, page, worker].includes(one));

test.concurrent.each(plain.map((one) => [one.name, one] as const))("%s works", async (_name, one) => {
  await using program = await begin(one, gateway.server.url);
  await expectToWork(one, program);
});

test.concurrent("the programs have no mistake in their types, the React hook neither", async () => {
  // Each by a name of its own: of two files that differ by their endings alone, the compiler takes one.
  for (const { name, text } of [...tutorial, ...cookbook]) await writeFile(join(folder, `types-${name}`), text);
  for (const { name, text } of hook) await writeFile(join(folder, `hook-${name}`), text);
  // As much of React as the hook uses.
  await writeFile(
    join(folder, "react.d.ts"),
    `declare module "react" {
       export function useState<State>(first: State): [State, (next: State) => void];
       export function useEffect(effect: () => (() => void) | void, inputs: readonly unknown[]): void;
     }
     declare module "react/jsx-runtime" {
       export function jsx(type: string, props: object): object;
       export namespace JSX {
         type Element = object;
         interface IntrinsicElements { output: { children?: string | number } }
       }
     }`,
  );
  await using program = start(process.execPath, [resolve("node_modules/typescript/bin/tsc"), "-p", folder]);
  const { code } = await program.ended;
  expect({ code, text: program.text }).toEqual({ code: 0, text: "" });
});

test.concurrent("the watcher tells of jumps, of what is gone, of doubt and of lost connections, and survives all of it", async () => {
  await using own = await startGateway();
  const { redis } = own;
  await setTicker(redis, "binance", "BTC/USDT", 100);
  await setTicker(redis, "binance", "ETH/USDT", 10);
  const env = { FULLON_CACHE_URL: own.server.url, ALERT_PERCENT: "5" };
  await using program = await begin(watcher, "", env);
  await program.line(/^prices are live$/);
  await setTicker(redis, "binance", "BTC/USDT", 104);
  await setTicker(redis, "binance", "ETH/USDT", 9);
  expect(await program.line(/^ALERT: ETH/)).toBe("ALERT: ETH/USDT fell by 10.00 %, to 9");
  await setTicker(redis, "binance", "BTC/USDT", 106);
  expect(await program.line(/^ALERT: BTC/)).toBe("ALERT: BTC/USDT rose by 6.00 %, to 106");
  await redis.command(["HDEL", "tickers:binance", "ETH/USDT"]);
  await redis.command(["PUBLISH", "ticker_updates:binance:ETH/USDT", "gone"]);
  await program.line(/^ETH\/USDT is gone$/);

  await redis.restart();
  await program.line(/^prices may be out of date$/);
  await program.line(/^BTC\/USDT is gone$/);
  const isLiveAgain = () => program.lines.filter((line) => line === "prices are live").length === 2;
  await vi.waitUntil(isLiveAgain, { timeout: 30_000 });

  await own.server.stop();
  await program.line(/^the connection is lost \(CONNECTION_\w+\); trying again$/);
  program.interrupt("SIGTERM");
  expect(await program.ended, program.text).toEqual({ code: 0, signal: null });
  expect(program.lines.at(-1)).toBe("stopped after 2 alerts");
  expect(program.errors).toEqual([]);
});

test("with a key the token step is let in, and told what it may not ask; the watcher without one says why it ends", async () => {
  const keys = new TestFile("keys.json", { watcher: { sha256: sha256("the-key"), scope: "tickers:read" } });
  await using own = await startGateway({ apiKeysFile: keys.path });
  await setTicker(own.redis, "binance", "BTC/USDT", 100);
  const [step] = tutorial.slice(-2) as [DocumentProgram];
  const env = { FULLON_CACHE_URL: own.server.url };
  await using allowed = await begin(step, "", { ...env, FULLON_CACHE_TOKEN: "the-key" });
  expect(await allowed.ended, allowed.text).toEqual({ code: 0, signal: null });
  expect(allowed.lines).toEqual(["BTC/USDT costs 100", expect.stringMatching(/^not for us: .*bots:read/)]);

  await using refused = await begin(watcher, "", env);
  expect(await refused.ended, refused.text).toEqual({ code: 1, signal: null });
  expect([refused.lines, refused.errors]).toEqual([[], [expect.stringMatching(/^UNAUTHORIZED: /)]]);
});

/** An HTTP server that answers with what it is told; it ends with the test. */
async function startHttp(answer: (request: IncomingMessage, body: string) => string | Promise<string>) {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    response.end(await answer(request, body));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    [Symbol.dispose]: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

test.concurrent("the webhook is sent what moved, and its absence ends nothing", async () => {
  const bodies: unknown[] = [];
  using http = await startHttp((request, body) => {
    bodies.push([request.method, request.headers["content-type"], JSON.parse(body)]);
    return "thanks";
  });
  await using program = await begin(webhook, gateway.server.url, { WEBHOOK_URL: http.url });
  const line = await program.line(/^sent: /);
  const [, text] = /^sent: (BTC\/USDT went from [\d.]+ to [\d.]+) \(200\)$/.exec(line) ?? [];
  expect(bodies[0]).toEqual(["POST", "application/json", { text }]);
  http[Symbol.dispose]();
  await program.line(/^not sent: /);
  program.interrupt();
  await program.ended;
  expect(program.errors).toEqual([]);
});

test.concurrent("a token that is renewed comes from where the recipe gets it", async () => {
  await using own = await startGateway({ jwtSecret: secret });
  await setTicker(own.redis, "binance", "BTC/USDT", 100);
  using http = await startHttp(async () => `${await token({ user_id: "1001", scope: "tickers:read" })}\n`);
  await using program = await begin(renewal, own.server.url, { TOKEN_URL: http.url });
  expect(await program.ended, program.text).toEqual({ code: 0, signal: null });
  expect(program.lines).toEqual(["BTC/USDT costs 100"]);
});

test.concurrent("the back-test is given all that was recorded, and stops by itself", async () => {
  const file = join(folder, "prices.ndjson");
  const env = { FULLON_CACHE_URL: gateway.server.url };
  const words = ["--count", "50", file, "stream-tickers", "binance", "BTC/USDT"];
  expect(await outcome(["record", ...words], env)).toEqual({ code: 0, lines: [], errors: [] });
  await using replay = command(["replay", file, "--port", "0", "--once"]);
  await using program = await begin(backTest, "", { REPLAY_URL: await replay.url() });
  expect(await program.ended, program.text).toEqual({ code: 0, signal: null });
  const [, prices, leftOut] = /^(\d+) prices, (\d+) left out; 100000 became \d+\.\d\d$/.exec(program.text) ?? [];
  expect(Number(prices) + Number(leftOut), program.text).toBe(50);
  expect(await replay.code).toBe(0);
});

const client = createRequire(import.meta.url).resolve("../src/client/index.ts");

/** A program in one file of JavaScript, as esbuild makes it. */
async function bundled({ name, text }: DocumentProgram, platform: "browser" | "node"): Promise<string> {
  const entry = join(folder, `entry-${name}`);
  const outfile = join(folder, `${name}.js`);
  await writeFile(entry, text.replaceAll("ws://localhost:8765", gateway.server.url));
  const external = platform === "node" ? ["ws"] : [];
  const alias = { "fullon-cache-api/client": client };
  await build({
    entryPoints: [entry],
    outfile,
    alias,
    external,
    platform,
    bundle: true,
    format: "esm",
    target: "es2022",
  });
  return outfile;
}

test.concurrent("the program for web pages can be bundled for them", async () => {
  expect(await bundled(page, "browser")).toMatch(/\.js$/);
});

test.concurrent("the worker thread asks by itself, and tells the main one", async () => {
  await using program = start(process.execPath, [await bundled(worker, "node")], { cwd: folder });
  expect(await program.ended, program.text).toEqual({ code: 0, signal: null });
  expect(program.text).toMatch(/^the average of ten prices is \d+\.\d\d$/);
});
