import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { clientBundle, visit } from "../../test/kit/browser.ts";

/** How long it took in a browser to take in the updates, in milliseconds, in each round. */
export interface BrowserTimes {
  readonly client: readonly number[];
  readonly bare: readonly number[];
}

const pageOf = (url: string, updates: number, rounds: number) => `<!doctype html><script type="module">
  import { fullonCacheApi } from "/client.js";
  const url = ${JSON.stringify(`${url}/ws?streams=1&updates=${updates}`)};
  const opening = { operation: "stream_tickers", params: { exchange: "binance", symbols: ["BTC/USDT"] } };
  async function client() {
    let [seen, from] = [0, 0];
    const cache = await fullonCacheApi(url);
    for await (const update of cache.streamTickers("binance", ["BTC/USDT"])) {
      if (update.snapshot) continue;
      if (seen === 0) from = performance.now();
      seen += 1 + (update.skipped ?? 0);
      if (seen < ${updates}) continue;
      const took = performance.now() - from;
      await cache.close();
      return took;
    }
  }
  const bare = () => new Promise((resolve) => {
    let [seen, from] = [0, 0];
    const socket = new WebSocket(url);
    socket.onopen = () => socket.send(JSON.stringify({ request_id: 1, ...opening }));
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.update_id === undefined || frame.type === "stream_status" || frame.snapshot) return;
      if (seen++ === 0) from = performance.now();
      if (seen < ${updates}) return;
      socket.onmessage = null;
      socket.close();
      resolve(performance.now() - from);
    };
  });
  const times = { client: [], bare: [] };
  for (let round = 0; round < ${rounds}; round++) {
    times.client.push(await client());
    times.bare.push(await bare());
  }
  await fetch("/times", { method: "POST", body: JSON.stringify(times) });
</script>`;

/**
 * Lets a Chromium take in so many updates with the client and with a bare WebSocket in turn.
 * @throws Error there is no `chromium` here, or it ends before it is done
 */
export async function measureBrowser(port: number, updates: number, rounds: number): Promise<BrowserTimes> {
  const script = await clientBundle();
  const page = pageOf(`ws://127.0.0.1:${port}`, updates, rounds);
  let tell = (_: BrowserTimes) => {};
  const told = new Promise<BrowserTimes>((resolve) => {
    tell = resolve;
  });
  const http = createServer(async (request, response) => {
    if (request.method === "POST") {
      let text = "";
      for await (const chunk of request) text += chunk;
      response.end();
      tell(JSON.parse(text));
      return;
    }
    const isScript = request.url === "/client.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html").end(isScript ? script : page);
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  const browser = await visit(`http://127.0.0.1:${(http.address() as AddressInfo).port}/`);
  const gone = browser.ended.then((code) => {
    throw new Error(`chromium ended with code ${code}`);
  });
  try {
    return await Promise.race([told, gone]);
  } finally {
    gone.catch(() => {});
    await browser[Symbol.asyncDispose]();
    http.close();
    http.closeAllConnections();
  }
}
