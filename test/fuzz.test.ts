import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { type TSchema, Type } from "typebox";
import { Compile } from "typebox/compile";
import { afterAll, beforeAll, expect, test } from "vitest";
import { operationsByWireName } from "../src/operations/index.ts";
import type { Operation } from "../src/operations/operation.ts";
import { type ErrorCode, errorCodes, isErrorCode } from "../src/protocol/errors.ts";
import { figure, scaled, seed } from "./kit/chaos.ts";
import { type FrameText, frames } from "./kit/frames.ts";
import type { Frame, Wire } from "./kit/gateway.ts";
import { type GatewayProcess, startGatewayProcess } from "./kit/gateway-process.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { follow } from "./kit/streams.ts";
import { until } from "./kit/until.ts";

// Each is sent on two connections at once: the second time, its frames are known to the gateway.
const batches = scaled(60, 1_750);
const maxFramesPerBatch = 100;
// Every so many batches the connection is another one, and it is looked whether somebody else is served.
const batchesPerConnection = 20;
const maxFrameBytes = 262_144;

/** What stands in everything that belongs to somebody else. */
const secret = `secret-${randomBytes(8).toString("hex")}`;
const exchange = "harbour";
const user = "u-7001";

/** Names that are not quite those of somebody else. */
const nearby = [exchange, user].flatMap((name) => [
  `${name}*`,
  `${name.slice(0, -1)}?`,
  `[${name[0]}]${name.slice(1)}`,
  `\\${name}`,
  `${name} `,
  ` ${name}`,
  `${name}\0`,
  `${name}:`,
  `:${name}`,
  name.toUpperCase(),
  encodeURIComponent(`${name}:`),
  `*${name.slice(2)}`,
]);

let redis: TestRedis;
let gateway: GatewayProcess;
/** Somebody else, who is served all the while. */
let other: Wire;
let moves = 0;

