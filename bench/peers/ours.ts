import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../test/kit/free-port.ts";
import type { Fanout, Peer, Place } from "../peer.ts";
import { command } from "../redis.ts";
import { apiKey, ourFanout, ourQueries } from "./our-protocol.ts";
import { serve } from "./server.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
// Another build may stand in for it, to compare with.
const given = process.env["GATEWAY_MAIN"];
const main = given ?? join(root, "dist/cli/main.js");

let built = given !== undefined;

/** Builds the gateway if one of its sources is newer than what is built. */
function build(): void {
  if (built) return;
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  const newest = Math.max(...sources.map((name) => statSync(join(root, "src", name)).mtimeMs));
  const isCurrent = existsSync(main) && statSync(main).mtimeMs >= newest;
  if (!isCurrent) execFileSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: "inherit" });
  built = true;
}

/** The trading system writes each tick into the hash before it publishes it. */
function fanout(redisPort: number): Fanout {
  const { client, publisher } = ourFanout(redisPort);
  return {
    client,
    publisher: {
      ...publisher,
      message: (topic, payload) =>
        Buffer.concat([
          command("HSET", `tickers:${topic.exchange}`, topic.symbol, payload),
          publisher.message(topic, payload),
        ]),
    },
  };
}

/** The gateway as it is shipped, with everything that it does. */
export const ours: Peer = {
  name: "ours",
  about: "this gateway, as shipped, with authentication and limits; a tick is written into its hash and published",
  missing: async () => undefined,
  async start(place: Place) {
    build();
    const port = await freePort();
    const keys = join(place.directory, "keys.json");
    const sha256 = createHash("sha256").update(apiKey).digest("hex");
    const accounts = join(place.directory, "accounts.json");
    writeFileSync(accounts, '{"1": {"binance": 1}}');
    writeFileSync(keys, JSON.stringify({ bench: { sha256, scope: "*:read accounts:any" } }));
    // Every limit is on, and too high to be reached.
    const limits = ["connections", "connections-per-address", "connections-per-user"].flatMap((limit) => [
      `--max-${limit}`,
      "1000000",
    ]);
    const settings = [
      ...["--port", `${port}`, "--redis-port", `${place.redisPort}`, "--log-level", "warn"],
      ...[
        "--api-keys-file",
        keys,
        "--accounts-file",
        accounts,
        "--message-rate",
        "10000000",
        "--message-burst",
        "10000000",
        ...limits,
      ],
    ];
    const running = await serve(place, port, [process.execPath, main, "serve", ...settings, ...(place.flags ?? [])]);
    return { ...running, fanout: fanout(place.redisPort), queries: ourQueries };
  },
};
