import { createClient } from "redis";
import { startRedisServer } from "../src/demo/redis-server.ts";
import { pin } from "./machine.ts";

/** The Redis of one run. */
export interface BenchRedis extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  /** Sends commands in one go; resolves when all of them are answered, rejects if one is refused. */
  send(commands: readonly (readonly string[])[]): Promise<void>;
}

/** Starts a Redis of our own on one core. It keeps nothing on disk, and waits for subscribers however slow they are. */
export async function startRedis(core: number): Promise<BenchRedis> {
  const unlimited = ["pubsub", "normal"].map((kind) => `${kind} 0 0 0`).join(" ");
  const server = await startRedisServer({ arguments: ["--client-output-buffer-limit", unlimited] });
  pin(core, server.pid);
  return {
    port: server.port,
    pid: server.pid,
    async send(commands) {
      const client = createClient({ url: server.url });
      await client.connect();
      try {
        await Promise.all(commands.map((words) => client.sendCommand([...words])));
      } finally {
        client.destroy();
      }
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

/** A command as it is sent to Redis. */
export function command(...words: readonly string[]): Buffer {
  return Buffer.from(
    `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`,
  );
}
