/**
 * A program that follows the tickers of an exchange, and says each state of its connection and each price. Its arguments:
 * where the gateway is, the exchange, and options of the client as JSON.
 */
import { fullonCacheApi } from "../../src/client/index.ts";

const [url, exchange = "", options = "{}"] = process.argv.slice(2);
const client = await fullonCacheApi(url, JSON.parse(options));
void (async () => {
  for await (const { state } of client.status()) console.log(`connection ${state}`);
})();
for await (const { price } of client.streamTickers(exchange)) console.log(`price ${price}`);
