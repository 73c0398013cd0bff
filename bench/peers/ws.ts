import { fileURLToPath } from "node:url";
import { freePort } from "../../test/kit/free-port.ts";
import type { Peer } from "../peer.ts";
import { ourFanout, ourQueries } from "./our-protocol.ts";
import { serve } from "./server.ts";

/** `ws` and `redis` as most people would use them. */
export const ws: Peer = {
  name: "ws",
  about: "ws and redis the usual way: JSON.stringify and send per client, HGET per request",
  missing: async () => undefined,
  async start(place) {
    const port = await freePort();
    const script = fileURLToPath(new URL("servers/ws.js", import.meta.url));
    const running = await serve(place, port, [process.execPath, script, `${port}`, `${place.redisPort}`]);
    return { ...running, fanout: ourFanout(place.redisPort), queries: ourQueries };
  },
};
