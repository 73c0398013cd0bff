import { describe, test } from "vitest";
import { movedTo } from "../src/redis/sentinel.ts";
import { Asking } from "./kit/asking.ts";
import { figure, isLong, scaled } from "./kit/chaos.ts";
import { followAll } from "./kit/follow-all.ts";
import { freePort } from "./kit/free-port.ts";
import { type Frame, startGateway, type TestGateway } from "./kit/gateway.ts";
import { startProxy } from "./kit/proxy.ts";
import { startRedis, type TestRedis } from "./kit/redis.ts";
import { masterName, startFailover, startSentinel } from "./kit/sentinel.ts";

/** The names of the gateway's connections that a server has. */
async function connections(redis: TestRedis): Promise<string[]> {
  const list = String(await redis.command(["CLIENT", "LIST"]));
  return [...list.matchAll(/name=(fullon-cache-api:\w+) /g)].map(([, name = ""]) => name).toSorted();
}

const both = ["fullon-cache-api:notices", "fullon-cache-api:reads"];

/** A gateway that knows of Redis only how to get in; where it is, the sentinels say. */
function startBehind(places: string, redis: TestRedis, more: object = {}): Promise<TestGateway> {
  const nowhere = new URL(redis.gatewayUrl);
  nowhere.port = "1";
  const redisSentinels = places;
  return startGateway({
    to: redis,
    redis: nowhere.href,
    redisSentinels,
    redisSentinelMaster: masterName,
    rereadMs: 0,
    ...more,
  });
}

const state = async (gateway: TestGateway) =>
  ((await (await gateway.wire()).ask("get_server_info")) as { redis: Frame }).redis;

