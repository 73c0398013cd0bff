import cluster from "node:cluster";
import { CacheWebSocketServer } from "../server/websocket-server.ts";
import type { Command, Given } from "./command.ts";
import { untilEnd } from "./ending.ts";
import { explained } from "./explained.ts";
import { settingFlags, settingsFor } from "./flags.ts";
import type { Terminal } from "./terminal.ts";
import { work } from "./worker.ts";
import { Workers } from "./workers.ts";

/** Serves a Redis until it is told to end, in one process or several; prints where as soon as clients can connect. */
export const serve: Command = {
  about: "Serves the cache over WebSocket until Ctrl-C.",
  flags: settingFlags,
  notes: "The settings may stand in the environment or in .env, too.",
  examples: () => [
    ["serve --port 8765 --redis-url redis://localhost:6379"],
    ["serve --workers auto", "one process per processor, all on one port"],
  ],
  run: (given, terminal) => (cluster.worker ? work(cluster.worker) : serveOn(given, terminal)),
};

async function serveOn(given: Given, terminal: Terminal): Promise<void> {
  const settings = settingsFor(given, terminal);
  await using gateway = settings.workers > 1 ? new Workers(settings) : new CacheWebSocketServer(settings);
  await gateway.start();
  terminal.out(`listening on ${gateway.url}`);
  terminal.onReload(async () => {
    try {
      await gateway.reload();
      terminal.out("certificate, keys and accounts were read again");
    } catch (error) {
      terminal.error(explained(error));
    }
  });
  await Promise.race([untilEnd(terminal), ...(gateway instanceof Workers ? [gateway.failed] : [])]);
}
