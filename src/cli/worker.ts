import type { Worker } from "node:cluster";
import { createLogger } from "../server/log.ts";
import { SettingError } from "../server/settings.ts";
import { CacheWebSocketServer } from "../server/websocket-server.ts";
import { Channel } from "./channel.ts";
import { explained } from "./explained.ts";
import { answerMs, type ToPrimary, type ToWorker } from "./questions.ts";

/** Serves as one of several processes, as the primary says, until it says stop. Its log lines carry its number. */
export async function work(self: Worker): Promise<void> {
  const primary = new Channel<ToPrimary, ToWorker>(self);
  const { number, settings } = await primary.ask("orders");
  try {
    const server = new CacheWebSocketServer({
      ...settings,
      log: createLogger(settings.logLevel, settings.logFormat).child({ worker: number }),
      // Twice as long as the primary waits for any of them.
      peers: {
        number,
        summaries: () => primary.ask("summaries", undefined, 2 * answerMs).catch(() => []),
        scrapes: () => primary.ask("scrapes", undefined, 2 * answerMs).catch(() => []),
      },
    });
    const stopped = new Promise<void>((stop) =>
      primary.answer({
        summary: () => server.summary,
        scrape: () => server.scrape,
        reload: () => server.reload(),
        stop,
      }),
    );
    await server.start();
    await primary.ask("listening", server.url);
    await stopped;
    await server.stop();
  } catch (error) {
    await primary.ask("refused", { reason: explained(error), isSetting: error instanceof SettingError });
  }
  // The channel would keep the process alive; node:cluster ends one that leaves it.
  process.disconnect();
}
