/**
 * What `startCrowd` runs: many connections that follow one ticker, and the writer of that ticker. Each message of its parent
 * is a round; each answer says what came of it.
 */
import { createClient } from "redis";
import { WebSocket } from "ws";
import type { Round, RoundResult } from "./crowd.ts";

const [url = "", redisUrl = "", size = ""] = process.argv.slice(2);
const redis = createClient({ url: redisUrl });
await redis.connect();

const tick = (price: number) => JSON.stringify({ exchange: "crowd", symbol: "X", price, time: 1, volume: 1.5 });
const write = (price: number) =>
  redis.multi().hSet("tickers:crowd", "X", tick(price)).publish("ticker_updates:crowd:X", tick(price)).exec();

// The price is the number of the write.
let written = 0;
let wrong = 0;
let delays: number[] = [];
const writtenAt: number[] = [];
const last: number[] = [];

await write(++written);
await Promise.all(
  Array.from({ length: Number(size) }, async (_, at) => {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    let id: number | undefined;
    await new Promise<void>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("open", () =>
        socket.send('{"request_id":1,"operation":"stream_tickers","params":{"exchange":"crowd","symbols":["X"]}}'),
      );
      socket.on("message", (data) => {
        const now = performance.now();
        const { type, price, snapshot, update_id } = JSON.parse(String(data));
        if (type === "stream_status") resolve();
        if (type !== "ticker_update") return;
        if (!snapshot) {
          delays.push(now - (writtenAt[price] ?? 0));
          // Each must come, each once, and in order.
          if (update_id !== (id ?? 0) + 1) wrong++;
        }
        id = update_id;
        last[at] = price;
      });
    });
  }),
);

process.on("message", async ({ updates, everyMs }: Round) => {
  delays = [];
  wrong = 0;
  let next = performance.now();
  for (let n = 0; n < updates; n++) {
    next += everyMs;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
    writtenAt[++written] = performance.now();
    void write(written);
  }
  const deadline = performance.now() + 30_000;
  while (last.some((price) => price !== written) && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 5));
  delays.sort((a, b) => a - b);
  const at = (part: number) => delays[Math.floor(delays.length * part)] ?? Number.NaN;
  process.send?.({ received: delays.length, wrong, p50: at(0.5), p99: at(0.99) } satisfies RoundResult);
});
process.on("disconnect", () => process.exit());
process.send?.("ready");
