import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CacheWebSocketServer } from "../../src/server/websocket-server.ts";

/** Where a gateway listens besides its port. */
export interface SocketFile extends Disposable {
  readonly url: string;
}

/** Lets a gateway listen on a socket file, too: its buffers are small, so a client that stops reading is soon felt. */
export async function listenOnFile(server: CacheWebSocketServer): Promise<SocketFile> {
  const path = join(tmpdir(), `fullon-cache-api-${randomUUID()}.sock`);
  const http = createServer().on("upgrade", (request, socket, head) => server.handleUpgrade(request, socket, head));
  await once(http.listen(path), "listening");
  return { url: `ws+unix:${path}:/`, [Symbol.dispose]: () => void http.close() };
}
