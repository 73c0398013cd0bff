import { type Account, cents, type Fill } from "./account.ts";
import type { Command } from "./command.ts";
import { significant } from "./prices.ts";
import { dumps, isoTime } from "./python.ts";
import type { Random } from "./random.ts";
import { trade } from "./trades.ts";

/** A bot and the one symbol it trades. */
export interface Trader {
  readonly bot: number;
  readonly symbol: string;
}

interface Order extends Trader {
  readonly id: string;
  readonly type: "limit" | "market";
  readonly side: "buy" | "sell";
  readonly volume: number;
  readonly price: number;
  filled: number;
  savedMs: number;
  status: "open" | "partially_filled" | "filled" | "canceled";
}

const kept = 40;
const reported = 100;
const most = 4;

/** The orders of one exchange, from opening to their end, and what they do to its account. */
export class Orders {
  readonly account: Account;
  readonly exchange: string;
  readonly traders: readonly Trader[];
  readonly #random: Random;
  readonly #price: (symbol: string) => number;
  readonly #orders = new Map<string, Order>();
  readonly #mailboxes: string[] = [];
  readonly #reports: string[] = [];
  #count = 0;

  constructor(
    exchange: string,
    account: Account,
    traders: readonly Trader[],
    random: Random,
    price: (symbol: string) => number,
  ) {
    this.exchange = exchange;
    this.account = account;
    this.traders = traders;
    this.#random = random;
    this.#price = price;
  }

  /** Writes every order there is and the latest fills, for a Redis that knows none of them. */
  all(): Command[] {
    const orders = [...this.#orders.values()].flatMap((order) => [...this.#save(order), ...this.#mark(order)]);
    return [...orders, ["RPUSH", this.#fills, ...this.#reports]];
  }

  /** Lets every open order go on a little, opens another if few are left, and forgets the oldest that ended. */
  round(nowMs: number): Command[] {
    const commands: Command[] = this.#mailboxes.splice(0).map((mailbox) => ["LPOP", mailbox]);
    commands.push(...[...this.#orders.values()].filter(isActive).flatMap((order) => this.#advance(order, nowMs)));
    if ([...this.#orders.values()].filter(isActive).length < most) commands.push(...this.#open(nowMs));
    for (const order of this.#orders.values()) {
      if (this.#orders.size <= kept) break;
      if (isActive(order)) continue;
      this.#orders.delete(order.id);
      commands.push(["HDEL", `order_status:${this.exchange}`, order.id]);
    }
    return commands;
  }

  #open(nowMs: number): Command[] {
    const trader = this.traders[this.#count % this.traders.length];
    if (trader === undefined) return [];
    const price = this.#price(trader.symbol);
    const volume = significant(this.#random.between(200, 2_000) / price);
    const held = this.account.position(trader.symbol).volume;
    const sells = held > volume * most && (this.#random.chance(0.5) || this.account.cash < 10_000);
    const side = sells ? "sell" : "buy";
    const type = this.#random.chance(0.15) ? "market" : "limit";
    const limit = significant(price * (side === "buy" ? 0.9995 : 1.0005));
    const id = `${this.exchange.toUpperCase()}-${1_000 + this.#count++}`;
    const order: Order = { ...trader, id, type, side, volume, price: limit, filled: 0, savedMs: nowMs, status: "open" };
    this.#orders.set(id, order);
    // Its bot wakes and takes the id from this list, here in the next round.
    const mailbox = `new_orders:LOCAL-${id}`;
    this.#mailboxes.push(mailbox);
    return [["RPUSH", mailbox, id], ...this.#save(order), ...this.#mark(order)];
  }

  #advance(order: Order, nowMs: number): Command[] {
    const luck = this.#random.next();
    const share = this.#random.between(0.2, 0.6);
    if (luck < 0.55) return [];
    order.savedMs = nowMs;
    if (luck < 0.6) {
      order.status = "canceled";
      return [...this.#save(order), ...this.#mark(order)];
    }
    const left = order.volume - order.filled;
    const volume = cents(luck < 0.8 ? left * share : left);
    order.filled = luck < 0.8 ? cents(order.filled + volume) : order.volume;
    order.status = luck < 0.8 ? "partially_filled" : "filled";
    const price = order.type === "market" ? this.#price(order.symbol) : order.price;
    const fill: Fill = { symbol: order.symbol, side: order.side, volume, price, fee: cents(volume * price * 0.001) };
    this.account.book(fill);
    return [...this.#save(order), ...this.#report(order, fill), ...this.#mark(order)];
  }

  #save(order: Order): Command[] {
    const key = `order_status:${this.exchange}`;
    const id = BigInt(this.account.id);
    const value = dumps({
      order_id: order.id,
      bot_id: BigInt(order.bot),
      uid: id,
      ex_id: id,
      cat_ex_id: id,
      ex_order_id: order.id,
      exchange: this.exchange,
      symbol: order.symbol,
      order_type: order.type,
      side: order.side,
      volume: order.volume,
      final_volume: order.filled === 0 ? null : order.filled,
      price: order.type === "market" ? null : order.price,
      plimit: null,
      tick: null,
      futures: false,
      leverage: 1,
      status: order.status,
      command: null,
      reason: order.status === "canceled" ? "canceled by bot" : null,
      timestamp: isoTime(order.savedMs),
    });
    const saved: Command = ["HSET", key, order.id, value];
    return order.status === "canceled" ? [saved, ["EXPIRE", key, "3600"]] : [saved];
  }

  #mark({ symbol, bot, savedMs }: Order): Command[] {
    const place = `${this.exchange}:${symbol}`;
    const opening = [...this.#orders.values()].some((order) => isActive(order) && order.symbol === symbol);
    return opening
      ? [["HSET", "opening_position", place, `${bot}:${isoTime(savedMs)}`]]
      : [["HDEL", "opening_position", place]];
  }

  #report(order: Order, fill: Fill): Command[] {
    const { id, type, savedMs } = order;
    const position = this.account.position(order.symbol);
    const account = this.account.id;
    const value = trade({ ...fill, id: `${id}-${position.count}`, order: id, type, account, position, nowMs: savedMs });
    this.#reports.push(value);
    if (this.#reports.length > reported) this.#reports.shift();
    return [
      ["RPUSH", this.#fills, value],
      ["LTRIM", this.#fills, "-500", "-1"],
      ["SET", `USER_TRADE:STATUS:${account}:${this.exchange}`, isoTime(savedMs)],
    ];
  }

  get #fills(): string {
    return `user_trades:${this.account.id}:${this.exchange}`;
  }
}

function isActive({ status }: Order): boolean {
  return status === "open" || status === "partially_filled";
}
