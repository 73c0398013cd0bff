import fc from "fast-check";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { figure, isLong, scaled, seed } from "./kit/chaos.ts";
import type { Frame, Wire } from "./kit/gateway.ts";
import { type GatewayProcess, startGatewayProcess } from "./kit/gateway-process.ts";
import * as raw from "./kit/raw-socket.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { follow, setTicker } from "./kit/streams.ts";
import { until } from "./kit/until.ts";

const maxFrameBytes = 65_536;
// Connections that talk at the same time.
const atATime = 8;

let redis: TestRedis;
let gateway: GatewayProcess;
/** Somebody else, who is served all the while. */
let other: Wire;
let price = 0;

beforeAll(async () => {
  redis = await startRedis();
  gateway = await startGatewayProcess(redis, { maxFrameBytes });
  other = await gateway.wire();
  await setTicker(redis, "binance", "BTC/USDT", price);
  await follow(other, "stream_tickers", { exchange: "binance" });
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

afterEach(async () => {
  const from = other.frames.length;
  await setTicker(redis, "binance", "BTC/USDT", ++price);
  await other.frame((frame) => frame["price"] === price, from);
  await until(async () => expect(await connections()).toBe(1));
  other.frames.length = 0;
  expect(gateway.faults).toEqual([]);
});

async function connections(): Promise<unknown> {
  const health = (await other.ask("get_system_health")) as { gateway: Frame };
  return health.gateway["connections"];
}

test.each<[string, string | Buffer, number]>([
  ["the usual one", raw.handshake(), 101],
  [
    "in other letters, and for two things",
    raw.handshake({ Upgrade: "WebSocket", Connection: "keep-alive, upgrade" }),
    101,
  ],
  ["of the draft that became the standard", raw.handshake({ "Sec-WebSocket-Version": "8" }), 101],
  ["of version 12", raw.handshake({ "Sec-WebSocket-Version": "12" }), 400],
  ["of two versions", raw.handshake({ "Sec-WebSocket-Version": "13, 13" }), 400],
  ["of no version", raw.handshake({ "Sec-WebSocket-Version": undefined }), 400],
  ["without a key", raw.handshake({ "Sec-WebSocket-Key": undefined }), 400],
  ["with a bad key", raw.handshake({ "Sec-WebSocket-Key": "x" }), 400],
  ["with two keys", raw.handshake({ "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" }), 400],
  ["with two upgrades", raw.handshake({ upgrade: "websocket" }), 400],
  ["for HTTP/2", raw.handshake({ Upgrade: "h2c, websocket" }), 400],
  ["without an upgrade", raw.handshake({ Upgrade: undefined }), 426],
  ["that is to be closed", raw.handshake({ Connection: "close" }), 426],
  ["that posts", raw.handshake({}, "POST / HTTP/1.1"), 405],
  ["of a control character", raw.handshake({}, "GE\x01T / HTTP/1.1"), 400],
  ["for another path", raw.handshake({}, "GET /../ws HTTP/1.1"), 404],
  ["for another server", raw.handshake({}, "GET http://localhost/ HTTP/1.1"), 404],
  ["for everything", raw.handshake({}, "OPTIONS * HTTP/1.1"), 404],
  ["with a broken query", raw.handshake({}, "GET /ws?a=%zz&%00 HTTP/1.1"), 101],
  ["with a path of 20 KB", raw.handshake({}, `GET /${"x".repeat(20_000)} HTTP/1.1`), 431],
  ["with a line of 20 KB", raw.handshake({ X: "x".repeat(20_000) }), 431],
  ["with 5000 lines", raw.handshake(Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`X${at}`, ""]))), 431],
  ["with a null byte", raw.handshake({ X: "a\0b" }), 400],
  ["with half an end of line", raw.handshake({ X: "a\rb" }), 400],
  ["with lines that go on", raw.handshake({ X: "a\r\n b" }), 400],
  ["with a space behind a name", raw.handshake({ "X ": "a" }), 400],
  ["of two lengths", raw.handshake({ "Transfer-Encoding": "chunked", "Content-Length": "5" }), 400],
  ["of less than nothing", raw.handshake({ "Content-Length": "-1" }), 400],
  ["with another subprotocol", raw.handshake({ "Sec-WebSocket-Protocol": "a, b" }), 101],
  ["with a subprotocol twice", raw.handshake({ "Sec-WebSocket-Protocol": "a, a" }), 400],
  ["with a broken subprotocol", raw.handshake({ "Sec-WebSocket-Protocol": "a b," }), 400],
  ["of TLS", Buffer.from("16030100c8010000c40303", "hex"), 400],
  ["of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
  ["of bytes", Buffer.from([0, 1, 2, 255, 254]), 400],
  ["of Redis", "*1\r\n$4\r\nPING\r\n", 400],
])("a handshake %s is answered as it should", async (_, bytes, status) => {
  const socket = await raw.connectRaw(gateway.url);
  await socket.send(bytes);
  await socket.until(() => socket.status !== undefined);
  expect(socket.status).toBe(status);
  if (status === 101) await socket.end();
  // Whoever is refused is hung up on.
  await socket.closed;
});

