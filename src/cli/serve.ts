import { CacheWebSocketServer } from "../server/websocket-server.ts";
import { flagHelp, readFlags, settingsFor } from "./flags.ts";
import { type Terminal, untilEnd } from "./terminal.ts";

/** Serves a Redis until it is told to end; prints where it listens as soon as clients can connect. */
export async function serve(args: readonly string[], terminal: Terminal): Promise<void> {
  const flags = readFlags(args);
  if (flags.help) {
    terminal.out(`Serves the cache over WebSocket until Ctrl-C.

  fullon-cache-api serve --port 8765 --redis-url redis://localhost:6379

Settings, as flags or in the environment or in .env:
${flagHelp()}`);
    return;
  }
  await using server = new CacheWebSocketServer(settingsFor(flags, terminal));
  await server.start();
  terminal.out(`listening on ${server.url}`);
  await untilEnd(terminal);
}
