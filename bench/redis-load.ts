import { setTimeout as pause } from "node:timers/promises";
import { createClient } from "redis";
import { holdConnections } from "./load.ts";
import { LoadSpec } from "./load-spec.ts";
import { cores, pin } from "./machine.ts";
import { type Outcome, single } from "./outcome.ts";
import { tickerPayload, topics as topicsOf } from "./payload.ts";
import type { Topic } from "./peer.ts";
import { entrance } from "./peers/our-protocol.ts";
import { ours } from "./peers/ours.ts";
import { frame } from "./peers/websocket.ts";
import { onStage } from "./rounds.ts";
import { figure, table } from "./table.ts";

/** How long nothing changes, and how many changes are counted then. */
export interface RedisLoadPlan {
  readonly quietSeconds: number;
  readonly changes: number;
}

/** What some streams cost Redis. */
export interface RedisLoad {
  readonly scenario: string;
  readonly about: string;
  /** Commands per second while nothing changes. */
  readonly quiet: number;
  /** The signs of life among them, which are sent however many streams there are. */
  readonly quietPings: number;
  /** Commands per change. */
  readonly perChange: number;
  readonly perChangePings: number;
  /** All commands that were counted while things changed. */
  readonly commands: Readonly<Record<string, number>>;
  /** What the Python service that came before sent per second while nothing changed, where that is known. */
  readonly before?: number;
}

interface Case extends Pick<RedisLoad, "scenario" | "about" | "before"> {
  /** Each connection's stream, as a request. */
  readonly requests: readonly object[];
  /** What the trading system writes when the thing at a place has changed. */
  change(at: number): readonly (readonly string[])[];
}

const settleMs = 1_000;
const betweenChangesMs = 20;
/** What we send ourselves, and what asks for the count. */
const own = new Set(["info", "config", "hset", "publish"]);

function tickerChange(topic: Topic, at: number): string[][] {
  const { exchange, symbol } = topic;
  const payload = tickerPayload(topic).replace("0000000000", `${at}`.padStart(10, "0"));
  return [
    ["HSET", `tickers:${exchange}`, symbol, payload],
    ["PUBLISH", `ticker_updates:${exchange}:${symbol}`, payload],
  ];
}

function tickers(scenario: string, about: string, streams: number, count: number, before?: number): Case {
  const all = topicsOf(count);
  const topicOf = (at: number) => all[at % count] as Topic;
  return {
    scenario,
    about,
    ...(before !== undefined && { before }),
    requests: Array.from({ length: streams }, (_, at) => {
      const { exchange, symbol } = topicOf(at);
      return { request_id: "1", operation: "stream_tickers", params: { exchange, symbols: [symbol] } };
    }),
    change: (at) => tickerChange(topicOf(at), at),
  };
}

/** A change of positions is not published: the gateway must read it. */
function positions(streams: number): Case {
  const position = (volume: number) => ({ cost: 58392.87, volume, fee: 29.2, count: 2, price: 97321.45, timestamp: 1 });
  return {
    scenario: `positions-${streams}`,
    about: `${streams.toLocaleString("en")} streams of the positions of one user`,
    requests: Array.from({ length: streams }, () => ({
      request_id: "1",
      operation: "stream_positions",
      params: { user_id: "1" },
    })),
    change: (at) => [["HSET", "account_positions", "1", JSON.stringify({ "BTC/USDT": position(at + 1) })]],
  };
}

const cases: readonly Case[] = [
  tickers("tickers-1", "1 stream of one ticker", 1, 1, 4),
  tickers("tickers-10", "10 streams of a ticker each", 10, 10, 40),
  tickers("tickers-50", "50 streams of a ticker each", 50, 50, 197),
  tickers("tickers-1000", "1,000 streams of a ticker each", 1_000, 1_000),
  tickers("ticker-1000", "1,000 streams of the same ticker", 1_000, 1),
  positions(1),
  positions(1_000),
];

function measure({ requests, change, ...names }: Case, plan: RedisLoadPlan): Promise<RedisLoad> {
  return onStage(ours, async ({ peer, redis }) => {
    const client = createClient({ url: `redis://127.0.0.1:${redis.port}` });
    await client.connect();
    const send = (words: readonly string[]) => client.sendCommand([...words]);
    const count = async () => {
      const told = String(await send(["INFO", "commandstats"]));
      await send(["CONFIG", "RESETSTAT"]);
      const all = [...told.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)].map(([, name = "", calls]) => ({ name, calls }));
      return Object.fromEntries(
        all.filter(({ name }) => !own.has(name.split("|", 1)[0] ?? "")).map(({ name, calls }) => [name, Number(calls)]),
      );
    };
    const sum = ({ ping: _, ...others }: Record<string, number>) =>
      Object.values(others).reduce((total, calls) => total + calls, 0);
    try {
      // What is followed must be there: that something is missing is no picture.
      for (let at = 0; at < requests.length; at++) for (const words of change(at)) await send(words);
      const scripts = requests.map((request) => ({ parts: [entrance, frame(JSON.stringify(request))] }));
      await using _held = await holdConnections(new LoadSpec("idle", peer.port, requests.length).scripts(scripts));
      await pause(settleMs);
      await count();
      await pause(plan.quietSeconds * 1_000);
      const quiet = await count();
      for (let at = 0; at < plan.changes; at++) {
        for (const words of change(at + requests.length)) await send(words);
        await pause(betweenChangesMs);
      }
      await pause(settleMs);
      const changing = await count();
      return {
        ...names,
        quiet: sum(quiet) / plan.quietSeconds,
        quietPings: (quiet["ping"] ?? 0) / plan.quietSeconds,
        perChange: sum(changing) / plan.changes,
        perChangePings: (changing["ping"] ?? 0) / plan.changes,
        commands: changing,
      };
    } finally {
      client.destroy();
    }
  });
}

/** Counts the commands that the gateway sends to Redis while nothing changes, and for each change. */
export async function measureRedisLoad(
  plan: RedisLoadPlan,
): Promise<Outcome & { readonly data: readonly RedisLoad[] }> {
  pin(cores.load);
  const data: RedisLoad[] = [];
  for (const one of cases) data.push(await measure(one, plan));
  const figures = data.flatMap(({ scenario, quiet, perChange }) =>
    Object.entries({ quiet, perChange }).map(([name, value]) => ({
      scenario,
      figure: name,
      peer: ours.name,
      value: single(value),
    })),
  );
  return { data, figures, faults: [] };
}

/** Prints what was counted as a table. */
export function showRedisLoad(data: readonly RedisLoad[]): void {
  console.log("\nCommands that Redis gets (PINGs are signs of life; the Python service polled)");
  const head = ["nothing changes: /s", "PINGs /s", "Python service /s", "per change", "PINGs", "which"];
  const rows = data.map((one) => [
    one.about,
    figure(one.quiet),
    figure(one.quietPings),
    one.before === undefined ? "–" : `${one.before}`,
    figure(one.perChange),
    figure(one.perChangePings),
    Object.entries(one.commands)
      .map(([name, calls]) => `${name} ${calls}`)
      .join(", "),
  ]);
  console.log(table([["", ...head], ...rows]));
}