test.each([
  "permessage-deflate",
  "permessage-deflate; client_max_window_bits; server_max_window_bits=10; server_no_context_takeover",
  'permessage-deflate; client_max_window_bits=99; foo="bar',
  "x-webkit-deflate-frame, permessage-deflate, permessage-bzip2",
  "permessage-deflate, ".repeat(300),
])("compression is declined: %.60s", async (offer) => {
  const socket = await raw.connectRaw(gateway.url);
  await socket.send(raw.handshake({ "Sec-WebSocket-Extensions": offer }));
  await socket.until(() => socket.status !== undefined);
  expect(socket.status).toBe(101);
  expect(socket.head).not.toMatch(/extensions/i);
  await socket.send(raw.frame({ opcode: raw.text, payload: Buffer.from("x"), reserved: 4 }));
  await socket.until(() => socket.closeCode !== undefined);
  expect(socket.closeCode).toBe(1002);
  await socket.end();
});

/** One message on its way: the text, where it is cut, and what comes between its pieces. */
interface Unit {
  readonly symbol: string;
  readonly cuts: readonly number[];
  readonly between: readonly Control[];
  readonly mask: readonly number[];
  readonly lengthBits: 7 | 16 | 64;
}

type Control = { readonly opcode: number; readonly payload: Uint8Array } | "empty";

const mask = fc.array(fc.nat(255), { minLength: 4, maxLength: 4 });
const unit: fc.Arbitrary<Unit> = fc.record({
  symbol: fc.constantFrom("BTC/USDT", "Ünï 币/USDT 🚀", "x".repeat(200)),
  cuts: fc.oneof(
    fc.constant([]),
    fc.array(fc.nat(120), { maxLength: 4 }),
    fc.constant(Array.from({ length: 60 }, (_, at) => at)),
  ),
  between: fc.array(
    fc.oneof(
      fc.record({ opcode: fc.constantFrom(raw.ping, raw.pong), payload: fc.uint8Array({ maxLength: 125 }) }),
      fc.constant("empty" as const),
    ),
    { maxLength: 3 },
  ),
  mask,
  lengthBits: fc.constantFrom(7, 7, 16, 64),
});

/** The frames of a message, as bytes. */
function bytesOf({ cuts, between, mask, lengthBits }: Unit, payload: Buffer, opcode = raw.text): Buffer {
  const ends = [...new Set([...cuts.filter((cut) => cut > 0 && cut < payload.length), payload.length])].sort(
    (a, b) => a - b,
  );
  const frames = ends.flatMap((end, at) => {
    const start = ends[at - 1] ?? 0;
    const isLast = at === ends.length - 1;
    const piece = { payload: payload.subarray(start, end), isLast, mask };
    const bits = piece.payload.length > 125 && lengthBits === 7 ? {} : { lengthBits };
    const frame = raw.frame({ opcode: at === 0 ? opcode : 0, ...piece, ...bits });
    // What comes between has its place behind the first piece, or behind the whole.
    if (at > 0) return [frame];
    const controls = between.map((control) =>
      control === "empty"
        ? raw.frame(isLast ? { opcode: raw.pong } : { opcode: 0, isLast: false })
        : raw.frame({ opcode: control.opcode, payload: Buffer.from(control.payload), mask }),
    );
    return [frame, ...controls];
  });
  return Buffer.concat(frames);
}

