import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { Board } from "../src/cli/board.ts";
import { nearest } from "../src/cli/nearest.ts";
import { panes, summaryLine } from "../src/cli/panes.ts";
import { processScreen } from "../src/cli/screen.ts";
import type { Bot } from "../src/operations/bots.ts";
import type { Ticker } from "../src/operations/tickers.ts";
import { CacheError } from "../src/protocol/errors.ts";

const envelope = { type: "t", topic: "t", update_id: 1 } as const;

/** A board on which nothing has come yet. */
const empty = () => new Board("ws://here");

function shown(board: Board, name: string): string {
  const pane = panes.find((one) => one.name === name);
  return [pane?.size(board), ...(pane?.lines(board) ?? [])].join("\n");
}

describe("a pane", () => {
  test("of what there is none of says so", () => {
    const board = empty();
    expect(shown(board, "tickers")).toBe("0\nno exchange has tickers");
    expect(shown(board, "queues")).toBe("0\nno exchange has orders");
    expect(shown(board, "bots")).toBe("0\nthere is no bot");
    expect(shown(board, "processes")).toBe("–\nnothing is known of them");
    expect(shown(board, "connection")).toContain("connecting");
  });

  test("shows a ticker as far as it is known, and which way it went last", () => {
    const board = empty();
    const tick = (price: number | null, more: Partial<Ticker> = {}) =>
      board.takeTicker({ ...envelope, exchange: "one", symbol: "A", price, volume: null, timestamp: null, ...more });
    tick(null);
    expect(shown(board, "tickers")).toMatch(/\none +A +– *–? .*–/);
    tick(5, { percentage: -1.5, bid: 4, ask: 6, timestamp: Date.now() / 1000 - 120 });
    expect(shown(board, "tickers")).toMatch(/\none +A +5\S* +-1\.50 % +4\S* +6\S* +(2\.0 min|120 s)/);
    tick(6);
    expect(shown(board, "tickers")).toContain("▲");
    tick(6);
    expect(shown(board, "tickers")).toContain("▲");
    tick(4, { percentage: 0 });
    expect(shown(board, "tickers")).toMatch(/▼.*\+0\.00 %/);
    board.takeTicker({ ...envelope, exchange: "two", symbol: "A", price: 1, volume: null, timestamp: null });
    expect(shown(board, "tickers")).toMatch(/^2\n.*\none .*\ntwo /s);
    board.takeTicker({ ...envelope, exchange: "one", symbol: "A", removed: true });
    expect(shown(board, "tickers")).toMatch(/^1\n/);
  });

  test("adds up the queues, and forgets those that are gone", () => {
    const board = empty();
    const queue = { ...envelope, timestamp: null };
    board.takeQueue({ ...queue, exchange: "two", queue_length: 3, total: 5, by_status: { open: 3, filled: 2 } });
    board.takeQueue({ ...queue, exchange: "one", queue_length: 1, total: 1, by_status: {} });
    expect(shown(board, "queues")).toMatch(/^4\n.*\none +1 +1 *\ntwo +3 +5 +open 3, filled 2/s);
    board.takeQueue({ ...envelope, exchange: "two", removed: true });
    expect(shown(board, "queues")).toMatch(/^1\n/);
  });

  test("shows what bots say of their feeds", () => {
    const board = empty();
    const bot = (id: string, feeds: Bot["feeds"], timestamp: number | null) =>
      board.takeBot({ ...envelope, bot_id: id, status: "running", feeds, timestamp });
    bot("b2", { one: { status: "running" }, two: {} }, null);
    bot("b1", {}, Date.now() / 1000);
    expect(shown(board, "bots")).toMatch(/^2\n.*\nb1 .*\nb2 +running +– +one running, two/s);
    board.takeBot({ ...envelope, bot_id: "b1", removed: true });
    expect(shown(board, "bots")).toMatch(/^1\n/);
  });

  test("says of processes which are not well, and why", () => {
    const board = empty();
    const health = { ...envelope, timestamp: 1, by_type: { bot: 2 }, by_status: { running: 1, error: 1 } };
    const counts = { total_processes: 2, stale_processes: 1, error_processes: 1 };
    board.takeHealth({ ...health, ...counts, healthy: true, problems: [] });
    expect(shown(board, "processes")).toMatch(/^2\nby type {4}bot 2\n.*all of them are well$/s);
    const problem = (id: string, stale: boolean) => ({ process_id: id, component: "c", status: "error", stale });
    board.takeHealth({ ...health, ...counts, healthy: false, problems: [problem("p1", true), problem("p2", false)] });
    expect(shown(board, "processes")).toMatch(/^2, 2 not well\n.*\np1 .*its heartbeat is too old\np2 .*it says so$/s);
  });

  test("of the connection says what is known, and what keeps the rest away", () => {
    const board = empty();
    const server = { name: "n", version: "9.9.9", protocol: 1, epoch: "e", limits: {} };
    Object.assign(board, { tripMs: 3, skew: -2 });
    board.server = { ...server, redis: { connected: true, change_detection: "tracking", read_only: null } };
    expect(shown(board, "connection")).toMatch(/2\.0 s behind[\s\S]*9\.9\.9[\s\S]*connected[\s\S]*told by Redis/);
    board.server = { ...server, redis: { connected: false, change_detection: "timed", read_only: null } };
    board.skew = 1;
    const reason = new CacheError("CONNECTION_FAILED", "it is not there");
    board.connection = { state: "waiting", attempt: 1, delayMs: 5, reason };
    board.waiting.set("bots", { state: "stale", topic: "bots", reason: "CACHE_UNAVAILABLE" });
    board.waiting.set("orders", { state: "opening" });
    board.refused.set("processes", "this needs the scope processes:read");
    const text = shown(board, "connection");
    expect(text).toMatch(/^waiting\n/);
    for (const part of [
      "it is not there",
      "ahead",
      "out of reach",
      "looked for on a timer",
      "stale: CACHE_UNAVAILABLE",
    ])
      expect(text).toContain(part);
    expect(text).toMatch(/orders +opening\n/);
    expect(summaryLine(board)).toBe("connection waiting  0.0 updates/s  stale: bots  not shown: processes");
    board.connection = { state: "open" };
    expect(summaryLine(board)).toMatch(/^connected, 3\.0 ms {2}/);
  });
});

