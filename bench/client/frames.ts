/** The epoch of everything that is sent here. */
export const epoch = "7qz5wu4u";

/** The id of the pictures. The ids after it have as many digits, so that they can be written over where they stand. */
export const firstId = 100_000_000;

/** One topic, and how far it is. */
export interface Topic {
  readonly type: string;
  readonly name: string;
  /** The members of its one item, as JSON without the braces. */
  readonly item: string;
  id: number;
}

/** What a client asks for. */
export interface Opening {
  readonly operation: string;
  readonly params: { readonly exchange: string; readonly symbol?: string; readonly symbols?: readonly string[] };
}

/** The topics that a request for a stream stands for. */
export function topicsOf({ operation, params }: Opening): Topic[] {
  const { exchange, symbol = "BTC/USDT", symbols = [symbol] } = params;
  return symbols.map((symbol, n) => {
    const price = (47_000.25 + n).toFixed(2);
    const named = `"exchange":"${exchange}","symbol":"${symbol}"`;
    const ticker = `${named},"price":${price},"volume":1250.5,"timestamp":1795330945.1,"bid":47000.25,"ask":47001.25,"last":${price},"change":12.5,"percentage":0.03`;
    const trade = `${named},"trade_id":"8761234","side":"buy","volume":0.25,"price":${price},"timestamp":1795330945.1`;
    return operation === "stream_tickers"
      ? { type: "ticker_update", name: `ticker:${exchange}:${symbol}`, item: ticker, id: firstId }
      : { type: "trade_update", name: `trade:${exchange}:${symbol}`, item: trade, id: firstId };
  });
}

/** An update of a topic as the gateway writes it, with the topic's present id. */
export function updateOf({ type, name, item, id }: Topic): string {
  return `{"type":"${type}","topic":"${name}",${item},"update_id":${id}}`;
}

/** What opens a stream: the answer, then the pictures. */
export function openingOf(requestId: unknown, stream: string, topics: readonly Topic[]): string[] {
  const result = { stream, topics: topics.map(({ name }) => name), epoch };
  const pictures = topics.flatMap(({ type, name, item, id }) => [
    `{"type":"${type}","topic":"${name}",${item},"snapshot":true,"epoch":"${epoch}","update_id":${id}}`,
    JSON.stringify({ type: "stream_status", topic: name, state: "live", epoch, count: 1, update_id: id }),
  ]);
  return [JSON.stringify({ request_id: requestId, success: true, result }), ...pictures];
}