beforeAll(async () => {
  redis = await startRedis();
  await redis.replay("commands");
  gateway = await startGatewayProcess(redis, { maxFrameBytes, redisTimeoutMs: 20_000, nearCacheBytes: 1_048_576 });
  await move();
  other = await gateway.wire();
  for (const [operation, params] of theirs) await follow(other, operation, params);
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

const theirs: [string, object][] = [
  ["stream_tickers", { exchange }],
  ["stream_positions", { user_id: user }],
  ["stream_orders", { exchange }],
  ["stream_trade_updates", { exchange, symbol: "A/B" }],
];

/** Writes something of everything that is somebody else's. */
async function move(): Promise<void> {
  const note = secret;
  const price = ++moves;
  const at = { price, time: price, timestamp: price };
  const tick = JSON.stringify({ ...at, exchange, symbol: "A/B", note });
  const { admin } = redis;
  await Promise.all([
    admin.hSet(`tickers:${exchange}`, "A/B", tick),
    admin.publish(`ticker_updates:${exchange}:A/B`, tick),
    admin.hSet("account_positions", user, JSON.stringify({ "A/B": { ...at, volume: 1, note } })),
    admin.hSet("accounts", user, JSON.stringify({ USDT: { total: price, note } })),
    admin.hSet(`order_status:${exchange}`, `o-${user}`, JSON.stringify({ ...at, status: "open", note })),
    admin.rPush(`trades:${exchange}:AB`, JSON.stringify({ ...at, note })),
    admin.rPush(`user_trades:${user}:${exchange}`, JSON.stringify({ ...at, note })),
    admin.set(`process:data:${user}`, JSON.stringify({ message: note, component: user })),
  ]);
}

/** Somebody else is told what is new, and answered what it asks. */
async function expectOtherServed(): Promise<void> {
  const from = other.frames.length;
  await move();
  for (const type of ["ticker_update", "position_update", "order_update", "trade_update"])
    await other.frame((frame) => frame["type"] === type && frame["price"] === moves && frame["note"] === secret, from);
  expect(await other.ask("get_balance", { user_id: user })).toMatchObject({ balances: { USDT: { total: moves } } });
  other.frames.length = 0;
}

const paramsOf = new Map(
  [...operationsByWireName].map(([name, { params }]) => [
    name,
    Compile(Type.Object({ ...params }, { additionalProperties: false })),
  ]),
);
const resultsOf = new Map(
  [...operationsByWireName].flatMap(([name, declared]) =>
    declared.kind === "query" ? [[name, Compile(declared.result as TSchema)] as const] : [],
  ),
);

/** What a frame has to be answered: with which id, and either with this error or as this operation answers. */
interface Due {
  readonly frame: FrameText;
  readonly id: unknown;
  readonly code?: ErrorCode;
  readonly asked?: { readonly name: string; readonly declared: Operation; readonly params: Frame };
}

/** Reads a frame as the protocol has it. */
function due(frame: FrameText): Due {
  let message: unknown;
  try {
    message = JSON.parse(frame.text);
  } catch {}
  if (typeof message !== "object" || message === null || Array.isArray(message))
    return { frame, id: null, code: "MALFORMED_MESSAGE" };
  const { request_id: id, operation: name, params = {} } = message as Record<string, unknown>;
  const isId = typeof id === "string" ? id.length > 0 && id.length <= 128 : Number.isSafeInteger(id);
  if (!isId) return { frame, id: null, code: "INVALID_REQUEST" };
  if (typeof name !== "string") return { frame, id, code: "INVALID_REQUEST" };
  const declared = operationsByWireName.get(name);
  if (!declared) return { frame, id, code: "INVALID_OPERATION" };
  if (!paramsOf.get(name)?.Check(params)) return { frame, id, code: "INVALID_PARAMS" };
  return { frame, id, asked: { name, declared, params: params as Frame } };
}

// What any operation may answer; bad parameters besides where they are wrong only together.
const general: readonly ErrorCode[] = ["DATA_CORRUPT", "LIMIT_EXCEEDED", "INVALID_PARAMS"];

/** Whether an answer is one that this frame may get. */
function fits(answer: Frame, { code, asked }: Due): boolean {
  if (answer["success"] !== true) {
    const given = answer["error_code"] as ErrorCode;
    if (asked === undefined) return given === code;
    return general.includes(given) || (asked.declared.errors ?? []).includes(given);
  }
  if (asked === undefined) return false;
  const { name, declared, params } = asked;
  const result = answer["result"] as Frame;
  if (declared.kind === "live") return typeof result["stream"] === "string";
  // What names something is answered with that, and with nothing else.
  const named = ["exchange", "symbol", "order_id", "bot_id", "user_id", "process_id", "trade_key", "stream"];
  const isOther = (param: string) => {
    const [wanted, given] = [params[param], Object(result)[param] as unknown];
    return wanted !== undefined && given !== undefined && String(wanted) !== given;
  };
  return resultsOf.get(name)?.Check(result) === true && !named.some(isOther);
}

const insides = /\n\s+at |node:|node_modules|file:\/\/|redis:\/\/|only-for-tests|\/(src|test|dist|home|tmp)\//;

const membersOfSuccess = "request_id,success,result";
const membersOfFailure = "request_id,success,error,error_code,retryable,details";

/** What is wrong with the form of an answer, whatever it answers. */
function wrongForm(answer: Frame, text: string): string | undefined {
  const members = Object.keys(answer).join();
  if (answer["success"] === true) return members === membersOfSuccess ? undefined : "members";
  if (members !== membersOfFailure) return "members";
  const { error, error_code: code, retryable } = answer;
  if (!isErrorCode(code) || code === "INTERNAL_ERROR" || errorCodes[code].from !== "server") return "code";
  if (errorCodes[code].retryable !== retryable) return "retryable";
  if (typeof error !== "string" || !/^\S.{5,}/s.test(error)) return "sentence";
  if (insides.test(text)) return "insides of the gateway";
  return text.length < 4_000 ? undefined : "length";
}

/** One connection that sends what it likes: what comes back, as text. */
interface Fuzzed {
  readonly wire: Wire;
  readonly texts: string[];
  /** How many of its streams follow a topic. */
  readonly topics: Map<string, number>;
  readonly streams: Map<string, readonly string[]>;
}

async function connect(): Promise<Fuzzed> {
  const wire = await gateway.wire();
  const texts: string[] = [];
  wire.socket.on("message", (data) => void texts.push(String(data)));
  return { wire, texts, topics: new Map(), streams: new Map() };
}

const connectTwo = () => Promise.all([connect(), connect()]);

/** Updates come of what is followed, from the answer that says so to the one that says that it is over. */
function followed({ topics, streams }: Fuzzed, frame: Frame): void {
  if ("topic" in frame) {
    if (!topics.get(String(frame["topic"]))) throw new Error(`nobody follows ${JSON.stringify(frame)}`);
    return;
  }
  const { stream, topics: names } = Object(frame["result"]) as { stream?: string; topics?: string[] };
  if (stream === undefined) return;
  const [ofStream, more] = names ? [names, 1] : [streams.get(stream) ?? [], -1];
  if (names) streams.set(stream, names);
  else streams.delete(stream);
  for (const name of ofStream) topics.set(name, (topics.get(name) ?? 0) + more);
}

/** Things by their ids. */
function byId<T>(things: readonly T[], idOf: (thing: T) => unknown): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const thing of things) {
    const id = JSON.stringify(idOf(thing));
    groups.set(id, [...(groups.get(id) ?? []), thing]);
  }
  return groups;
}

