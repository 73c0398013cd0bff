// Processes: whether the trading system is well, and which part of it is not.
import { CacheError, fullonCacheApi } from "fullon-cache-api";
import { findGateway } from "./demo-server.ts";

await using gateway = await findGateway();
await using cache = await fullonCacheApi(gateway.url);

const health = await cache.getSystemHealth();
console.log(`${health.healthy ? "healthy" : "not healthy"}: ${health.total_processes} processes`);
console.log(`Redis is ${health.redis.connected ? "there" : "away"}, ${health.gateway.connections} client(s) connected`);

// Filters may be given in order or by name.
for (const one of await cache.getActiveProcesses({ processType: "bot", sinceMinutes: 5 }))
  console.log(`${one.component} is ${one.status}, last heard ${one.heartbeat_age?.toFixed(1)} s ago: ${one.message}`);

const [newest] = await cache.getActiveProcesses();
if (newest) console.log(`newest heartbeat: ${(await cache.getProcess(newest.process_id)).process_id}`);

try {
  await cache.getComponentStatus("no-such-component");
} catch (error) {
  if (!(error instanceof CacheError && error.code === "PROCESS_NOT_FOUND")) throw error;
  console.log(`no-such-component: ${error.message}`);
}

// The health now, then only when it changes: a system that stays well stays silent, so one look is enough here.
for await (const { healthy, by_type, problems } of cache.streamProcessHealth()) {
  console.log(`${healthy ? "all is well" : "there are problems"}: ${JSON.stringify(by_type)}`);
  for (const { component, status, stale } of problems) console.log(`  ${component}: ${stale ? "silent" : status}`);
  break;
}
