import type { Frame } from "./gateway.ts";
import { canonical } from "./picture.ts";
import type { TestRedis } from "./redis.ts";

/** What Redis holds, by key: the fields of its hashes, the entries of its lists, its texts. */
interface Held {
  readonly hashes: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly lists: ReadonlyMap<string, readonly string[]>;
  readonly texts: ReadonlyMap<string, string>;
}

const members = ["type", "topic", "update_id", "snapshot", "epoch", "skipped", "removed"];
const finalStatuses = ["closed", "filled", "canceled", "cancelled", "expired", "rejected"];

/**
 * What every picture must be, worked out from Redis alone: read with all rights, and put into the form of the protocol by
 * code that shares nothing with the gateway's.
 */
export class Truth {
  readonly #held: Held;
  readonly #nowS: number;
  readonly #staleAfterS: number;
  readonly #known = new Map<string, readonly string[]>();

  private constructor(held: Held, nowS: number, staleAfterS: number) {
    this.#held = held;
    this.#nowS = nowS;
    this.#staleAfterS = staleAfterS;
  }

  /** Reads everything. */
  static async read({ admin }: TestRedis, staleAfterS: number): Promise<Truth> {
    const hashes = new Map<string, Record<string, string>>();
    const lists = new Map<string, string[]>();
    const texts = new Map<string, string>();
    await Promise.all(
      (await admin.keys("*")).map(async (key) => {
        const type = await admin.type(key);
        if (type === "hash") hashes.set(key, await admin.hGetAll(key));
        else if (type === "list") lists.set(key, await admin.lRange(key, 0, -1));
        else texts.set(key, (await admin.get(key)) ?? "");
      }),
    );
    return new Truth({ hashes, lists, texts }, Date.now() / 1000, staleAfterS);
  }

  /** Whether these are the items of a topic. */
  isTold(topic: string, items: readonly Frame[]): boolean {
    const given = comparable(topic, items);
    const expected = this.#expected(topic);
    return given.length === expected.length && given.every((text, at) => text === expected[at]);
  }

  /** What differs, for a message. */
  difference(topic: string, items: readonly Frame[]): string {
    const given = new Set(comparable(topic, items));
    const expected = new Set(this.#expected(topic));
    const excess = [...given].filter((text) => !expected.has(text));
    const missing = [...expected].filter((text) => !given.has(text));
    return `${topic}: ${excess.length} too many (${excess[0]}), ${missing.length} missing (${missing[0]})`;
  }

  /** The ids of the trades that stand in the lists of an exchange, by symbol without its slash. */
  trades(exchange: string, symbol?: string): Map<string, readonly number[]> {
    const prefix = `trades:${exchange}:`;
    const found = new Map<string, readonly number[]>();
    for (const [key, entries] of this.#held.lists) {
      if (!key.startsWith(prefix)) continue;
      const name = key.slice(prefix.length);
      if (symbol !== undefined && name !== symbol.replaceAll("/", "")) continue;
      found.set(
        name,
        entries.flatMap((text) => (parsed(text)?.["trade_id"] as number | undefined) ?? []),
      );
    }
    return found;
  }

  #expected(topic: string): readonly string[] {
    const known = this.#known.get(topic) ?? comparable(topic, this.#items(topic));
    this.#known.set(topic, known);
    return known;
  }

  #items(topic: string): readonly Frame[] {
    const [, kind = "", name = "", rest = ""] = /^([^:]*):?([^:]*):?(.*)$/.exec(topic) ?? [];
    if (kind === "tickers") return this.#tickers(name);
    if (kind === "ticker") return this.#tickers(name).filter(({ symbol }) => symbol === rest);
    if (kind === "orders") return this.#orders(name);
    if (kind === "order_queue") return [queue(name, this.#orders(name))];
    if (kind === "positions") return this.#positions(name);
    if (kind === "bots") return this.#bots();
    if (kind === "bot") return this.#bots().filter(({ bot_id }) => bot_id === name);
    if (kind === "ohlcv") return this.#bars(name, rest);
    if (kind === "process_health") return [this.#health()];
    throw new Error(`nothing is known of ${topic}`);
  }

  /** The fields of a hash whose values are objects. */
  #objects(key: string): [string, Frame][] {
    return Object.entries(this.#held.hashes.get(key) ?? {}).flatMap(([field, text]): [string, Frame][] => {
      const value = parsed(text);
      return value ? [[field, value]] : [];
    });
  }

