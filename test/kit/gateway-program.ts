/**
 * What `startGatewayProcess` runs: a gateway, with the options that its argument holds as JSON. Its log goes to stderr;
 * stdout has a line of JSON with its URL, and for every SIGUSR2 one with its memory.
 */
import { CacheWebSocketServer } from "../../src/server/websocket-server.ts";
import { collectGarbage } from "./garbage.ts";

const server = new CacheWebSocketServer(JSON.parse(process.argv[2] ?? "{}"));
await server.start();
console.log(JSON.stringify({ url: server.url }));

let measured = 0;
process.on("SIGUSR2", () => {
  // What one collection lets go of may hold more, which the next one finds.
  for (let times = 0; times < 3; times++) collectGarbage();
  const { heapUsed, external, rss } = process.memoryUsage();
  console.log(JSON.stringify({ measured: ++measured, used: heapUsed + external, rss }));
});
