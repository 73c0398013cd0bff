import type { Fanout, Queries, Topic } from "../peer.ts";
import { command } from "../redis.ts";
import { frame, upgrade } from "./websocket.ts";

/** The key that clients of the gateway bring along; the other servers do not look at it. */
export const apiKey = "a-key-of-the-benchmark-0123456789";

/** How a client of the gateway begins. */
export const entrance = upgrade(`/?token=${apiKey}`);

/** How updates get into whatever follows Redis: as the trading system publishes them. */
export function redisPublisher(port: number): Fanout["publisher"] {
  return {
    port,
    greeting: [],
    message: ({ exchange, symbol }, payload) => command("PUBLISH", `ticker_updates:${exchange}:${symbol}`, payload),
  };
}

/** The symbols of each exchange that some topics belong to. */
export function byExchange(topics: readonly Topic[]): Map<string, string[]> {
  const symbols = new Map<string, string[]>();
  for (const { exchange, symbol } of topics) {
    const known = symbols.get(exchange);
    if (known) known.push(symbol);
    else symbols.set(exchange, [symbol]);
  }
  return symbols;
}

/** Follows topics in the gateway's own protocol. */
export function ourFanout(redisPort: number): Fanout {
  return {
    publisher: redisPublisher(redisPort),
    client: (topics) => [
      entrance,
      ...[...byExchange(topics)].map(([exchange, symbols], at) =>
        frame(JSON.stringify({ request_id: `${at + 1}`, operation: "stream_tickers", params: { exchange, symbols } })),
      ),
    ],
  };
}

/** Asks in the gateway's own protocol. */
export const ourQueries: Queries = {
  greeting: [entrance],
  question: (question, id) => frame(JSON.stringify({ request_id: id, ...question })),
  answers: "websocket",
};
