import { setTimeout as pause } from "node:timers/promises";
import { WebSocket } from "ws";
import type { Stream, StreamOptions, Update } from "../../src/client/index.ts";
import { type CacheClient, fullonCacheApi } from "../../src/client/websocket-client.ts";
import type { Frame } from "./gateway.ts";
import { identityOf, TopicPicture } from "./picture.ts";
import type { Truth } from "./truth.ts";
import { charted } from "./writer.ts";

/** A stream that a participant may follow, and its topic. */
interface Followable {
  readonly topic: string;
  open(client: CacheClient, options: StreamOptions): Stream<never>;
}

const follows = (topic: string, open: (client: CacheClient, options: StreamOptions) => unknown): Followable => ({
  topic,
  open: open as Followable["open"],
});
const { symbol: chart, timeframe } = charted;

/** One or more of every kind of stream. */
export const followable: readonly Followable[] = [
  ...["binance", "kraken", "bitmex"].map((name) =>
    follows(`tickers:${name}`, (on, how) => on.streamTickers(name, how)),
  ),
  ...["BTC/USDT", "ETH/USDT", "PEPE/USDT"].map((symbol) =>
    follows(`ticker:binance:${symbol}`, (on, how) => on.streamTickers("binance", [symbol], how)),
  ),
  follows("ticker:bitmex:BTC/USD:BTC", (on, how) => on.streamTickers("bitmex", ["BTC/USD:BTC"], how)),
  ...["binance", "kraken"].map((name) => follows(`orders:${name}`, (on, how) => on.streamOrders(name, how))),
  ...["binance", "kraken"].map((name) => follows(`order_queue:${name}`, (on, how) => on.streamOrderQueue(name, how))),
  ...["1", "2"].map((user) => follows(`positions:${user}`, (on, how) => on.streamPositions(user, how))),
  follows("bots", (on, how) => on.streamBotStatus(how)),
  follows("bot:1", (on, how) => on.streamBotStatus("1", how)),
  follows(`ohlcv:${chart}:${timeframe}`, (on, how) => on.streamOhlcv(chart, timeframe, how)),
  follows("process_health", (on, how) => on.streamProcessHealth(how)),
  follows("trades:binance", (on, how) => on.streamTradeUpdates("binance", how)),
  follows("trade:binance:BTC/USDT", (on, how) => on.streamTradeUpdates("binance", "BTC/USDT", how)),
  follows("trades:kraken", (on, how) => on.streamTradeUpdates("kraken", how)),
];

const isOfTrades = (topic: string) => /^trades?:/.test(topic);
// What a snapshot of events holds at most.
const snapshotSize = 1_000;

/** What came over one connection of a participant: the picture of each topic, and of trades since when and which. */
class Tap {
  readonly pictures = new Map<string, TopicPicture>();
  /** Of the last snapshot of a topic: the id of the newest trade when it ended, and whether older ones fell out of it. */
  readonly begun = new Map<string, { readonly after: number; readonly isCut: boolean }>();
  readonly socket: WebSocket;
  updates = 0;

  constructor(socket: WebSocket) {
    this.socket = socket;
  }
}

/** A stream as the reader of the client library sees it. */
class Reading {
  readonly topic: string;
  readonly stream: Stream<never>;
  /** The ids of all trades that came. */
  readonly trades = new Set<unknown>();
  readonly ended: Promise<void>;
  readonly #items = new Map<string, Frame>();
  #lastId: number | undefined;

  constructor(
    { topic, open }: Followable,
    client: CacheClient,
    options: StreamOptions,
    mayTake: () => Promise<void> | undefined,
  ) {
    this.topic = topic;
    this.stream = open(client, options);
    this.ended = this.#read(mayTake);
  }

  get items(): Frame[] {
    return [...this.#items.values()];
  }

  async #read(mayTake: () => Promise<void> | undefined): Promise<void> {
    for await (const update of this.stream as AsyncIterable<Update<Frame, string>>) {
      this.#follow(update);
      if (isOfTrades(this.topic)) this.#tradeCame(update);
      else if (update.removed) this.#items.delete(identityOf(update));
      else this.#items.set(identityOf(update), update);
      await mayTake();
    }
  }

  /** The rule of ids, as the client library keeps it for its reader. */
  #follow({ update_id: id, snapshot, epoch, skipped = 0 }: Update<Frame, string>): void {
    if (!snapshot && epoch === undefined && this.#lastId !== undefined && id !== this.#lastId + 1 + skipped)
      throw new Error(`the reader of ${this.topic} got ${id} after ${this.#lastId} with ${skipped} skipped`);
    this.#lastId = id;
  }

  /** Only a snapshot may bring a trade again. */
  #tradeCame(update: Update<Frame, string>): void {
    const { trade_id: id } = update;
    if (!update.snapshot && this.trades.has(id)) throw new Error(`the reader of ${this.topic} got trade ${id} twice`);
    this.trades.add(id);
  }
}

/**
 * A program that uses the client library: follows some streams, and checks every frame that comes and every update that
 * it is given against the rules of the protocol. What is wrong is kept in `faults`.
 */
export class Participant {
  readonly faults: string[] = [];
  readonly client: CacheClient;
  readonly #readings = new Map<string, Reading>();
  #tap: Tap;
  #stall: Promise<void> | undefined;
  /** How many updates came, and how many of them it was spared. */
  updates = 0;
  skipped = 0;
  /** How often it came back. */
  returns = 0;