test("updates a second are those of the last seconds", () => {
  const board = empty();
  expect(board.rate).toBe(0);
  board.count(0, 0);
  expect(board.rate).toBe(0);
  board.count(10, 1_000);
  expect(board.rate).toBe(10);
  for (let at = 2_000; at <= 9_000; at += 1_000) board.count(10, at);
  expect(board.rate).toBe(0);
});

describe("the terminal of a process", () => {
  /** A stream as a terminal has it; what is switched on it is remembered. */
  function streams(isTTY: { readonly stdin: boolean; readonly stdout: boolean }) {
    const raw: boolean[] = [];
    const stdin = Object.assign(new PassThrough(), {
      isTTY: isTTY.stdin,
      setRawMode(isRaw: boolean) {
        raw.push(isRaw);
        return stdin;
      },
    });
    const stdout = Object.assign(new PassThrough(), { isTTY: isTTY.stdout, columns: 0, rows: 0 });
    return { raw, stdin, stdout, screen: processScreen({ stdin, stdout } as unknown as typeof process) };
  }

  test("is none where the output goes somewhere else", () => {
    expect(streams({ stdin: true, stdout: false }).screen).toBeUndefined();
  });

  test("has a size, keys and changes of size, until it is given back", async () => {
    const { raw, stdin, stdout, screen } = streams({ stdin: true, stdout: true });
    expect([screen?.columns, screen?.rows]).toEqual([80, 24]);
    Object.assign(stdout, { columns: 100, rows: 30 });
    expect([screen?.columns, screen?.rows]).toEqual([100, 30]);
    screen?.write("text");
    expect(String(stdout.read())).toBe("text");
    const heard: string[] = [];
    screen?.onKey((key) => heard.push(key));
    screen?.onResize(() => heard.push("resized"));
    stdin.write("q");
    stdout.emit("resize");
    await expect.poll(() => heard.toSorted()).toEqual(["q", "resized"]);
    screen?.release();
    expect([raw, stdout.listenerCount("resize"), stdin.isPaused()]).toEqual([[true, false], 0, true]);
    screen?.release();
    expect(raw).toHaveLength(2);
  });

  test("has no keys where the input comes from somewhere else", () => {
    const { raw, screen } = streams({ stdin: false, stdout: true });
    screen?.onKey(() => {});
    screen?.release();
    expect(raw).toEqual([]);
  });
});

test("what somebody may have meant is the name that is nearest, if one is near", () => {
  const names = ["get-ticker", "get-tickers", "top", "serve"];
  expect(nearest("get-tickr", names)).toBe("get-ticker");
  expect(nearest("sevre", names)).toBe("serve");
  expect(nearest("", names)).toBeUndefined();
  expect(nearest("nothing-alike-at-all", names)).toBeUndefined();
});