/** Sends frames all at once, and looks at everything that comes. */
async function exchangeBatch(fuzzed: Fuzzed, batch: readonly Due[]): Promise<void> {
  const { wire, texts } = fuzzed;
  wire.frames.length = 0;
  texts.length = 0;
  for (const { frame } of batch) wire.send(frame.text);
  const isAnswer = (frame: Frame) => "success" in frame;
  await wire.until((all) => all.length >= batch.length && all.filter(isAnswer).length >= batch.length);
  // Were there an answer too many, it would come before this one.
  await wire.request("ping");
  const answers = wire.frames.filter(isAnswer).slice(0, -1);
  expect(answers).toHaveLength(batch.length);
  const isTheirs = batch.some(({ frame: { text } }) => text.includes(exchange) || text.includes(user));
  for (const [at, frame] of wire.frames.entries()) {
    const text = texts[at] as string;
    followed(fuzzed, frame);
    const wrong = isAnswer(frame) && wrongForm(frame, text);
    if (wrong) throw new Error(`an answer with wrong ${wrong}: ${text.slice(0, 5_000)}`);
    if (!isTheirs && text.includes(secret)) throw new Error(`it shows what is somebody else's: ${text}`);
  }
  const dues = byId(batch, ({ id }) => id);
  for (const [id, given] of byId(answers, ({ request_id }) => request_id)) {
    const wanted = dues.get(id) ?? [];
    if (given.length !== wanted.length) throw new Error(`${wanted.length} frames of the id ${id} got ${shown(given)}`);
    for (const [at, answer] of given.entries()) {
      // What has no id is answered at once; of those with the same id, others may be in flight.
      const mayBe = id === "null" ? [wanted[at] as Due] : wanted;
      if (mayBe.some((one) => fits(answer, one))) continue;
      if (wanted.length > 1 && answer["error_code"] === "DUPLICATE_REQUEST_ID") continue;
      throw new Error(`${fc.stringify(mayBe.map(({ frame }) => frame))} got ${shown(answer)}`);
    }
  }
  for (const stream of [...fuzzed.streams.keys()]) followed(fuzzed, await wire.request("unsubscribe", { stream }));
  expect(await wire.ask("list_streams")).toEqual([]);
}

const shown = (value: unknown) => JSON.stringify(value).slice(0, 2_000);

/** How many connections, streams and topics the gateway has. */
async function open(): Promise<object> {
  const { gateway } = (await other.ask("get_system_health")) as { gateway: Frame };
  return { connections: gateway["connections"], streams: gateway["streams"], topics: gateway["topics"] };
}

test("every frame is answered once, as the protocol has it, and nobody else notices", async () => {
  const before = await open();
  let warm: number | undefined;
  let done = 0;
  let sent = 0;
  let pair = await connectTwo();
  const oneFrame = frames(nearby, maxFrameBytes);
  const batch = fc.array(oneFrame, { minLength: 1, maxLength: maxFramesPerBatch, size: "max" });
  const reconnect = async () => {
    for (const { wire } of pair) wire.close();
    pair = await connectTwo();
  };
  await fc.assert(
    fc.asyncProperty(batch, async (some) => {
      if (++done % batchesPerConnection === 0) {
        await expectOtherServed();
        await reconnect();
      }
      // What may be kept is kept by then.
      if (done === Math.ceil(batches / 4)) warm = (await gateway.memory()).used;
      const dues = some.map(due);
      try {
        await Promise.all(pair.map((fuzzed) => exchangeBatch(fuzzed, dues)));
        sent += pair.length * some.length;
      } catch (error) {
        // What is still on its way must not be taken for an answer to what is tried next.
        await reconnect();
        throw error;
      }
    }),
    { seed, numRuns: batches, timeout: 30_000, interruptAfterTimeLimit: 200_000, markInterruptAsFailure: true },
  );
  for (const { wire } of pair) wire.close();
  await expectOtherServed();
  await until(async () => expect(await open()).toEqual(before));
  const grown = (await gateway.memory()).used - (warm as number);
  figure("fuzz: frames sent, each answered once", sent);
  figure("fuzz: memory kept after them, in MB", (grown / 1e6).toFixed(1));
  expect(grown).toBeLessThan(50_000_000);
  expect(gateway.faults).toEqual([]);
}, 240_000);
