import { type Static, Type } from "typebox";
import { CacheError } from "../protocol/errors.ts";
import { decodeObject, decodeText, isObject, type Stored, seconds, Unreadable } from "../redis/values.ts";
import { items, readable } from "./changes.ts";
import { Exchange, Id, Open, Text, Timestamp, TradingSymbol } from "./fields.ts";
import { domain, liveQuery, query, topicName } from "./operation.ts";

/** What one bot says of itself. */
export const Bot = Open("Bot", {
  bot_id: Type.String(),
  status: Type.String({
    description: "error if a feed has failed, running if one runs, else what they have in common, mixed, or unknown",
  }),
  feeds: Type.Record(Type.String(), Type.Record(Type.String(), Type.Unknown()), { description: "by name" }),
  timestamp: Timestamp,
});
export type Bot = Static<typeof Bot>;

/** Whether a bot keeps others from trading a symbol. */
export const Block = Open("Block", {
  exchange: Type.String(),
  symbol: Type.String(),
  is_blocked: Type.Boolean(),
  blocked_by: Text("the bot"),
});
export type Block = Static<typeof Block>;

/** Whether a bot is opening a position. */
export const Opening = Open("Opening", {
  exchange: Type.String(),
  symbol: Type.String(),
  is_opening: Type.Boolean(),
  bot_id: Text("the bot"),
  since: Timestamp,
});
export type Opening = Static<typeof Opening>;

type Feeds = Bot["feeds"];

function statusOf(feeds: Feeds): string {
  const statuses = new Set(
    Object.values(feeds).map((feed) => (typeof feed["status"] === "string" ? feed["status"] : "unknown")),
  );
  if (statuses.has("error")) return "error";
  if (statuses.has("running")) return "running";
  const [only, ...others] = statuses;
  return only !== undefined && others.length === 0 ? only : statuses.size === 0 ? "unknown" : "mixed";
}

function bot(botId: string, stored: Stored): Bot {
  const members = Object.entries(stored);
  const feeds: Feeds = Object.fromEntries(
    members
      .filter((member): member is [string, Stored] => isObject(member[1]))
      .map(([name, feed]) => [
        name,
        { ...feed, ...("timestamp" in feed && { timestamp: seconds(feed["timestamp"]) }) },
      ]),
  );
  const extra = Object.fromEntries(members.filter(([, value]) => !isObject(value)));
  const times = Object.values(feeds).flatMap(({ timestamp }) => (typeof timestamp === "number" ? [timestamp] : []));
  const own = extra["status"];
  return {
    ...extra,
    bot_id: botId,
    status: typeof own === "string" ? own : statusOf(feeds),
    feeds,
    timestamp: seconds(extra["timestamp"]) ?? times.toSorted((a, b) => a - b).at(-1) ?? null,
  };
}

const botsKey = "bot_status";
const blocksKey = "block_exchange";
const openingsKey = "opening_position";

function readBot(botId: string, raw: string): Bot {
  return decodeObject({ key: botsKey, field: botId }, raw, (stored) => bot(botId, stored));
}

function readBlock(field: string, blockedBy: string): Block {
  const colon = field.indexOf(":");
  // Not JSON: the text itself is the bot's id.
  return decodeText({ key: blocksKey, field }, blockedBy, () => {
    if (colon < 0) throw new Unreadable("the field is not {exchange}:{symbol}");
    return { exchange: field.slice(0, colon), symbol: field.slice(colon + 1), is_blocked: true, blocked_by: blockedBy };
  });
}

// A bot id may contain a colon, so the time is what stands at the end.
const openingValue = /^(.*?):(\d{4}-\d\d-\d\d[T ].*)$/s;

