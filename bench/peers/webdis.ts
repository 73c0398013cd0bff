import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../test/kit/free-port.ts";
import type { Peer, Queries, Question } from "../peer.ts";
import { missingProgram, program } from "./program.ts";
import { serve } from "./server.ts";

function path({ operation, params }: Question): string {
  const word = encodeURIComponent;
  switch (operation) {
    case "get_ticker":
      // As text the value comes as it is, which is less work than JSON in JSON.
      return `/HGET/tickers:${word(params.exchange)}/${word(params.symbol)}.txt`;
    case "get_all_tickers":
      return `/HGETALL/tickers:${word(params.exchange)}`;
    case "get_latest_ohlcv_bars":
      return `/LRANGE/ohlcv:${word(params.symbol)}:${word(params.timeframe)}/${-params.count}/-1`;
  }
}

const queries: Queries = {
  greeting: [],
  question: (question) =>
    Buffer.from(`GET ${path(question)} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Keep-Alive\r\n\r\n`),
  answers: "http",
  right: ({ operation }) =>
    ({ get_ticker: '{"symbol"', get_all_tickers: '{"HGETALL":{"', get_latest_ohlcv_bars: '{"LRANGE":["' })[operation],
};

/** webdis, a server in C that makes HTTP of Redis. */
export const webdis: Peer = {
  name: "webdis",
  about: "webdis (C) over HTTP, kept alive: a WebSocket it closes after one answer; no validation, no types",
  missing: () => missingProgram("webdis"),
  async start(place) {
    const port = await freePort();
    const file = join(place.directory, "webdis.json");
    const settings = {
      redis_host: "127.0.0.1",
      redis_port: place.redisPort,
      http_host: "127.0.0.1",
      http_port: port,
      threads: 1,
      pool_size: 20,
      daemonize: false,
      verbosity: 0,
      logfile: join(place.directory, "webdis.log"),
    };
    writeFileSync(file, JSON.stringify(settings));
    const running = await serve(place, port, [program("webdis") ?? "webdis", file]);
    return { ...running, queries };
  },
};
