import cluster from "node:cluster";
import { CacheWebSocketServer } from "../server/websocket-server.ts";
import { explained } from "./explained.ts";
import { flagHelp, readFlags, settingsFor } from "./flags.ts";
import { type Terminal, untilEnd } from "./terminal.ts";
import { work } from "./worker.ts";
import { Workers } from "./workers.ts";

/** Serves a Redis until it is told to end, in one process or several; prints where as soon as clients can connect. */
export async function serve(args: readonly string[], terminal: Terminal): Promise<void> {
  if (cluster.worker) return work(cluster.worker);
  const flags = readFlags(args);
  if (flags.help) {
    terminal.out(`Serves the cache over WebSocket until Ctrl-C.

  fullon-cache-api serve --port 8765 --redis-url redis://localhost:6379
  fullon-cache-api serve --workers auto    one process per processor, all on one port

Settings, as flags or in the environment or in .env:
${flagHelp()}`);
    return;
  }
  const settings = settingsFor(flags, terminal);
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