/** Bots, and what they hold back from others: what `fullon_cache`'s `BotCache` holds. */
export const bots = domain({
  /** What one bot says of itself. */
  getBotStatus: query({
    about: "What one bot says of itself.",
    mirrors: "BotCache.get_bot_status",
    reads: "HGET bot_status {bot_id}",
    params: { bot_id: Id("the bot") },
    result: Bot,
    errors: ["BOT_NOT_FOUND"],
    async read({ cache }, { bot_id }) {
      const botId = String(bot_id);
      const raw = await cache.hget(botsKey, botId);
      if (raw === null) throw new CacheError("BOT_NOT_FOUND", `no bot ${botId}`);
      return readBot(botId, raw);
    },
  }),

  /** All bots. */
  getBots: query({
    about: "What every bot says of itself.",
    mirrors: "BotCache.get_bots",
    reads: "HGETALL bot_status",
    params: {},
    result: Type.Array(Bot),
    async read(reading) {
      return readable(reading, await reading.cache.hgetall(botsKey), readBot);
    },
  }),

  /** Whether a bot keeps others from trading a symbol. */
  isBlocked: query({
    about: "Whether a bot keeps others from trading a symbol, and which.",
    mirrors: "BotCache.is_blocked",
    reads: "HGET block_exchange {exchange}:{symbol}",
    params: { exchange: Exchange, symbol: TradingSymbol },
    result: Block,
    async read({ cache }, { exchange, symbol }) {
      const field = `${exchange}:${symbol}`;
      const blockedBy = await cache.hget(blocksKey, field);
      if (!blockedBy) return { exchange, symbol, is_blocked: false, blocked_by: null };
      // The exchange may have a colon in its name, so what was asked for says better what it is than the field.
      return { ...readBlock(field, blockedBy), exchange, symbol };
    },
  }),

  /** Everything that is blocked. */
  getBlocks: query({
    about: "Every symbol that a bot keeps others from trading.",
    mirrors: "BotCache.get_blocks",
    reads: "HGETALL block_exchange",
    params: {},
    result: Type.Array(Block),
    async read(reading) {
      const held = [...(await reading.cache.hgetall(blocksKey))].filter(([, blockedBy]) => blockedBy !== "");
      return readable(reading, held, readBlock);
    },
  }),

  /** Whether a bot is opening a position. */
  isOpeningPosition: query({
    about: "Whether a bot is opening a position on a symbol, which, and since when.",
    mirrors: "BotCache.is_opening_position",
    reads: "HGET opening_position {exchange}:{symbol}",
    params: { exchange: Exchange, symbol: TradingSymbol },
    result: Opening,
    async read({ cache }, { exchange, symbol }) {
      const field = `${exchange}:${symbol}`;
      const raw = await cache.hget(openingsKey, field);
      if (raw === null) return { exchange, symbol, is_opening: false, bot_id: null, since: null };
      return decodeText({ key: openingsKey, field }, raw, (text) => {
        const [, botId, since] = openingValue.exec(text) ?? [];
        if (botId === undefined) throw new Unreadable("it is not {bot_id}:{time}");
        return { exchange, symbol, is_opening: true, bot_id: botId, since: seconds(since) };
      });
    },
  }),

  /** One bot or all of them, now and whenever one says something new. */
  streamBotStatus: liveQuery({
    about: "One bot or all of them, now and whenever one says something new.",
    mirrors: "BotCache.get_bots",
    reads: "HGETALL bot_status, or HGET bot_status {bot_id}",
    params: { bot_id: Type.Optional(Id("the bot; all of them if left out")) },
    type: "bot_status_update",
    update: Bot,
    identity: ["bot_id"],
    topics(_reading, { bot_id }) {
      const botId = bot_id === undefined ? undefined : String(bot_id);
      const open = () =>
        items({
          watch: { keys: [botsKey] },
          async texts({ cache }) {
            if (botId === undefined) return cache.hgetall(botsKey);
            const raw = await cache.hget(botsKey, botId);
            return new Map(raw === null ? [] : [[botId, raw]]);
          },
          item: readBot,
        });
      return [{ name: botId === undefined ? "bots" : topicName("bot", botId), open }];
    },
  }),
});
