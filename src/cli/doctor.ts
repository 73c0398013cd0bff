import type { CacheClient } from "../client/websocket-client.ts";
import { CacheError } from "../protocol/errors.ts";
import { printable } from "../protocol/printable.ts";
import { Redis } from "../redis/redis.ts";
import { version } from "../server/package.ts";
import { redisOptions } from "../server/redis-options.ts";
import { CannotConnect, type Command, type Given } from "./command.ts";
import { dataFindings } from "./data-findings.ts";
import { Ending } from "./ending.ts";
import { type Finding, findingLines, findingsOf, some } from "./finding.ts";
import { settingFlags, settingsFor } from "./flags.ts";
import { connect, gatewayFlags } from "./gateway.ts";
import { failureFinding, gatewayFindings, latencyFindings } from "./gateway-findings.ts";
import { redisFindings } from "./redis-findings.ts";
import type { Terminal } from "./terminal.ts";

const watchFor = "3s";

/** Looks at a deployment from Redis to the client, and says what to do about what is wrong. It only reads. */
export const doctor: Command = {
  about: "Looks at a deployment, Redis and gateway, and says what is wrong and what to do about it. It only reads.",
  flags: {
    json: { about: "one finding per line, as JSON" },
    for: { value: "<time>", about: `how long to watch updates, to see how late they are (${watchFor})` },
    ...gatewayFlags,
    ...settingFlags,
  },
  notes: `The settings are those of the gateway that is looked at; which Redis it uses is all that counts here. The exit code is
1 if something is wrong. What is marked "?" cannot be known from here.`,
  examples: () => [
    ["doctor"],
    ["doctor --redis-url redis://localhost:6379 --url ws://localhost:8765"],
    ["doctor --json --for 30s"],
  ],
  async run(given, terminal) {
    const asJson = given.flag("json") !== undefined;
    let wrong = 0;
    for await (const finding of findings(given, terminal)) {
      if (terminal.signal.aborted) throw terminal.signal.reason;
      if (finding.level === "wrong") wrong++;
      if (asJson) terminal.out(printable(JSON.stringify(finding)));
      else for (const line of findingLines(finding)) terminal.out(line);
    }
    if (wrong > 0) throw new Error(`${some(wrong, "thing is", "things are")} wrong`);
  },
};

async function* findings(given: Given, terminal: Terminal): AsyncGenerator<Finding> {
  const settings = settingsFor(given, terminal);
  // To send what must not be carried out is for a gateway that insists on it.
  const options = { ...redisOptions(settings), requireReadOnly: false };
  using reached = yield* redisFindings(options);
  const redis = new Redis(options, { up: () => {}, down: () => {} });
  try {
    if (reached) {
      await redis.start();
      yield* dataFindings(redis.cache, reached.ask, { staleAfter: settings.staleAfterS });
    }
    yield* throughGateway(given, terminal, reached && redis);
  } finally {
    await redis.close();
  }
}

/** Looks at the gateway, and at how late its updates are where Redis could be reached as well. */
async function* throughGateway(given: Given, terminal: Terminal, redis: Redis | undefined): AsyncGenerator<Finding> {
  let cache: CacheClient;
  try {
    cache = await connect(given, terminal);
  } catch (error) {
    if (!(error instanceof CannotConnect)) throw error;
    yield findingsOf("gateway")("wrong", error.message, "--url says where it is, FULLON_CACHE_TOKEN who you are");
    return;
  }
  await using _cache = cache;
  try {
    yield* gatewayFindings(cache, version);
    if (!redis) return;
    using ending = new Ending(given, terminal, watchFor);
    yield* latencyFindings(cache, redis, ending.signal);
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    yield failureFinding(error);
  }
}
