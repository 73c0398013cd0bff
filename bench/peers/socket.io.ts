import { fileURLToPath } from "node:url";
import { freePort } from "../../test/kit/free-port.ts";
import type { Fanout, Peer, Queries } from "../peer.ts";
import { byExchange, redisPublisher } from "./our-protocol.ts";
import { serve } from "./server.ts";
import { frame, upgrade } from "./websocket.ts";

const path = "/socket.io/?EIO=4&transport=websocket";
const packages = ["socket.io", "@socket.io/redis-adapter"];

function fanout(redisPort: number): Fanout {
  return {
    publisher: redisPublisher(redisPort),
    // Topics come with the connect packet: an event that overtook it would be refused.
    client(topics) {
      const follow = [...byExchange(topics)].map(([exchange, symbols]) => ({ exchange, symbols }));
      return [upgrade(path), frame(`40${JSON.stringify({ follow })}`)];
    },
  };
}

const queries: Queries = {
  greeting: [upgrade(path), frame("40")],
  question: ({ operation, params }, id) => frame(`42${id}${JSON.stringify([operation, params])}`),
  answers: "websocket",
};

/** Socket.IO, which most people know. */
export const socketIo: Peer = {
  name: "socket.io",
  about: "Socket.IO with its Redis adapter, a room per topic; HGET per request",
  async missing() {
    try {
      for (const name of packages) import.meta.resolve(name);
      return undefined;
    } catch {
      return `npm packages ${packages.join(", ")}`;
    }
  },
  async start(place) {
    const port = await freePort();
    const script = fileURLToPath(new URL("servers/socket.io.js", import.meta.url));
    const running = await serve(place, port, [process.execPath, script, `${port}`, `${place.redisPort}`]);
    return { ...running, fanout: fanout(place.redisPort), queries };
  },
};
