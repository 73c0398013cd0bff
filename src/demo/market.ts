import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "redis";
import type { Command } from "./command.ts";
import { marker } from "./fleet.ts";
import { exchanges } from "./prices.ts";
import { World } from "./world.ts";

/** A simulated trading system that keeps writing into a Redis, as the real one would. */
export interface Market extends AsyncDisposable {
  /** The symbols of each exchange. */
  readonly exchanges: Readonly<Record<string, readonly string[]>>;
  /** Moves everything by one step and resolves once Redis has it. */
  tick(): Promise<void>;
  /** Ends the writing; safe to call again. */
  stop(): Promise<void>;
}

/** How fast the market moves (0: only by `tick()`), and the seed that fixes its course. */
export interface MarketOptions {
  readonly intervalMs?: number;
  readonly seed?: number;
  /** Write even where another trading system's data was found. */
  readonly overwrite?: boolean;
}

const slowMs = 3_000;

/** Fills a Redis with a small market and keeps it moving; refuses one that holds a real trading system's data. */
export async function startMarket(redisUrl: string, options: MarketOptions = {}): Promise<Market> {
  const { intervalMs = 500, seed = 1, overwrite = false } = options;
  const world = new World(seed, Date.now());
  const slowEvery = intervalMs === 0 ? 1 : Math.max(1, Math.round(slowMs / intervalMs));
  const client = createClient({
    url: redisUrl,
    // While Redis is away a round is lost, not kept: old prices are worth nothing.
    disableOfflineQueue: true,
    socket: { reconnectStrategy: (retries) => (connected ? Math.min(50 * 2 ** retries, 2_000) : false) },
  });
  let connected = false;
  client.on("error", () => {});
  await client.connect();
  connected = true;

  const write = async (commands: readonly Command[]) => {
    await Promise.all(commands.map((command) => client.sendCommand(command)));
  };
  const round = () => write(world.round(Date.now(), slowEvery));
  const isOurs = async () => Boolean(await client.hExists("process:components", marker));
  const fill = async () => {
    if (!overwrite && !(await isOurs()) && (await holdsData(client))) {
      throw new Error("This Redis holds a trading system's data, and a simulated market must not write over it.");
    }
    await write(world.all(Date.now()));
  };
  const ended = new AbortController();
  const run = async () => {
    while (!ended.signal.aborted) {
      await delay(intervalMs, undefined, { signal: ended.signal });
      // A Redis that went away comes back, perhaps empty: then the whole market is written anew.
      await ((await isOurs()) ? round() : fill());
    }
  };
  const keepRunning = async () => {
    while (!ended.signal.aborted) await run().catch(() => {});
  };

  await fill().catch((error: unknown) => {
    client.destroy();
    throw error;
  });
  const running = intervalMs > 0 ? keepRunning() : Promise.resolve();
  const stop = async () => {
    ended.abort();
    if (client.isOpen) client.destroy();
    await running;
  };
  return { exchanges, tick: round, stop, [Symbol.asyncDispose]: stop };
}

async function holdsData(client: { exists(keys: string[]): Promise<number> }): Promise<boolean> {
  const tickers = Object.keys(exchanges).map((exchange) => `tickers:${exchange}`);
  return (await client.exists(["accounts", "account_positions", "bot_status", ...tickers])) > 0;
}