/** What ends a connection, and with which code. */
interface Ending {
  readonly name: string;
  readonly bytes: Buffer;
  readonly code: number;
}

const word = Buffer.from('{"request_id":');
const begun = raw.frame({ opcode: raw.text, payload: word, isLast: false });
const ending = (name: string, code: number, ...frames: readonly Buffer[]): Ending => ({
  name,
  code,
  bytes: Buffer.concat(frames),
});
const wrongUtf8 = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf0, 0x9f, 0x9a], [0x80]].map(
  (bytes) => Buffer.from(bytes),
);

const endings: readonly Ending[] = [
  ...[1, 2, 3, 4, 5, 6, 7].map((reserved) =>
    ending(`reserved bits ${reserved}`, 1002, raw.frame({ opcode: raw.text, payload: word, reserved })),
  ),
  ending("reserved bits of a continuation", 1002, begun, raw.frame({ opcode: 0, payload: word, reserved: 4 })),
  ending("reserved bits of a ping", 1002, raw.frame({ opcode: raw.ping, reserved: 4 })),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) =>
    ending(`opcode ${opcode}`, 1002, raw.frame({ opcode, payload: word })),
  ),
  ...[raw.text, 2, raw.ping, raw.close].map((opcode) =>
    ending(`opcode ${opcode} without a mask`, 1002, raw.frame({ opcode, mask: null })),
  ),
  ending("a continuation of nothing", 1002, raw.frame({ opcode: 0, payload: word })),
  ending("a continuation of nothing that goes on", 1002, raw.frame({ opcode: 0, isLast: false })),
  ending("a message in a message", 1002, begun, raw.frame({ opcode: raw.text, payload: word })),
  ending("bytes in a message", 1002, begun, raw.frame({ opcode: 2, payload: word, isLast: false })),
  ...[raw.ping, raw.pong, raw.close].map((opcode) =>
    ending(`opcode ${opcode} in pieces`, 1002, raw.frame({ opcode, isLast: false })),
  ),
  ...[raw.ping, raw.pong, raw.close].map((opcode) =>
    ending(`opcode ${opcode} of 126 bytes`, 1002, raw.frame({ opcode, payload: Buffer.alloc(126) })),
  ),
  ending("a ping of a length in 16 bits", 1002, raw.frame({ opcode: raw.ping, lengthBits: 16 })),
  ending("a close of one byte", 1002, raw.frame({ opcode: raw.close, payload: Buffer.from([3]) })),
  ...[0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535].map((code) =>
    ending(`close code ${code}`, 1002, raw.closeFrame(code)),
  ),
  ...wrongUtf8.map((bytes) => ending(`a close reason of ${bytes.toString("hex")}`, 1007, raw.closeFrame(1000, bytes))),
  ...wrongUtf8.map((bytes) =>
    ending(`text of ${bytes.toString("hex")}`, 1007, raw.frame({ opcode: raw.text, payload: bytes })),
  ),
  ...wrongUtf8.map((bytes) =>
    ending(
      `text of ${bytes.toString("hex")} in pieces`,
      1007,
      begun,
      ...[...bytes].map((byte) => raw.frame({ opcode: 0, payload: Buffer.from([byte]), isLast: false })),
      raw.frame({ opcode: 0 }),
    ),
  ),
  ending("a message beyond the limit", 1009, raw.frame({ opcode: raw.text, says: BigInt(maxFrameBytes + 1) })),
  ending("a message of 2^32 bytes", 1009, raw.frame({ opcode: raw.text, says: 2n ** 32n })),
  ending("a message of 2^53 bytes", 1009, raw.frame({ opcode: raw.text, says: 2n ** 53n })),
  ending("a message of 2^64 - 1 bytes", 1009, raw.frame({ opcode: raw.text, says: 2n ** 64n - 1n })),
  ending(
    "a continuation beyond the limit",
    1009,
    begun,
    raw.frame({ opcode: 0, says: BigInt(maxFrameBytes), isLast: false }),
  ),
  ...[1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999].map((code) =>
    ending(`close code ${code}`, code, raw.closeFrame(code, "bye")),
  ),
  ending("a close without a code", 1005, raw.frame({ opcode: raw.close })),
  ending("a close in a message", 1000, begun, raw.closeFrame(1000)),
];

