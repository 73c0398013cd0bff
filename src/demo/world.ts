import { Account } from "./account.ts";
import { Bars } from "./bars.ts";
import type { Command } from "./command.ts";
import { Fleet } from "./fleet.ts";
import { Orders } from "./orders.ts";
import { exchanges, Prices } from "./prices.ts";
import { Random } from "./random.ts";
import { Trades } from "./trades.ts";

/** Rounds played before the first is shown, so that orders and positions have a past. */
const pastRounds = 60;

/** Everything that is simulated, as the commands that write it; it knows neither a clock nor a connection. */
export class World {
  readonly #prices: Prices;
  readonly #orders: readonly Orders[];
  readonly #trades: Trades;
  readonly #bars: Bars;
  readonly #fleet: Fleet;
  #rounds = 0;

  constructor(seed: number, nowMs: number) {
    // Each part has its own chance: what one of them draws never moves another.
    const prices = new Prices(new Random(seed));
    this.#prices = prices;
    const dealings = [
      {
        exchange: "binance",
        account: new Account("1", "USDT", "fullon"),
        traders: ["BTC/USDT", "ETH/USDT"],
        firstBot: 1,
      },
      { exchange: "kraken", account: new Account("2", "USD", "ccxt"), traders: ["BTC/USD"], firstBot: 3 },
    ];
    this.#orders = dealings.map(({ exchange, account, traders, firstBot }, index) => {
      const bots = traders.map((symbol, position) => ({ bot: firstBot + position, symbol }));
      return new Orders(exchange, account, bots, new Random(seed + 1 + index), (symbol) => prices.of(exchange, symbol));
    });
    for (let round = 0; round < pastRounds; round++) {
      prices.move();
      for (const orders of this.#orders) orders.round(nowMs - (pastRounds - round) * 1_000);
    }
    this.#trades = new Trades(new Random(seed + 10), prices);
    this.#bars = new Bars(new Random(seed + 11), prices, nowMs);
    this.#fleet = new Fleet(this.#orders, (exchange, symbol) => prices.of(exchange, symbol), nowMs);
  }

  /** Writes all there is into a Redis from which an earlier world is removed first. */
  all(nowMs: number): Command[] {
    return [
      ["DEL", ...this.#keys()],
      ...this.#fleet.heartbeats(nowMs),
      ...this.#prices.tickers(nowMs),
      ...this.#accounts(nowMs),
      ...this.#orders.flatMap((orders) => orders.all()),
      ...this.#fleet.bots(nowMs),
      ...this.#trades.past(nowMs),
      ...this.#bars.all(),
    ];
  }

  /** Lets everything move by one step; every `slowEvery` rounds heartbeats and unfinished bars are written too. */
  round(nowMs: number, slowEvery: number): Command[] {
    const slow = this.#rounds++ % slowEvery === 0;
    this.#prices.move();
    return [
      ...this.#prices.tickers(nowMs),
      ...this.#orders.flatMap((orders) => orders.round(nowMs)),
      ...this.#accounts(nowMs),
      ...this.#fleet.bots(nowMs),
      ...this.#trades.round(nowMs),
      ...this.#bars.round(nowMs, slow),
      ...(slow ? this.#fleet.heartbeats(nowMs) : []),
    ];
  }

  #accounts(nowMs: number): Command[] {
    return this.#orders.flatMap(({ account, exchange }) =>
      account.commands(nowMs, (symbol) => this.#prices.of(exchange, symbol)),
    );
  }

  #keys(): string[] {
    const listed = Object.entries(exchanges).flatMap(([exchange, symbols]) => [
      `tickers:${exchange}`,
      ...symbols.map((symbol) => `trades:${exchange}:${symbol.replaceAll("/", "")}`),
    ]);
    const own = this.#orders.flatMap(({ account, exchange }) => [
      `order_status:${exchange}`,
      `user_trades:${account.id}:${exchange}`,
    ]);
    const processes = ["tick", "ohlcv", "account", "bot"].map((type) => `process:active:${type}`);
    const shared = [
      "accounts",
      "account_positions",
      "bot_status",
      "block_exchange",
      "opening_position",
      "process:components",
    ];
    return [...listed, ...own, ...processes, ...shared, ...this.#bars.keys];
  }
}
