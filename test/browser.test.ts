import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { browserPath, clientBundle, visit } from "./kit/browser.ts";
import { startGateway } from "./kit/gateway.ts";
import { setTicker } from "./kit/streams.ts";
import { secret, token } from "./kit/tokens.ts";
import { startWebSocketProxy } from "./kit/websocket-proxy.ts";

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

test("the client for web pages is small, and nothing of the server or of Node comes with it", async () => {
  const text = await clientBundle();
  expect(gzipSync(text).length).toBeLessThan(12_000);
  for (const foreign of ["node:", "typebox", "order_status:", "tickers:", "ohlcv:", "process:", "HGETALL", "require("])
    expect(text).not.toContain(foreign);
  expect(text).not.toMatch(/\bimport\s*[("'{*]/);
});

test("in a real browser the client asks, follows, heals and fails as it does here", async () => {
  await using gateway = await startGateway();
  await using proxy = await startWebSocketProxy(gateway.server.url);
  await setTicker(gateway.redis, "binance", "BTC/USDT", 1);
  const script = await clientBundle();
  const page = `<!doctype html><script type="module">
    import { CacheError, fullonCacheApi, merge } from "/client.js";
    const tell = (path, value) => fetch(path, { method: "POST", body: JSON.stringify(value) });
    try {
      await use();
    } catch (error) {
      await tell("/result", { failed: String(error) });
    }
    async function use() {
      const cache = await fullonCacheApi(${JSON.stringify(proxy.url)}, { maxBackoffMs: 50 });
      const { price } = await cache.getTicker("binance", "BTC/USDT");
      const error = await cache.getTicker("binance", "NO/SUCH").catch((error) => error);
      const prices = [];
      for await (const [name, update] of merge({ tickers: cache.streamTickers("binance") })) {
        prices.push([name, update.price, update.snapshot ?? false]);
        await tell("/seen", prices.length);
        if (prices.length === 4) break;
      }
      const streams = await cache.listStreams();
      await cache.close();
      const closed = await cache.getExchanges().catch(({ code }) => code);
      const refused = await fullonCacheApi("ws://127.0.0.1:1").catch(({ code }) => code);
      const isOurs = error instanceof CacheError;
      await tell("/result", { price, isOurs, code: error.code, prices, streams, closed, refused });
    }
  </script>`;
  let report: (result: unknown) => void;
  const result = new Promise<unknown>((resolve) => {
    report = resolve;
  });
  const http = createServer(async (request, response) => {
    if (request.method === "GET") {
      const isScript = request.url === "/client.js";
      response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
      response.end(isScript ? script : page);
      return;
    }
    const body = await bodyOf(request);
    response.end();
    if (request.url === "/result") report(body);
    else if (body === 1) await setTicker(gateway.redis, "binance", "BTC/USDT", 2);
    else if (body === 2) proxy.cut();
    else if (body === 3) await setTicker(gateway.redis, "binance", "BTC/USDT", 3);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => {
    http.close();
    http.closeAllConnections();
  });
  await once(http, "listening");

  await using browser = await visit(`http://127.0.0.1:${(http.address() as AddressInfo).port}/`);
  const ended = browser.ended.then((code) => `the browser ended with code ${code}`);
  expect(await Promise.race([result, ended])).toEqual({
    price: 1,
    isOurs: true,
    code: "TICKER_NOT_FOUND",
    prices: [
      ["tickers", 1, true],
      ["tickers", 2, false],
      ["tickers", 2, true],
      ["tickers", 3, false],
    ],
    streams: [],
    closed: "CONNECTION_CLOSED",
    refused: "CONNECTION_FAILED",
  });
});

test("a page of an allowed origin brings its token along; one of another origin is not let in, token or not", async () => {
  const script = await clientBundle();
  let page = "";
  let report: (result: unknown) => void = () => {};
  const http = createServer(async (request, response) => {
    if (request.method === "POST") report(await bodyOf(request));
    response.setHeader("Content-Type", request.url === "/client.js" ? "text/javascript" : "text/html");
    response.end(request.url === "/client.js" ? script : page);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => {
    http.close();
    http.closeAllConnections();
  });
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  const [friend, stranger] = [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
  await using gateway = await startGateway({ jwtSecret: secret, allowedOrigins: friend });
  await setTicker(gateway.redis, "binance", "BTC/USDT", 1);
  page = `<!doctype html><script type="module">
    import { fullonCacheApi } from "/client.js";
    const tell = (value) => fetch("/", { method: "POST", body: JSON.stringify(value) });
    const token = ${JSON.stringify(await token({ user_id: 7, scope: "tickers:read" }))};
    try {
      const cache = await fullonCacheApi(${JSON.stringify(gateway.server.url)}, { token });
      await tell((await cache.getTicker("binance", "BTC/USDT")).price);
    } catch ({ code }) {
      await tell(code);
    }
  </script>`;
  const results = [];
  for (const origin of [friend, stranger]) {
    const result = new Promise<unknown>((resolve) => {
      report = resolve;
    });
    await using browser = await visit(`${origin}/`);
    const ended = browser.ended.then((code) => `the browser ended with code ${code}`);
    results.push(await Promise.race([result, ended]));
  }
  expect(results).toEqual([1, "CONNECTION_FAILED"]);
  expect(gateway.server.summary.refusals).toEqual({ FORBIDDEN: 1 });
});

test("without a browser the error says what to do", () => {
  const { PATH } = process.env;
  process.env["PATH"] = "/nowhere";
  try {
    expect(browserPath).toThrow("scripts/setup.sh --browser");
  } finally {
    process.env["PATH"] = PATH;
  }
});
