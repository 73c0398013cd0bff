// A trading application in small: watches a price, the order queue and its position, decides, and stops. It only reads.
import { type Block, fullonCacheApi, merge } from "fullon-cache-api";
import { findGateway } from "./demo-server.ts";

const exchange = "binance";
const symbol = "BTC/USDT";
const user = "1";
/** Which bot we are: a symbol that another one blocks is not ours to trade. */
const self = "1";
/** Over how many prices the average goes, and how far from it, as a share of it, a price must be to act. */
const [size, edge] = [10, 0.0002];
const longestQueue = 25;

interface Picture {
  readonly price: number;
  readonly average: number;
  readonly held: number;
  readonly queue: number;
  readonly block: Block;
}

function decide({ price, average, held, queue, block }: Picture): string {
  if (block.is_blocked && block.blocked_by !== self) return `wait: bot ${block.blocked_by} keeps ${symbol} for itself`;
  if (queue > longestQueue) return `wait: ${queue} orders are in the queue`;
  if (price < average * (1 - edge)) return "buy: the price is below its average";
  if (price <= average * (1 + edge)) return "wait: the price is close to its average";
  return held > 0 ? "sell: the price is above its average" : "wait: there is nothing to sell";
}

await using gateway = await findGateway();
await using cache = await fullonCacheApi(gateway.url);

const prices: number[] = [];
let held = 0;
let queue = 0;
let decisions = 0;

for await (const [source, update] of merge({
  position: cache.streamPositions(user, exchange),
  queue: cache.streamOrderQueue(exchange),
  ticker: cache.streamTickers(exchange, [symbol]),
})) {
  if (source === "position" && update.symbol === symbol) held = update.removed ? 0 : (update.volume ?? 0);
  if (source === "queue" && !update.removed) queue = update.queue_length;
  if (source !== "ticker" || update.removed || update.price === null) continue;

  const { price } = update;
  prices.push(price);
  if (prices.length < size) continue;
  const average = prices.slice(-size).reduce((sum, one) => sum + one, 0) / size;
  const block = await cache.isBlocked(exchange, symbol);
  const decision = decide({ price, average, held, queue, block });
  console.log(`${price} (average ${average.toFixed(2)}), ${held} held, queue ${queue}: would ${decision}`);
  if (++decisions === 5) break;
}
console.log(`stopped after ${decisions} decisions; nothing was written`);
