import type { RedisAddress } from "../redis/greeting.ts";
import type { RedisOptions } from "../redis/redis.ts";
import { listed, type Settings } from "./settings.ts";

const sentinelPort = "26379";
const maxBackoffMs = 5_000;

/** What the settings say of Redis. @param address where it is, if the program itself says that */
export function redisOptions(settings: Settings, address: RedisAddress = addressOf(settings)): RedisOptions {
  const { redisTimeoutMs: timeoutMs, requireReadOnly } = settings;
  return { address, sentinels: sentinelsOf(settings), requireReadOnly, timeoutMs, maxBackoffMs };
}

function addressOf(settings: Settings): RedisAddress {
  if (settings.redisUrl !== undefined) return { url: settings.redisUrl };
  return {
    host: settings.redisHost,
    port: settings.redisPort,
    database: settings.redisDb,
    ...(settings.redisUsername !== undefined && { username: settings.redisUsername }),
    ...(settings.redisPassword !== undefined && { password: settings.redisPassword }),
  };
}

function sentinelsOf(settings: Settings): RedisOptions["sentinels"] {
  const { redisSentinels = "", redisSentinelUsername = "", redisSentinelPassword = "" } = settings;
  const scheme = settings.redisUrl?.startsWith("rediss:") ? "rediss" : "redis";
  const addresses = listed(redisSentinels).map((place) => {
    const url = new URL(`${scheme}://${place}`);
    url.port ||= sentinelPort;
    url.username = encodeURIComponent(redisSentinelUsername);
    url.password = encodeURIComponent(redisSentinelPassword);
    return { url: url.href };
  });
  return addresses.length > 0 ? { addresses, master: settings.redisSentinelMaster } : undefined;
}
