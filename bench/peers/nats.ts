import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../test/kit/free-port.ts";
import type { Fanout, Peer, Topic } from "../peer.ts";
import { missingProgram, program } from "./program.ts";
import { serve } from "./server.ts";
import { frame, upgrade } from "./websocket.ts";

const hello = 'CONNECT {"verbose":false,"pedantic":false,"headers":false}\r\n';

// A dot would make another level of it.
const subject = ({ exchange, symbol }: Topic) => `ticker.${exchange}.${symbol.replaceAll(".", "_")}`;

function fanout(port: number): Fanout {
  return {
    client(topics) {
      const subscriptions = topics.map((topic, at) => `SUB ${subject(topic)} ${at + 1}\r\n`).join("");
      return [upgrade(), frame(Buffer.from(`${hello}${subscriptions}PING\r\n`))];
    },
    publisher: {
      port,
      greeting: [Buffer.from(hello)],
      message: (topic, payload) => Buffer.from(`PUB ${subject(topic)} ${Buffer.byteLength(payload)}\r\n${payload}\r\n`),
    },
  };
}

// The load program answers no pings, and nothing may be lost because a client was slow.
const settings = (tcp: number, websocket: number) => `
listen: "127.0.0.1:${tcp}"
max_connections: 100000
max_pending: 1GB
write_deadline: "60s"
ping_interval: "1h"
websocket {
  listen: "127.0.0.1:${websocket}"
  no_tls: true
}
`;

/** nats-server, with its WebSocket listener. */
export const nats: Peer = {
  name: "nats",
  about: "nats-server's WebSocket; updates are published to it directly, which spares it Redis",
  missing: () => missingProgram("nats-server"),
  async start(place) {
    const [tcp, websocket] = [await freePort(), await freePort()];
    const file = join(place.directory, "nats.conf");
    writeFileSync(file, settings(tcp, websocket));
    const running = await serve(place, websocket, [program("nats-server") ?? "nats-server", "-c", file]);
    return { ...running, fanout: fanout(tcp) };
  },
};