const conversation = fc.record({
  units: fc.array(unit, { maxLength: 14, size: "max" }),
  ending: fc.constantFrom(...endings),
  // Now and then each byte alone, or a few.
  piece: fc.oneof(
    { weight: 8, arbitrary: fc.constant(1e9) },
    { weight: 2, arbitrary: fc.integer({ min: 7, max: 300 }) },
    { weight: 1, arbitrary: fc.constant(1) },
  ),
  /** Whether all of it comes with the handshake, before that is answered. */
  isEager: fc.boolean(),
  trailer: fc.uint8Array({ maxLength: 20 }),
});

type Conversation = typeof conversation extends fc.Arbitrary<infer C> ? C : never;

/** Has a conversation: every message is answered once, every ping too, and then it ends as it should. */
async function converse({ units, ending, piece, isEager, trailer }: Conversation): Promise<void> {
  const socket = await raw.connectRaw(gateway.url);
  const requests = units.map(({ symbol }, at) =>
    JSON.stringify({ request_id: at, operation: "get_ticker", params: { exchange: "binance", symbol } }),
  );
  const messages = units.map((one, at) => bytesOf(one, Buffer.from(requests[at] as string)));
  if (isEager) await socket.send(Buffer.concat([Buffer.from(raw.handshake()), ...messages]), piece);
  else {
    await socket.upgrade();
    await socket.send(Buffer.concat(messages), piece);
  }
  await socket.until(() => socket.texts.length >= units.length);
  await socket.send(Buffer.concat([ending.bytes, Buffer.from(trailer)]), piece);
  await socket.until(() => socket.closeCode !== undefined);
  await socket.end();
  const answers = socket.texts.map((text) => JSON.parse(text) as Frame);
  expect(answers.map(({ request_id }) => request_id).sort((a, b) => Number(a) - Number(b))).toEqual(
    units.map((_, at) => at),
  );
  for (const [at, { symbol }] of units.entries())
    expect(answers.find(({ request_id }) => request_id === at)).toMatchObject(
      symbol === "BTC/USDT" ? { success: true, result: { symbol } } : { error_code: "TICKER_NOT_FOUND" },
    );
  const pings = units.flatMap(({ between }) =>
    between.flatMap((one) => (one !== "empty" && one.opcode === raw.ping ? [Buffer.from(one.payload)] : [])),
  );
  expect(socket.frames.filter(({ opcode }) => opcode === raw.pong).map(({ payload }) => payload)).toEqual(pings);
  expect([ending.name, socket.closeCode, socket.frames.at(-1)?.opcode]).toEqual([ending.name, ending.code, raw.close]);
}

test("frames in whatever form are answered, and wrong ones end their connection with the right code", async () => {
  let cases = 0;
  const before = (await gateway.memory()).used;
  await fc.assert(
    fc.asyncProperty(fc.array(conversation, { minLength: 1, maxLength: 2 * atATime, size: "max" }), async (some) => {
      await Promise.all(some.map(converse));
      for (const { units } of some) cases += units.length + 1;
    }),
    { seed, numRuns: scaled(12, 550), timeout: 30_000, interruptAfterTimeLimit: 150_000, markInterruptAsFailure: true },
  );
  // Each of them at least once.
  for (const one of endings)
    await converse({ units: [], ending: one, piece: 1e9, isEager: false, trailer: new Uint8Array() });
  figure("fuzz: WebSocket messages and violations, answered as the standard has it", cases + endings.length);
  await until(async () => expect(await connections()).toBe(1));
  expect((await gateway.memory()).used - before).toBeLessThan(30_000_000);
}, 200_000);