  #tickers(exchange: string): Frame[] {
    return this.#objects(`tickers:${exchange}`).map(([symbol, { time, ...stored }]) => ({
      ...nulls(stored, "price", "volume"),
      exchange,
      symbol,
      timestamp: unix(time),
    }));
  }

  #orders(exchange: string): Frame[] {
    return this.#objects(`order_status:${exchange}`).map(([id, { order_id, exchange: own, ...stored }]) => ({
      ...nulls(stored, "symbol", "status", "side", "order_type", "volume", "final_volume", "price"),
      order_id: id,
      exchange,
      timestamp: unix(stored["timestamp"]),
      ...((order_id ?? id) !== id && { stored_order_id: order_id }),
      ...((own ?? exchange) !== exchange && { stored_exchange: own }),
    }));
  }

  #positions(account: string): Frame[] {
    const [, stored = {}] = this.#objects("account_positions").find(([id]) => id === account) ?? [];
    return Object.entries(stored).flatMap(([symbol, value]) => {
      if (!isObject(value)) return [];
      const position = nulls(value, "volume", "price", "cost", "fee");
      return [{ ...position, user_id: account, exchange: null, symbol, timestamp: unix(value["timestamp"]) }];
    });
  }

  #bots(): Frame[] {
    return this.#objects("bot_status").map(([id, stored]) => {
      const entries = Object.entries(stored);
      const feeds = entries.flatMap(([name, value]): [string, Frame][] =>
        isObject(value)
          ? [[name, { ...value, ...("timestamp" in value && { timestamp: unix(value["timestamp"]) }) }]]
          : [],
      );
      const statuses = [...new Set(feeds.map(([, { status }]) => (typeof status === "string" ? status : "unknown")))];
      const worst = ["error", "running"].find((name) => statuses.includes(name));
      const times = feeds.map(([, { timestamp }]) => timestamp).filter((time) => typeof time === "number");
      return {
        ...Object.fromEntries(entries.filter(([, value]) => !isObject(value))),
        bot_id: id,
        // What it says of itself goes before what its feeds say.
        status:
          typeof stored["status"] === "string"
            ? stored["status"]
            : (worst ?? (statuses.length > 1 ? "mixed" : (statuses[0] ?? "unknown"))),
        feeds: Object.fromEntries(feeds),
        timestamp: unix(stored["timestamp"]) ?? (times.length > 0 ? Math.max(...times) : null),
      };
    });
  }

  #bars(symbol: string, timeframe: string): Frame[] {
    const latest = new Map<number, Frame>();
    for (const text of this.#held.lists.get(`ohlcv:${symbol}:${timeframe}`) ?? []) {
      const [timestamp = 0, open, high, low, close, volume] = JSON.parse(text) as number[];
      latest.set(timestamp, { symbol, timeframe, timestamp, open, high, low, close, volume });
    }
    return [...latest.values()];
  }

  #health(): Frame {
    const ids = [...this.#held.hashes].flatMap(([key, fields]) =>
      key.startsWith("process:active:") ? Object.keys(fields) : [],
    );
    const processes = [...new Set(ids)].flatMap((id) => {
      const stored = parsed(this.#held.texts.get(`process:data:${id}`) ?? "");
      if (!stored) return [];
      const beat = unix(stored["heartbeat"]) ?? unix(stored["updated_at"]);
      const stale = beat === null || this.#nowS - beat > this.#staleAfterS;
      return [{ ...nulls(stored, "component", "status", "process_type"), process_id: id, stale } as Frame];
    });
    const problems = processes.filter(({ stale, status }) => stale || status === "error");
    const count = (name: string) =>
      processes.reduce<Record<string, number>>((counts, one) => {
        const value = String(one[name] ?? "unknown");
        counts[value] = (counts[value] ?? 0) + 1;
        return counts;
      }, {});
    return {
      healthy: problems.length === 0,
      total_processes: processes.length,
      by_type: count("process_type"),
      by_status: count("status"),
      stale_processes: processes.filter(({ stale }) => stale).length,
      error_processes: processes.filter(({ status }) => status === "error").length,
      problems: problems
        .map(({ process_id, component, status, stale }) => ({ process_id, component, status, stale }))
        .sort((a, b) => (String(a.process_id) < String(b.process_id) ? -1 : 1)),
    };
  }
}

function queue(exchange: string, orders: readonly Frame[]): Frame {
  const by_status: Record<string, number> = {};
  for (const { status } of orders)
    by_status[String(status ?? "unknown")] = (by_status[String(status ?? "unknown")] ?? 0) + 1;
  const open = orders.filter(({ status }) => !finalStatuses.includes(String(status).toLowerCase()));
  return { exchange, queue_length: open.length, total: orders.length, by_status };
}

/** Items as texts that can be compared; what the protocol adds does not count, nor when a summary was made. */
function comparable(topic: string, items: readonly Frame[]): readonly string[] {
  const isSummary = topic === "process_health" || topic.startsWith("order_queue:");
  const ignored = isSummary ? [...members, "timestamp"] : members;
  return items
    .map((item) => canonical(Object.fromEntries(Object.entries(item).filter(([name]) => !ignored.includes(name)))))
    .toSorted();
}

function isObject(value: unknown): value is Frame {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a text says; undefined where it is no object. */
function parsed(text: string): Frame | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Null for each of the named members that is missing. */
function nulls(stored: Frame, ...names: readonly string[]): Frame {
  return { ...Object.fromEntries(names.map((name) => [name, null])), ...stored };
}

/** Unix seconds of a number of seconds, or of what Python's isoformat() gives. */
function unix(value: unknown): number | null {
  if (typeof value !== "string") return typeof value === "number" ? value : null;
  const [, second, microseconds = "0"] = /^(.*?)(?:\.(\d+))?(?:\+00:00|Z)?$/.exec(value) ?? [];
  const found = Number(`${Date.parse(`${second}Z`) / 1000}.${microseconds}`);
  return Number.isNaN(found) ? null : found;
}
