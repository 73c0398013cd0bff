// What the servers that read Redis by hand have in common: the gateway's envelope, without its checks.

/** The ticker that clients get of one that Redis holds. */
function ticker(text) {
  const { time, ...rest } = JSON.parse(text);
  return { ...rest, timestamp: time };
}

/** The update that subscribers get of a published ticker. */
export function tickerUpdate(topic, text, updateId) {
  return { type: "ticker_update", topic, ...ticker(text), update_id: updateId };
}

/** Where tickers are published, and the topic that each channel is. */
export const tickerChannels = "ticker_updates:*";
export const topicOf = (channel) => channel.replace("ticker_updates:", "ticker:");

/** The topics that a request for a stream names. */
export function topicsOf({ exchange, symbols }) {
  return symbols.map((symbol) => `ticker:${exchange}:${symbol}`);
}

/** Reads from Redis what a request asks for. */
export async function read(redis, operation, params) {
  switch (operation) {
    case "get_ticker":
      return ticker(await redis.hGet(`tickers:${params.exchange}`, params.symbol));
    case "get_all_tickers":
      return Object.values(await redis.hGetAll(`tickers:${params.exchange}`)).map(ticker);
    case "get_latest_ohlcv_bars": {
      const bars = await redis.lRange(`ohlcv:${params.symbol}:${params.timeframe}`, -params.count, -1);
      return bars.map((bar) => JSON.parse(bar));
    }
    default:
      throw new Error(`unknown operation ${operation}`);
  }
}

/** Counts the updates of each topic. */
export function counter() {
  const counts = new Map();
  return (topic) => {
    const next = (counts.get(topic) ?? 0) + 1;
    counts.set(topic, next);
    return next;
  };
}
