import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { freePort } from "../../test/kit/free-port.ts";
import type { Peer } from "../peer.ts";
import { ourFanout, ourQueries } from "./our-protocol.ts";
import { serve } from "./server.ts";

/** uWebSockets.js, from a package that carries its builds: under its own name npm has none. */
export const uwebsockets: Peer = {
  name: "uwebsockets",
  about: "uWebSockets.js publish, serialised once per update; HGET per request",
  async missing() {
    try {
      createRequire(import.meta.url)("uwebsockets");
      return undefined;
    } catch (cause) {
      return `npm package uwebsockets: ${String(cause).split("\n")[0]}`;
    }
  },
  async start(place) {
    const port = await freePort();
    const script = fileURLToPath(new URL("servers/uwebsockets.js", import.meta.url));
    const running = await serve(place, port, [process.execPath, script, `${port}`, `${place.redisPort}`]);
    return { ...running, fanout: ourFanout(place.redisPort), queries: ourQueries };
  },
};
