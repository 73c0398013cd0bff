import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/** A port on which nobody listens, for servers that come later, or come back. */
export async function freePort(): Promise<number> {
  for (;;) {
    // Below the ports that outgoing connections use: a client that dials where nobody listens must not get itself.
    const port = randomInt(20_000, 32_768);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}