  private constructor(client: CacheClient, tap: Tap) {
    this.client = client;
    this.#tap = tap;
  }

  /** Connects. `lastTrade` gives the id of the last trade that was pushed so far. */
  static async connect(url: string, lastTrade: () => number): Promise<Participant> {
    const made: { tap?: Tap; participant?: Participant } = {};
    const tell = (frame: Frame, tap: Tap) => made.participant?.take(frame, tap, lastTrade());
    const Tapped = class extends WebSocket {
      constructor(to: string) {
        super(to, { perMessageDeflate: false });
        const tap = new Tap(this);
        made.tap = tap;
        this.on("message", (data) => tell(JSON.parse(String(data)) as Frame, tap));
        made.participant?.moved(tap);
      }
    };
    const client = await fullonCacheApi(url, {
      WebSocket: Tapped as never,
      timeoutMs: 8_000,
      connectTimeoutMs: 2_000,
      maxBackoffMs: 500,
      silenceMs: 2_000,
      waitOnFirstConnect: true,
    });
    made.participant = new Participant(client, made.tap as Tap);
    return made.participant;
  }

  /** What it follows. */
  get topics(): string[] {
    return [...this.#readings.keys()];
  }

  /** It tries another connection. */
  moved(tap: Tap): void {
    this.#tap = tap;
    tap.socket.once("open", () => {
      this.returns++;
    });
  }

  /** A frame came. */
  take(frame: Frame, tap: Tap, lastTrade: number): void {
    const { topic, type, update_id: id, skipped } = frame;
    if (typeof topic !== "string") return;
    if (id !== undefined && type !== "stream_status") {
      this.updates++;
      tap.updates++;
    }
    this.skipped += (skipped as number | undefined) ?? 0;
    const picture = tap.pictures.get(topic) ?? new TopicPicture(topic);
    tap.pictures.set(topic, picture);
    try {
      picture.take(frame);
    } catch (error) {
      this.faults.push(String(error));
    }
    if (isOfTrades(topic) && type === "stream_status" && id !== undefined)
      tap.begun.set(topic, { after: lastTrade, isCut: picture.items.length >= snapshotSize });
  }

  /** Follows one more stream; each once. */
  follow(one: Followable, options: StreamOptions): void {
    if (this.#readings.has(one.topic)) return;
    const reading = new Reading(one, this.client, options, () => this.#stall);
    this.#readings.set(one.topic, reading);
    reading.ended.catch((error: unknown) => this.faults.push(String(error)));
  }

  /** Leaves the stream that it follows longest. */
  async leave(): Promise<void> {
    const [first] = this.#readings.values();
    if (!first || this.#readings.size === 1) return;
    this.#readings.delete(first.topic);
    await first.stream.return();
  }

  /** Takes nothing for a while, neither as a reader nor from the socket. */
  stall(ms: number): void {
    const { socket } = this.#tap;
    socket.pause();
    this.#stall = pause(ms).then(() => {
      this.#stall = undefined;
      if (socket.readyState === WebSocket.OPEN) socket.resume();
    });
  }

  /** The topics of which it knows something else than what is true, each with what differs. */
  wrong(truth: Truth): string[] {
    const wrong: string[] = [];
    for (const [topic, reading] of this.#readings) {
      const picture = this.#tap.pictures.get(topic);
      if (picture?.state !== "live") wrong.push(`${topic} is ${picture?.state}`);
      else if (reading.stream.state.state !== "live")
        wrong.push(`${topic} is ${reading.stream.state.state} for its reader`);
      else if (isOfTrades(topic)) wrong.push(...this.#missing(topic, picture, reading, truth));
      else if (!truth.isTold(topic, picture.items)) wrong.push(`on the wire ${truth.difference(topic, picture.items)}`);
      else if (!truth.isTold(topic, reading.items))
        wrong.push(`to its reader ${truth.difference(topic, reading.items)}`);
    }
    return wrong;
  }

  /** The trades that stand in Redis and did not come, though they should have, on this connection and to the reader. */
  #missing(topic: string, picture: TopicPicture, reading: Reading, truth: Truth): string[] {
    const [, exchange = "", symbol] = topic.split(":");
    const { after, isCut } = this.#tap.begun.get(topic) ?? { after: 0, isCut: false };
    const came = new Set(picture.items.map(({ trade_id }) => trade_id));
    const due = [...truth.trades(exchange, symbol).values()].flat().filter((id) => !isCut || id > after);
    const onWire = due.filter((id) => !came.has(id));
    const toReader = due.filter((id) => !reading.trades.has(id));
    const list = (where: string, ids: readonly number[]) =>
      ids.length > 0 ? [`${topic} ${where} lacks ${ids.length} of ${due.length} trades: ${ids.slice(0, 3)}`] : [];
    return [...list("on the wire", onWire), ...list("for its reader", toReader)];
  }

  /** Asks how many updates were sent on its connection: all of them must have come. */
  async countUp(): Promise<void> {
    const { updates_sent: sent } = await this.client.ping();
    const came = this.#tap.updates;
    if (sent !== came) this.faults.push(`${sent} updates were sent, ${came} came`);
  }

  /** How many trades its readers got, each counted once. */
  get trades(): number {
    let count = 0;
    for (const { trades } of this.#readings.values()) count += trades.size;
    return count;
  }

  /** Ends all of it. */
  async close(): Promise<void> {
    await this.client.close();
    await Promise.allSettled([...this.#readings.values()].map(({ ended }) => ended));
  }
}
