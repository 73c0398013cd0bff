// Takes in a fixed number of updates in one way and says what that cost. A process of its own: each run begins cold.
import { connect } from "node:net";
import { setImmediate } from "node:timers/promises";
import { WebSocket } from "ws";
import { fullonCacheApi, merge, type WebSocketLike } from "../../src/client/index.ts";
import { type Opening, openingOf, type Topic, topicsOf, updateOf } from "./frames.ts";

/** What one run came to. */
export interface Run {
  /** How many updates were handed over one by one. */
  readonly seen: number;
  /** How many were left out, as the updates themselves say. */
  readonly skipped: number;
  readonly elapsedMs: number;
  /** The CPU time of the whole process meanwhile. */
  readonly cpuMs: number;
  /** By how much the memory of the process (RSS) grew meanwhile, in MiB. */
  readonly grownMb: number;
}

interface Counted {
  readonly type?: string;
  readonly update_id?: number;
  readonly snapshot?: true;
  readonly skipped?: number;
}

const [how, name, port, updates] = process.argv.slice(2);
const total = Number(updates);
const exchange = "binance";
const numbered = Array.from({ length: 1_000 }, (_, n) => `${n}/USDT`);
const tickers = (symbols: readonly string[]) => ({ operation: "stream_tickers", params: { exchange, symbols } });

const cases: Readonly<Record<string, readonly Opening[]>> = {
  one: [tickers(["BTC/USDT"])],
  slow: [tickers(["BTC/USDT"])],
  topics: [tickers(numbered)],
  merge: numbered.slice(0, 4).map((symbol) => tickers([symbol])),
  trades: [{ operation: "stream_trade_updates", params: { exchange, symbol: "BTC/USDT" } }],
};
const openings = cases[String(name)] ?? [];
const path = `/ws?updates=${total}&streams=${openings.length}`;
const url = `ws://127.0.0.1:${port}${path}`;

let seen = 0;
let skipped = 0;
let beganAt = 0;
let cpu = process.cpuUsage();
let memory = 0;
let most = 0;

function begin(): void {
  beganAt = performance.now();
  cpu = process.cpuUsage();
  memory = process.memoryUsage.rss();
}

/** Counts one update; says whether it was the last. */
function count(update: Counted): boolean {
  if (update.snapshot || seen + skipped >= total) return false;
  if (seen++ === 0) begin();
  skipped += update.skipped ?? 0;
  return seen + skipped >= total;
}

/** Whether a frame is an update, and the last. */
function isLast(text: string): boolean {
  const frame = JSON.parse(text) as Counted;
  return frame.update_id !== undefined && frame.type !== "stream_status" && count(frame);
}

async function withClient(socketClass?: new () => WebSocketLike): Promise<void> {
  const client = await fullonCacheApi(url, socketClass && { WebSocket: socketClass });
  const streams = openings.map(({ operation, params: { symbol, symbols = [] } }) =>
    operation === "stream_tickers"
      ? client.streamTickers(exchange, symbols)
      : client.streamTradeUpdates(exchange, symbol ?? ""),
  );
  const [stream] = streams;
  if (streams.length > 1) {
    const named = Object.fromEntries(streams.map((stream, n) => [`s${n}`, stream]));
    for await (const [, update] of merge(named)) if (count(update)) return;
  } else if (stream) {
    for await (const update of stream) {
      if (count(update)) return;
      if (name !== "slow") continue;
      await setImmediate();
      most = Math.max(most, process.memoryUsage.rss());
    }
  }
}

/** The usual way without a library. */
function bare(): Promise<void> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.on("open", () => {
      for (const [id, opening] of openings.entries()) socket.send(JSON.stringify({ request_id: id, ...opening }));
    });
    socket.on("message", (data) => {
      if (isLast(data.toString())) resolve();
    });
  });
}

/** Only takes the bytes off the socket: what the server could send at most. */
function floor(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(Number(port), "127.0.0.1");
    const key = Buffer.alloc(16).toString("base64");
    const head = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13";
    socket.write(`GET ${path} HTTP/1.1\r\n${head}\r\nSec-WebSocket-Key: ${key}\r\n\r\n`);
    const frameBytes = updateOf(topicsOf(openings[0] as Opening)[0] as Topic).length + 4;
    let bytes = 0;
    socket.on("data", ({ length }) => {
      if (beganAt === 0) {
        begin();
        for (const [id, opening] of openings.entries()) {
          const payload = Buffer.from(JSON.stringify({ request_id: id, ...opening }));
          // Masked with zeros, so that it can be sent as it is.
          const header = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 0xff, 0, 0, 0, 0]);
          socket.write(Buffer.concat([header, payload]));
        }
      }
      bytes += length;
      seen = Math.min(total, Math.floor(bytes / frameBytes));
      if (seen >= total) resolve();
    });
  });
}

const batch = 256;

/** Frames as they come off a socket, a batch in each turn of the event loop. */
async function supply(topics: readonly Topic[], take: (text: string) => void): Promise<void> {
  for (let sent = 0; sent < total; sent += batch) {
    const texts = Array.from({ length: batch }, (_, n) => {
      const topic = topics[(sent + n) % topics.length] as Topic;
      topic.id++;
      return Buffer.from(updateOf(topic)).toString();
    });
    const before = process.cpuUsage();
    const from = performance.now();
    for (const text of texts) take(text);
    // Until the turn is over, and with it everything that was to be done in it.
    await new Promise((resolve) => globalThis.setImmediate(resolve));
    const { user, system } = process.cpuUsage(before);
    spentMs += performance.now() - from;
    spentCpuMs += (user + system) / 1_000;
  }
}

let spentMs = 0;
let spentCpuMs = 0;

/** A socket on which everything is there already. */
class Handed implements WebSocketLike {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror = null;
  onclose = null;
  #topics: Topic[] = [];
  #open = 0;

  constructor() {
    queueMicrotask(() => this.onopen?.({} as never));
  }

  send(text: string): void {
    const { request_id: id, ...opening } = JSON.parse(text);
    if (!opening.operation.startsWith("stream_")) return;
    const topics = topicsOf(opening);
    this.#topics.push(...topics);
    const stream = `s${++this.#open}`;
    globalThis.setImmediate(async () => {
      for (const text of openingOf(id, stream, topics)) this.onmessage?.({ data: text });
      if (stream === `s${openings.length}`) await supply(this.#topics, (text) => this.onmessage?.({ data: text }));
    });
  }

  close(): void {}
}

const ways: Readonly<Record<string, () => Promise<void>>> = {
  client: () => withClient(),
  bare,
  floor,
  handed: () => withClient(Handed),
  parsed: () => supply(openings.flatMap(topicsOf), isLast),
};
await ways[String(how)]?.();
// The last batch is counted when its turn is over.
await setImmediate();
const { user, system } = process.cpuUsage(cpu);
most = Math.max(most, process.memoryUsage.rss());
const isSupplied = spentMs > 0;
const run: Run = {
  seen,
  skipped,
  elapsedMs: isSupplied ? spentMs : performance.now() - beganAt,
  cpuMs: isSupplied ? spentCpuMs : (user + system) / 1_000,
  grownMb: (most - memory) / 2 ** 20,
};
process.stdout.write(`${JSON.stringify(run)}\n`, () => process.exit());
