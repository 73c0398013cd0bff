import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../test/kit/free-port.ts";
import type { Fanout, Peer, Topic } from "../peer.ts";
import { missingProgram, program } from "./program.ts";
import { serve } from "./server.ts";
import { frame, upgrade } from "./websocket.ts";

function packet(type: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length: number[] = [];
  for (let rest = body.length; ; rest >>= 7) {
    length.push(rest < 0x80 ? rest : 0x80 | (rest & 0x7f));
    if (rest < 0x80) break;
  }
  return Buffer.concat([Buffer.from([type, ...length]), body]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

// MQTT 3.1.1, a clean session, no keep-alive, a name that the broker gives.
const connect = packet(0x10, text("MQTT"), Buffer.from([4, 2, 0, 0]), text(""));
const topicName = ({ exchange, symbol }: Topic) => `ticker_updates/${exchange}/${symbol}`;

function fanout(port: number): Fanout {
  return {
    client(topics) {
      const filters = topics.flatMap((topic) => [text(topicName(topic)), Buffer.from([0])]);
      const subscribe = packet(0x82, Buffer.from([0, 1]), ...filters);
      return [upgrade("/mqtt", "mqtt"), frame(connect), frame(subscribe)];
    },
    publisher: {
      port,
      greeting: [connect],
      message: (topic, payload) => packet(0x30, text(topicName(topic)), Buffer.from(payload)),
    },
  };
}

// It would leave messages out beyond a queue of its own, and nothing may be lost here.
const settings = (tcp: number, websocket: number) => `
user root
allow_anonymous true
persistence false
log_type error
max_connections -1
max_queued_messages 0
set_tcp_nodelay true
listener ${tcp} 127.0.0.1
listener ${websocket} 127.0.0.1
protocol websockets
`;

/** mosquitto, with MQTT 3.1.1 over WebSocket. */
export const mosquitto: Peer = {
  name: "mosquitto",
  about: "MQTT 3.1.1 over WebSocket, QoS 0; updates are published to it directly, which spares it Redis",
  missing: () => missingProgram("mosquitto"),
  async start(place) {
    const [tcp, websocket] = [await freePort(), await freePort()];
    const file = join(place.directory, "mosquitto.conf");
    writeFileSync(file, settings(tcp, websocket));
    const running = await serve(place, websocket, [program("mosquitto") ?? "mosquitto", "-c", file]);
    return { ...running, fanout: fanout(tcp) };
  },
};
