import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../test/kit/free-port.ts";
import { families, openFilesAllowed } from "../machine.ts";
import type { Fanout, Peer, Topic } from "../peer.ts";
import { missingProgram, program } from "./program.ts";
import { serve } from "./server.ts";
import { upgrade } from "./websocket.ts";

const module = "/usr/lib/nginx/modules/ngx_nchan_module.so";

const channel = ({ exchange, symbol }: Topic) => `${exchange}:${symbol}`.replaceAll(/[^\w:-]/g, "_");

function fanout(port: number): Fanout {
  return {
    client: (topics) => [upgrade(`/sub/${topics.map(channel).join(",")}`)],
    publisher: {
      port,
      greeting: [],
      message: (topic, payload) =>
        Buffer.from(
          `POST /pub/${channel(topic)} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${Buffer.byteLength(payload)}\r\n\r\n${payload}`,
        ),
    },
  };
}

// Every message that is under way must fit in the buffer, or slow subscribers would miss it.
const settings = (port: number, directory: string) => `
load_module ${module};
daemon off;
worker_processes 1;
worker_rlimit_nofile ${openFilesAllowed()};
${process.getuid?.() === 0 ? "user root;" : ""}
pid ${directory}/nginx.pid;
error_log ${directory}/error.log error;
events { worker_connections ${openFilesAllowed()}; }
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/${name};`).join("\n  ")}
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  tcp_nodelay on;
  nchan_shared_memory_size 512M;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location ~ ^/sub/(.+)$ {
      nchan_subscriber websocket;
      nchan_channel_id $1;
      nchan_channel_id_split_delimiter ",";
      nchan_subscriber_first_message newest;
    }
    location ~ ^/pub/(.+)$ {
      nchan_publisher http;
      nchan_channel_id $1;
      nchan_message_buffer_length 1000;
      nchan_message_timeout 10s;
    }
  }
}
`;

/** nginx with nchan. */
export const nchan: Peer = {
  name: "nchan",
  about: "nginx with nchan, one worker; updates are posted to it directly, which spares it Redis",
  missing: () => missingProgram("nginx", module),
  async start(place) {
    const port = await freePort();
    const file = join(place.directory, "nginx.conf");
    writeFileSync(file, settings(port, place.directory));
    const running = await serve(place, port, [program("nginx") ?? "nginx", "-p", place.directory, "-c", file]);
    // It listens before it has a worker.
    for (let tries = 0; families(running.pids).length < 2 && tries < 1_000; tries++) await sleep(5);
    return { ...running, fanout: fanout(port) };
  },
};
