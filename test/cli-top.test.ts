import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { keysIn } from "../src/cli/full-screen.ts";
import { textWidth } from "../src/cli/table.ts";
import { type Market, startMarket } from "../src/demo/market.ts";
import { command, inEmptyFolder, outcome } from "./kit/command.ts";
import { startGateway, type TestGateway } from "./kit/gateway.ts";
import { hasPty, Pty } from "./kit/pty.ts";
import { TestScreen } from "./kit/screen.ts";
import { secret, token } from "./kit/tokens.ts";

vi.setConfig({ testTimeout: 60_000 });
const patience = { timeout: 30_000, interval: 20 };

inEmptyFolder();
let gateway: TestGateway;
let market: Market;
let env: { readonly FULLON_CACHE_URL: string };

beforeAll(async () => {
  gateway = await startGateway();
  market = await startMarket(gateway.redis.url, { intervalMs: 0 });
  env = { FULLON_CACHE_URL: gateway.server.url };
});

afterAll(async () => {
  await market.stop();
  await gateway[Symbol.asyncDispose]();
});

const enter = "\u001b[?1049h\u001b[?25l\u001b[?7l";
const leave = "\u001b[?7h\u001b[?25h\u001b[?1049l";
const frame =
  /^\u001b\[\?2026h\u001b\[H\u001b\[1m(?<head>[^\u001b]*)\u001b\[K\u001b\[0m(?<rest>[\s\S]*)\u001b\[J\u001b\[\?2026l$/;

/** The lines of the last frame. */
function shown({ writes }: TestScreen): string[] {
  const { head = "", rest = "" } = frame.exec(writes.at(-1) ?? "")?.groups ?? {};
  return [head, ...rest.split("\u001b[K").join("").split("\r\n").slice(1)];
}

const shows = (screen: TestScreen, what: string | RegExp) =>
  vi.waitUntil(() => shown(screen).join("\n").match(what), patience);

test("top shows everything on a screen, pane by pane, and gives the screen back", async () => {
  const screen = new TestScreen(100, 30);
  await using top = command(["top"], env, screen);
  await shows(screen, "[1 tickers 18]".replace("[", "\\["));
  await shows(screen, /binance +BTC\/USDT +[\d.]+ +[+-]\d/);
  await shows(screen, /connected, \S+ (ms|s) {2}\d/);
  await shows(screen, /2 queues \d+ +3 bots 3 +4 processes 7 +5 connection open/);
  screen.press("2");
  await shows(screen, /\[2 queues \d+\][\s\S]*\nbinance +\d+ +\d+ +\w+ \d+/);
  screen.press("\t");
  await shows(screen, /\[3 bots 3\][\s\S]*\n1 +running +\S+ (ms|s) +feed_1 running/);
  screen.press("\u001b[C");
  await shows(screen, /\[4 processes 7\][\s\S]*\nby type +account 2[\s\S]*all of them are well/);
  screen.press("5");
  await shows(screen, /\[5 connection open\][\s\S]*\nround trip +\S+ (ms|s)[\s\S]*changes +told by Redis/);
  screen.press("\t");
  await shows(screen, /\[1 tickers 18\]/);
  screen.press("\u001b[Z");
  await shows(screen, /\[5 connection open\]/);
  screen.press("q");
  expect(await top.code).toBe(0);
  expect({ lines: top.lines, errors: top.errors, released: screen.released }).toEqual({
    lines: [],
    errors: [],
    released: 1,
  });
  const [first, ...frames] = screen.writes;
  expect([first, frames.pop()]).toEqual([enter, leave]);
  for (const one of frames) expect(one).toMatch(frame);
  // What is the same is not drawn again.
  expect(frames.filter((one, at) => one === frames[at - 1])).toEqual([]);
});

test("a frame fits on the screen, whatever its size, and the rest can be scrolled to", async () => {
  const screen = new TestScreen(200, 50);
  await using top = command(["top"], env, screen);
  await shows(screen, /1 tickers 18/);
  for (const [columns, rows] of [
    [40, 10],
    [20, 6],
    [1, 1],
    [60, 10],
  ] as const) {
    screen.resize(columns, rows);
    const lines = shown(screen);
    expect(lines.length).toBeLessThanOrEqual(rows);
    for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(columns);
  }
  expect(shown(screen)[3]).toMatch(/^exchange/);
  expect(shown(screen).at(-1)).toContain("14 more below");
  screen.press("\u001b[B\u001b[B");
  expect(shown(screen)[3]).toMatch(/^binance +BNB/);
  screen.press("\u001b[6~\u001b[6~\u001b[6~\u001b[6~\u001b[6~");
  expect(shown(screen)[3]).toMatch(/^kraken +SOL\/USD/);
  screen.press("\u001b[5~\u001b[5~\u001b[5~\u001b[5~\u001b[5~");
  expect(shown(screen)[3]).toMatch(/^exchange/);
  screen.press("\u0003");
  expect(await top.code).toBe(0);
});

test("every key does what the last line says, and any other does nothing", async () => {
  const screen = new TestScreen(100, 12);
  await using top = command(["top"], env, screen);
  await shows(screen, /1 tickers 18/);
  const chosen = () => /\[\d (\w+)/.exec(shown(screen).join("\n"))?.[1];
  const after = (keys: string) => {
    screen.press(keys);
    return chosen();
  };
  expect(["\t", "\u001b[C", "\u001b[Z", "\u001b[D", "\u001b[D"].map(after)).toEqual([
    "queues",
    "bots",
    "queues",
    "tickers",
    "connection",
  ]);
  expect(["1", "5", "6", "0", "x"].map(after)).toEqual(["tickers", ...Array(4).fill("connection")]);
  after("1");
  // Without its age, which goes on.
  const first = () => shown(screen)[3]?.split(/ +/, 2).join(" ");
  after("jj");
  const third = first();
  after("k");
  expect(first()).not.toBe(third);
  after("\u001b[B");
  expect(first()).toBe(third);
  after("\u001b[A\u001b[A");
  expect(first()).toMatch(/^exchange/);
  after(" ");
  expect(first()).not.toMatch(/^exchange/);
  screen.press("Q");
  expect(await top.code).toBe(0);
});

test("a price that moves has a direction, and what Redis holds does nothing to the screen", async () => {
  const evil = "A\u001b[2J\n币";
  const move = async (price: number) => {
    const tick = JSON.stringify({ symbol: evil, exchange: "hostile", price, time: Date.now() / 1000 });
    await gateway.redis.command(["HSET", "tickers:hostile", evil, tick]);
  };
  await move(10);
  const screen = new TestScreen();
  await using _top = command(["top"], env, screen);
  const name = "hostile +A\\\\u001b\\[2J\\\\u000a币 +";
  await shows(screen, new RegExp(`${name}10\\.0000`));
  await move(11);
  await shows(screen, new RegExp(`${name}▲ +11\\.0000`));
  await move(9);
  await shows(screen, new RegExp(`${name}▼ +9\\.0000`));
  await gateway.redis.command(["DEL", "tickers:hostile"]);
  await vi.waitUntil(() => !/hostile/.test(shown(screen).join()), patience);
});

test("top says when the gateway is gone, and that it is back", async () => {
  const own = await startGateway({ to: gateway.redis });
  const port = Number(new URL(own.server.url).port);
  const screen = new TestScreen();
  await using _top = command(["top", "--url", own.server.url], {}, screen);
  await shows(screen, /connected,[\s\S]*tickers 18/);
  await own[Symbol.asyncDispose]();
  await shows(screen, /connection (waiting|connecting)/);
  await using _again = await startGateway({ to: gateway.redis, port });
  await shows(screen, /connected,/);
});

test("top says what it may not show, and shows the rest", async () => {
  await using closed = await startGateway({ to: gateway.redis, jwtSecret: secret });
  const FULLON_CACHE_TOKEN = await token({ sub: "1", scope: "tickers:read" });
  const screen = new TestScreen(200);
  await using _top = command(["top", "--url", closed.server.url], { FULLON_CACHE_TOKEN }, screen);
  await shows(screen, /not shown: .*bots.*[\s\S]*tickers 18/);
  screen.press("5");
  await shows(screen, /bots +this needs the scope bots:read/);
});

test("where it is no terminal, top is a line a second", async () => {
  const dumb = new TestScreen();
  const [piped, plain] = await Promise.all([
    outcome(["top", "--for", "2500ms"], env),
    outcome(["top", "--for", "2500ms"], { ...env, TERM: "dumb" }, dumb),
  ]);
  for (const { code, lines, errors } of [piped, plain]) {
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
    expect(lines.at(-1)).toMatch(
      /^\d\d:\d\d:\d\d {2}connected, .* updates\/s {2}tickers 18 {2}queues \d+ {2}bots 3 {2}processes 7$/,
    );
  }
  expect(dumb.writes).toEqual([]);
});

test("without a gateway top leaves the screen alone", async () => {
  const screen = new TestScreen();
  expect((await outcome(["top", "--url", "ws://127.0.0.1:1"], {}, screen)).code).toBe(3);
  expect(screen.writes).toEqual([]);
});

test("keys that come together are told apart", () => {
  expect(keysIn("1\tq\u001b[B\u001b[6~\u001bOA\u001b\u0003é")).toEqual([
    "1",
    "\t",
    "q",
    "\u001b[B",
    "\u001b[6~",
    "\u001bOA",
    "\u001b",
    "\u0003",
    "é",
  ]);
});

test.skipIf(!hasPty)("a real terminal is as it was before, whatever ends top", async () => {
  const endings: readonly ((pty: Pty) => void)[] = [
    (pty) => pty.type("2q"),
    (pty) => pty.type("\u0003"),
    (pty) => pty.kill("SIGTERM"),
    (pty) => pty.kill("SIGHUP"),
  ];
  const look = async (end: (pty: Pty) => void) => {
    await using pty = new Pty(["top"], env);
    await pty.shows(/\[1 tickers 18\]/);
    end(pty);
    await pty.shows(/icanon/);
    const [, after = ""] = pty.text.split(leave);
    expect(pty.text.split(enter)).toHaveLength(2);
    expect(after).toMatch(/code 0/);
    expect(after).toMatch(/ icanon/);
    expect(after).toMatch(/ echo /);
  };
  await Promise.all(endings.map(look));
});

test("top without the prices says that it may not see the exchanges", async () => {
  await using closed = await startGateway({ to: gateway.redis, jwtSecret: secret });
  const FULLON_CACHE_TOKEN = await token({ sub: "1", scope: "bots:read" });
  const screen = new TestScreen(200);
  await using _top = command(["top", "--url", closed.server.url], { FULLON_CACHE_TOKEN }, screen);
  await shows(screen, /tickers 0/);
  screen.press("5");
  await shows(screen, /exchanges +this needs the scope tickers:read/);
});
