import type { Operation } from "../../src/operations/operation.ts";

const given: Readonly<Record<string, unknown>> = {
  exchange: "binance",
  symbol: "BTC/USDT",
  user_id: 1,
  order_id: "EX_PART",
  bot_id: 1,
  trade_key: "binance",
  timeframe: "1m",
  process_id: "none",
  component: "none",
  stream: "none",
  token: "none",
};

/** Parameters with which an operation may be asked; where the fixtures hold something for it, it is found. */
export function someParams({ params }: Operation): Record<string, unknown> {
  return Object.fromEntries(Object.keys(params).flatMap((name) => (name in given ? [[name, given[name]]] : [])));
}