test("a connection may break at every byte, and by a reset or half of it", async () => {
  const messages = [
    raw.frame({
      opcode: raw.text,
      payload: Buffer.from('{"request_id":1,"operation":"stream_tickers","params":{"exchange":"binance"}}'),
    }),
    raw.frame({ opcode: raw.ping, payload: Buffer.from("?") }),
    raw.closeFrame(1000),
  ];
  const all = Buffer.concat([Buffer.from(raw.handshake()), ...messages]);
  const step = isLong ? 1 : 5;
  let cases = 0;
  for (const how of ["reset", "half", "end"] as const)
    for (let from = 1; from <= all.length; from += atATime * step)
      await Promise.all(
        Array.from({ length: atATime }, async (_, nth) => {
          const at = from + nth * step;
          if (at > all.length) return;
          const socket = await raw.connectRaw(gateway.url, how === "half");
          await socket.send(all.subarray(0, at));
          if (how === "reset") await socket.reset();
          else if (how === "end") await socket.end();
          else {
            // It hears the end of what it was sent, and says nothing more: the gateway has to hang up.
            socket.socket.end();
            await socket.closed;
          }
          cases++;
        }),
      );
  figure("fuzz: connections broken at every byte of an exchange", cases);
  await until(async () => {
    const { gateway: state } = (await other.ask("get_system_health")) as { gateway: Frame };
    expect(state).toMatchObject({ connections: 1, streams: 1, topics: 1 });
  });
}, 60_000);

test.each<[string, number, (socket: raw.RawSocket) => Promise<void>]>([
  [
    "pieces",
    1009,
    async (socket) => {
      await socket.send(begun);
      const pieces = Buffer.concat(
        Array.from({ length: 5_000 }, () =>
          raw.frame({ opcode: 0, payload: Buffer.from("x".repeat(30)), isLast: false }),
        ),
      );
      while (socket.closeCode === undefined && !socket.isClosed) await socket.send(pieces, 65_536);
    },
  ],
  [
    "empty pieces",
    1008,
    async (socket) => {
      await socket.send(begun);
      const pieces = Buffer.concat(Array.from({ length: 5_000 }, () => raw.frame({ opcode: 0, isLast: false })));
      while (socket.closeCode === undefined && !socket.isClosed) await socket.send(pieces, 65_536);
    },
  ],
])("a message of endless %s is ended with %i", async (_, code, talk) => {
  const before = (await gateway.memory()).used;
  const socket = await raw.connectRaw(gateway.url);
  await socket.upgrade();
  await talk(socket);
  expect(socket.closeCode).toBe(code);
  await socket.end();
  await until(async () => expect(await connections()).toBe(1));
  expect((await gateway.memory()).used - before).toBeLessThan(20_000_000);
});

test("a client that pings and reads nothing costs no memory", async () => {
  const before = (await gateway.memory()).rss;
  const socket = await (await raw.connectRaw(gateway.url)).upgrade();
  socket.socket.pause();
  const pings = Buffer.concat(
    Array.from({ length: 1_000 }, () => raw.frame({ opcode: raw.ping, payload: Buffer.alloc(125, "x") })),
  );
  const count = scaled(50, 2_000);
  let sent = 0;
  let highest = before;
  for (; sent < count && !socket.isClosed; sent++) {
    await socket.send(pings);
    if (sent % 50 === 0) highest = Math.max(highest, (await gateway.memory()).rss);
  }
  figure("fuzz: pings sent by a client that reads nothing", sent * 1_000);
  figure("fuzz: memory they took at most, in MB", ((highest - before) / 1e6).toFixed(1));
  expect(highest - before).toBeLessThan(80_000_000);
  await socket.end();
});
