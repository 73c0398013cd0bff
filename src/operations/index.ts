import { wireName } from "../protocol/names.ts";
import { accounts } from "./accounts.ts";
import { bots } from "./bots.ts";
import { gateway } from "./gateway.ts";
import { ohlcv } from "./ohlcv.ts";
import type { Operation } from "./operation.ts";
import { orders } from "./orders.ts";
import { processes } from "./processes.ts";
import { tickers } from "./tickers.ts";
import { trades } from "./trades.ts";

/** Every domain there is; the only list of them. */
export const domains = { gateway, tickers, accounts, orders, bots, trades, ohlcv, processes };

/** Every operation by its method name. */
export const operations = {
  ...gateway,
  ...tickers,
  ...accounts,
  ...orders,
  ...bots,
  ...trades,
  ...ohlcv,
  ...processes,
};

/** Every operation by its name on the wire. */
export const operationsByWireName: ReadonlyMap<string, Operation> = new Map(
  Object.entries(operations).map(([method, operation]) => [wireName(method), operation]),
);
