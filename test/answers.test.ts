import { expect, test } from "vitest";
import { identityAccounts } from "../src/operations/account-map.ts";
import type { Asker } from "../src/operations/reading.ts";
import { Redis } from "../src/redis/redis.ts";
import { Answers } from "../src/server/answers.ts";
import type { Common } from "../src/server/question.ts";
import { type Asked, Requests } from "../src/server/requests.ts";
import { collectGarbage } from "./kit/garbage.ts";
import { startRedis } from "./kit/redis.ts";

test("an answer that is kept does not keep the connection that asked first", async () => {
  await using server = await startRedis();
  await server.command(["HSET", "tickers:binance", "BTC/USDT", '{"price": 1, "time": 1}']);
  const address = { url: server.gatewayUrl };
  const redis = new Redis({ address, timeoutMs: 1_000, maxBackoffMs: 100 }, { up() {}, down() {} });
  await redis.start();
  const common = {
    cache: redis.cache,
    accounts: identityAccounts,
    staleAfter: 300,
    now: () => 0,
    corrupt() {},
    server: {},
  } as unknown as Common;
  const answers = new Answers(1_000_000, common, () => redis.leasedCache());
  const params = { exchange: "binance", symbol: "BTC/USDT" };
  const request = new Requests().read(JSON.stringify({ request_id: "1", operation: "get_ticker", params }));
  const { asked } = request as { asked: Asked };
  const newAsker = (): Asker => ({
    updatesSent: 0,
    accounts: undefined,
    streams: () => [],
    unsubscribe() {},
    authenticate: () => Promise.reject(new Error("nobody asks for it")),
  });
  const ask = async () => {
    const asker = newAsker();
    await answers.to(asked, asker);
    return new WeakRef(asker);
  };
  const gone = await ask();
  await expect
    .poll(() => {
      collectGarbage();
      return gone.deref() === undefined;
    })
    .toBe(true);
  expect(answers.to(asked, newAsker())).toContain('"price":1');
  await redis.close();
});
