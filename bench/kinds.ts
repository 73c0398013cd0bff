import type { Message, Script } from "./load-spec.ts";
import { entrance } from "./peers/our-protocol.ts";
import { frame } from "./peers/websocket.ts";
import { command } from "./redis.ts";

/** A number goes through every kind of stream, also bars; so its beginning is what marks it. */
export const numberMarker = "4242";
const number = `${numberMarker}0000000000`;

/** One kind of stream: what opens it, and what is written so that it tells something new. */
interface Kind {
  readonly operation: string;
  readonly params: object;
  readonly write: readonly (readonly string[])[];
  /** Every write is an update of its own. */
  readonly everyWrite?: true;
}

const iso = (at: Date) => at.toISOString().replace("Z", "000+00:00");

/** All kinds of stream, and writes as fullon_cache makes them. */
function kinds(): Kind[] {
  const now = new Date();
  const [time, seconds] = [iso(now), now.getTime() / 1_000];
  const symbol = "BTC/USDT";
  const tick = `{"symbol": "${symbol}", "exchange": "binance", "price": 97321.45, "time": ${seconds}, "volume": 37.486, "bid": 97311.7, "ask": 97331.2, "last": 97321.45, "seq": ${number}}`;
  const position = `{"${symbol}": {"cost": 58392.87, "volume": ${number}, "fee": 29.2, "count": 2.0, "price": 97321.45, "timestamp": ${seconds}}, "timestamp": "${time}"}`;
  const order = (id: string, status: string, filled: string) =>
    `{"order_id": "${id}", "bot_id": 1, "uid": 1, "ex_id": 1, "cat_ex_id": 1, "ex_order_id": "${id}", "symbol": "ETH/USDT", "order_type": "limit", "side": "buy", "volume": 2.0, "final_volume": ${filled}, "price": 3120.0, "plimit": null, "tick": null, "futures": false, "leverage": 1.0, "status": "${status}", "command": null, "reason": null, "timestamp": "${time}"}`;
  const bot = `{"feed_1": {"status": "running", "symbols": ["${symbol}"], "performance": {"pnl": ${number}}, "timestamp": "${time}"}}`;
  const trade = `{"trade_id": ${number}, "ex_trade_id": "EXT-0", "ex_order_id": "EXO-0", "uid": 1, "ex_id": 1, "symbol": "${symbol}", "order_type": "limit", "side": "sell", "volume": 0.230814, "price": 97338.77, "cost": 22467.15, "fee": 22.467, "leverage": 1.0, "time": ${seconds}}`;
  const minute = Math.floor(seconds / 60) * 60;
  const id = `bot:bench:${seconds}`;
  const process = `{"process_id": "${id}", "process_type": "bot", "component": "bench", "params": {"bot_id": 2}, "status": "${number}", "message": "at work", "created_at": "${time}", "updated_at": "${time}", "heartbeat": "${time}"}`;
  return [
    {
      operation: "stream_tickers",
      params: { exchange: "binance", symbols: [symbol] },
      write: [
        ["HSET", "tickers:binance", symbol, tick],
        ["PUBLISH", `ticker_updates:binance:${symbol}`, tick],
      ],
      everyWrite: true,
    },
    { operation: "stream_positions", params: { user_id: "1" }, write: [["HSET", "account_positions", "1", position]] },
    {
      operation: "stream_order_queue",
      params: { exchange: "kraken" },
      write: [["HSET", "order_status:kraken", "Q1", order("Q1", number, "0.5")]],
    },
    {
      operation: "stream_orders",
      params: { exchange: "binance" },
      write: [["HSET", "order_status:binance", "A1", order("A1", "open", number)]],
    },
    { operation: "stream_bot_status", params: { bot_id: "1" }, write: [["HSET", "bot_status", "1", bot]] },
    {
      operation: "stream_trade_updates",
      params: { exchange: "binance", symbol },
      write: [
        ["RPUSH", "trades:binance:BTCUSDT", trade],
        ["SET", "TRADE:STATUS:binance", time],
      ],
      everyWrite: true,
    },
    {
      operation: "stream_ohlcv",
      params: { symbol, timeframe: "1m" },
      write: [
        ["RPUSH", `ohlcv:${symbol}:1m`, `[${minute}, 95432.13, 95479.85, 95335.97, 95383.66, ${number}]`],
        ["LTRIM", `ohlcv:${symbol}:1m`, "-10000", "-1"],
      ],
    },
    {
      operation: "stream_process_health",
      params: {},
      write: [
        ["SETEX", `process:data:${id}`, "86400", process],
        ["HSET", "process:active:bot", id, time],
      ],
    },
  ];
}

/** A client that has a stream of every kind, and the updates of each. */
export function allKinds(): { readonly script: Script; readonly messages: Message[] } {
  const all = kinds();
  const requests = all.map(({ operation, params }, at) =>
    frame(JSON.stringify({ request_id: `${at + 1}`, operation, params })),
  );
  return {
    script: { parts: [entrance, Buffer.concat(requests)], topics: all.map((_kind, at) => at) },
    messages: all.map(({ write, everyWrite }) => ({
      bytes: Buffer.concat(write.map((words) => command(...words))),
      conflated: everyWrite !== true,
    })),
  };
}
