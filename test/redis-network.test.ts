import { setTimeout as pause } from "node:timers/promises";
import { describe, test } from "vitest";
import { Redis } from "../src/redis/redis.ts";
import { Asking } from "./kit/asking.ts";
import { figure, isLong, scaled, seed } from "./kit/chaos.ts";
import { followAll } from "./kit/follow-all.ts";
import { startGateway, type TestGateway } from "./kit/gateway.ts";
import { startProxy, type TcpProxy, type Way } from "./kit/proxy.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";

/** A gateway that reaches its Redis through a proxy, and really asks it. */
const startBehind = (redis: TestRedis, proxy: TcpProxy, more: object = {}): Promise<TestGateway> =>
  startGateway({ to: redis, redis: proxy.through(redis.gatewayUrl), rereadMs: 0, nearCacheBytes: 0, ...more });

/** Numbers from 0 to 1 that are the same for the same seed. */
function random(start: number): () => number {
  let state = start;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}

describe.concurrent("when the network to Redis", () => {
  test("is slow, everything comes later; when it is too slow, it is said in time", async ({ expect }) => {
    const redisTimeoutMs = 500;
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port);
    await using patient = await startBehind(redis, proxy, { redisTimeoutMs: 10_000 });
    await using gateway = await startBehind(redis, proxy, { redisTimeoutMs, rereadMs: 200 });
    const unhurried = await followAll(patient);
    const streams = await followAll(gateway);
    await using waiting = await Asking.start(unhurried.wire, redis);
    await using asking = await Asking.start(streams.wire, redis);
    proxy.delay(50);
    for (let n = 1; n <= scaled(2, 10); n++) await unhurried.write(redis, n);
    await unhurried.converge();
    proxy.delay(3 * redisTimeoutMs);
    await streams.all("stale");
    await unhurried.writeOnly(redis, 50);
    proxy.delay(0);
    await unhurried.converge();
    await streams.all("live");
    await streams.write(redis, 51);
    await streams.converge();
    const { longestMs } = await asking.stop();
    figure(`a network slower than the ${redisTimeoutMs} ms allowed: longest answer, ms`, longestMs);
    expect(longestMs).toBeLessThan(10 * redisTimeoutMs);
    // Who has the patience is told everything.
    expect(await waiting.stop()).toMatchObject({ errors: 0 });
    expect([...asking.errors.keys()]).toEqual(["CACHE_TIMEOUT"]);
  }, 60_000);

  test("breaks in the middle of answers, half of one is never taken for a whole", async ({ expect }) => {
    const next = random(seed);
    const rounds = scaled(12, 150);
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port);
    await using gateway = await startBehind(redis, proxy);
    const streams = await followAll(gateway);
    await using asking = await Asking.start(streams.wire, redis);
    const lost = () => gateway.lines.filter(({ msg }) => msg === "Redis cannot be reached").length;
    for (let round = 1; round <= rounds; round++) {
      const before = lost();
      const bytes = Math.floor(next() * 600);
      // Again and again, since the connections there are may be those that the last round broke.
      const breakOne = async () => {
        proxy.truncate(bytes);
        await streams.writeOnly(redis, round);
        return lost();
      };
      const patience = { timeout: 15_000, interval: 500, message: `seed ${seed}, round ${round}` };
      await expect.poll(breakOne, patience).toBeGreaterThan(before);
      await streams.all("live");
    }
    await streams.write(redis, rounds + 1);
    await streams.converge();
    const { answers, errors } = await asking.stop();
    figure("answers while the network broke in the middle of replies: all, refused, wrong", `${answers}, ${errors}, 0`);
  }, 120_000);

  test.for<Way>(["answers", "requests", "both"])(
    "loses %s and stays open, nothing hangs, and all is well with the next connection",
    { timeout: 120_000 },
    async (way, { expect }) => {
      const redisTimeoutMs = 500;
      await using redis = await startRedis();
      await using proxy = await startProxy(redis.port);
      await using gateway = await startBehind(redis, proxy, { redisTimeoutMs, rereadMs: 100 });
      const streams = await followAll(gateway);
      await streams.write(redis, 1);
      await using asking = await Asking.start(streams.wire, redis);
      const lost = () => gateway.lines.filter(({ level, msg }) => level === 40 && msg === "Redis cannot be reached");
      const began = performance.now();
      proxy.swallow(way);
      await streams.all("stale");
      await streams.writeOnly(redis, 2);
      if (isLong) {
        // Also the connections that are made instead of the silent ones.
        await expect.poll(lost, { timeout: 40_000, interval: 250 }).toHaveLength(1);
        figure(
          `a network that loses ${way}: until the connection was given up, s`,
          Math.round((performance.now() - began) / 1000),
        );
        await pause(12_000);
      }
      proxy.release();
      await streams.all("live");
      await streams.converge();
      await streams.write(redis, 3);
      await streams.converge();
      const { longestMs } = await asking.stop();
      figure(`a network that loses ${way}: longest answer, with ${redisTimeoutMs} ms allowed, ms`, longestMs);
      expect(longestMs).toBeLessThan(10 * redisTimeoutMs);
      expect([...asking.errors.keys()]).toContain("CACHE_TIMEOUT");
    },
  );

  test("is away for a while, those that lost it do not come back in step", async ({ expect }) => {
    await using redis = await startRedis();
    await using proxy = await startProxy(redis.port);
    const address = { url: proxy.through(redis.gatewayUrl) };
    let up = 0;
    const all = Array.from(
      { length: 20 },
      () =>
        new Redis(
          { address, timeoutMs: 5_000, maxBackoffMs: 5_000 },
          {
            up: () => {
              up++;
            },
            down() {},
          },
        ),
    );
    await Promise.all(all.map((one) => one.start()));
    await expect.poll(() => up).toBe(all.length);
    proxy.refuse(true);
    proxy.cut();
    const cutAt = performance.now();
    const ms = scaled(5_000, 30_000);
    await pause(ms);
    // After the first failures each waits for some seconds.
    const times = proxy.arrivals.map((at) => at - cutAt).filter((at) => at > 2_500);
    const connections = 2 * all.length;
    expect(times.length / (ms - 2_500) / connections).toBeLessThan(2 / 1_000);
    // And none in step with the others, though a busy machine may keep some back and let them go at once.
    const most = Math.max(...times.map((first) => times.filter((at) => at >= first && at < first + 50).length));
    figure(`${connections} connections that lost Redis at once: most attempts within 50 ms, after 2.5 s`, most);
    expect(most).toBeLessThan(connections / 2);
    proxy.refuse(false);
    await expect.poll(() => up, { timeout: 15_000 }).toBe(2 * all.length);
    await Promise.all(all.map((one) => one.close()));
  }, 60_000);
});