describe.concurrent("under Sentinel", () => {
  test("the master dies, the replica takes over, and everything goes on there", async ({ expect }) => {
    for (let round = 1; round <= scaled(1, 3); round++) {
      await using failover = await startFailover();
      const { master, replica } = failover;
      await using gateway = await startBehind(failover.places, master);
      expect(await connections(master)).toEqual(both);
      const streams = await followAll(gateway);
      await streams.write(master, 1);
      await using asking = await Asking.start(await gateway.wire(), master);
      await expect.poll(() => replica.command(["EXISTS", "order_status:asked"])).toBe(1);
      const began = performance.now();
      await master.kill();
      await streams.all("stale");
      await failover.happened();
      const electedAt = performance.now();
      await streams.all("live");
      figure("failover: until the sentinels agreed, ms", Math.round(electedAt - began));
      figure("failover: from there until all streams were live, ms", Math.round(performance.now() - electedAt));
      await streams.converge();
      await streams.write(replica, 2);
      await streams.converge();
      const { errors } = await asking.stop();
      expect(errors).toBeGreaterThan(0);
      expect(await connections(replica)).toEqual(both);
    }
  }, 90_000);

  test("the master is made a replica while it lives, the gateway leaves it", async ({ expect }) => {
    await using failover = await startFailover({ downAfterMs: 5_000 });
    const { master, replica } = failover;
    await using gateway = await startBehind(failover.places, master);
    const streams = await followAll(gateway);
    await streams.write(master, 1);
    await using asking = await Asking.start(await gateway.wire(), master);
    await failover.sentinels[1]?.command("SENTINEL", "FAILOVER", masterName);
    await failover.happened();
    await expect.poll(() => connections(replica), { timeout: 15_000 }).toEqual(both);
    await expect.poll(() => connections(master), { timeout: 15_000 }).toEqual([]);
    await streams.all("live");
    await streams.write(replica, 2);
    await streams.converge();
    await asking.stop();
  }, 60_000);

  test("the master hangs and is replaced, the gateway does not wait for it, nor for a sentinel that hangs", async ({
    expect,
  }) => {
    await using failover = await startFailover();
    const { master, replica } = failover;
    await using hanging = await startProxy(failover.sentinels[0]?.port ?? 0);
    // One that is not there, one that will hang, two that are enough.
    const [, second, third] = failover.sentinels;
    const places = `127.0.0.1:${hanging.port},127.0.0.1:${second?.port},127.0.0.1:${third?.port}`;
    await using gateway = await startBehind(places, master);
    const streams = await followAll(gateway);
    await streams.write(master, 1);
    hanging.hold();
    master.pause();
    await failover.happened();
    // Signs of life alone would show it no sooner than after ten seconds.
    await expect.poll(() => connections(replica), { timeout: 8_000 }).toEqual(both);
    await streams.all("live");
    await streams.write(replica, 2);
    await streams.converge();
    // Back, it is a master until the sentinels have noticed; nobody listens to it.
    master.resume();
    expect(await master.command(["ROLE"])).toContain("master");
    if (isLong)
      await expect.poll(() => master.command(["ROLE"]), { timeout: 30_000, interval: 250 }).toContain("slave");
    // It hears only now that they have gone.
    await expect.poll(() => connections(master)).toEqual([]);
    expect(await connections(replica)).toEqual(both);
    await streams.write(replica, 3);
    await streams.converge();
    await gateway.server.stop();
  }, 60_000);

  test("a failover that nobody could tell of is found as soon as a sentinel is back", async ({ expect }) => {
    await using failover = await startFailover();
    const { master, replica } = failover;
    await using way = await startProxy(failover.sentinels[0]?.port ?? 0);
    await using gateway = await startBehind(`127.0.0.1:${way.port}`, master);
    const streams = await followAll(gateway);
    await streams.write(master, 1);
    way.refuse(true);
    way.cut();
    master.pause();
    await failover.happened();
    way.refuse(false);
    await expect.poll(() => connections(replica), { timeout: 8_000 }).toEqual(both);
    await streams.all("live");
    await streams.write(replica, 2);
    await streams.converge();
    await gateway.server.stop();
  }, 60_000);

  test("what most sentinels say counts, not what one says that is cut off", async ({ expect }) => {
    await using redis = await startRedis();
    await using other = await startRedis();
    await using one = await startSentinel(other.port);
    await using two = await startSentinel(redis.port);
    await using three = await startSentinel(redis.port);
    // The others answer later than the one that is wrong.
    await using second = await startProxy(two.port);
    await using third = await startProxy(three.port);
    second.delay(50);
    third.delay(50);
    const places = [one, second, third].map(({ port }) => `127.0.0.1:${port}`).join(",");
    await using gateway = await startBehind(places, redis);
    expect(await state(gateway)).toMatchObject({ connected: true });
    expect(await connections(redis)).toEqual(both);
    expect(await connections(other)).toEqual([]);
    // Also when it comes back last of all.
    await one.command("CLIENT", "KILL", "TYPE", "pubsub");
    await expect.poll(async () => String(await one.command("CLIENT", "LIST"))).toContain("sub=1");
    expect(await connections(redis)).toEqual(both);
  });

  test("sentinels that come later are found, and those that are not there do no harm", async ({ expect }) => {
    await using redis = await startRedis();
    const port = await freePort();
    await using gateway = await startBehind(`127.0.0.1:${port},localhost:${port}`, redis);
    expect(await state(gateway)).toMatchObject({ connected: false });
    expect(gateway.lines.find(({ msg }) => msg === "Redis cannot be reached")).toMatchObject({
      err: { message: expect.stringContaining(`no sentinel says where the master "${masterName}" is`) },
    });
    await using _sentinel = await startSentinel(redis.port, { port });
    await expect.poll(() => state(gateway), { timeout: 15_000 }).toMatchObject({ connected: true });
    expect(await connections(redis)).toEqual(both);
  });

  test("a server that turns out to be a replica is not used, and sentinels may ask for a password", async ({
    expect,
  }) => {
    await using redis = await startRedis();
    await using other = await startRedis();
    // It takes so long to notice anything that its word is out of date.
    await using sentinel = await startSentinel(redis.port, { downAfterMs: 60_000, password: "open-sesame" });
    await redis.command(["REPLICAOF", "127.0.0.1", `${other.port}`]);
    await using gateway = await startBehind(`127.0.0.1:${sentinel.port}`, redis, {
      redisSentinelPassword: "open-sesame",
    });
    expect(await state(gateway)).toMatchObject({ connected: false });
    expect(gateway.lines.find(({ msg }) => msg === "Redis cannot be reached")).toMatchObject({
      err: { message: "it is no master but a replica" },
    });
    await redis.command(["REPLICAOF", "NO", "ONE"]);
    await expect.poll(() => state(gateway), { timeout: 15_000 }).toMatchObject({ connected: true });
  });

  test("a master whom the sentinels do not know is not there", async ({ expect }) => {
    await using redis = await startRedis();
    await using sentinel = await startSentinel(redis.port);
    await using gateway = await startBehind(`127.0.0.1:${sentinel.port}`, redis, { redisSentinelMaster: "another" });
    expect(await state(gateway)).toMatchObject({ connected: false });
    expect(JSON.stringify(gateway.lines)).toContain("it knows no master of this name");
  });
});

test("an address keeps what it says of the way in, wherever Redis has moved", ({ expect }) => {
  const host = "::1";
  expect(movedTo({ host, port: 7 }, { url: "rediss://reader:pass@old:1/2" })).toEqual({
    url: "rediss://reader:pass@[::1]:7/2",
    host,
    port: 7,
  });
  expect(movedTo({ host, port: 7 }, { username: "reader", host: "old" })).toEqual({
    username: "reader",
    host,
    port: 7,
  });
});
