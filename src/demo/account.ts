import type { Command } from "./command.ts";
import { dumps, isoTime } from "./python.ts";

/** What an account holds of one symbol. */
export interface Position {
  volume: number;
  cost: number;
  fee: number;
  count: number;
}

/** A part of an order that was bought or sold. */
export interface Fill {
  readonly symbol: string;
  readonly side: "buy" | "sell";
  readonly volume: number;
  readonly price: number;
  readonly fee: number;
}

/** An exchange account: its cash and the positions that fills have built. */
export class Account {
  readonly id: string;
  readonly positions = new Map<string, Position>();
  readonly #currency: string;
  readonly #shape: "fullon" | "ccxt";
  #cash = 50_000;

  constructor(id: string, currency: string, shape: "fullon" | "ccxt") {
    this.id = id;
    this.#currency = currency;
    this.#shape = shape;
  }

  /** The cash that is left to spend. */
  get cash(): number {
    return this.#cash;
  }

  /** The position in a symbol, empty if it was never traded. */
  position(symbol: string): Position {
    const held = this.positions.get(symbol) ?? { volume: 0, cost: 0, fee: 0, count: 0 };
    this.positions.set(symbol, held);
    return held;
  }

  /** Books a fill: cash against volume, at the average cost. */
  book({ symbol, side, volume, price, fee }: Fill): void {
    const position = this.position(symbol);
    const sign = side === "buy" ? 1 : -1;
    const average = position.volume === 0 ? price : position.cost / position.volume;
    position.cost = cents(Math.max(0, position.cost + sign * volume * (side === "buy" ? price : average)));
    position.volume = cents(Math.max(0, position.volume + sign * volume));
    position.fee = cents(position.fee + fee);
    position.count += 1;
    this.#cash = cents(this.#cash - sign * volume * price - fee);
  }

  /** Writes balances and positions as `AccountCache` does; `price` tells what a symbol costs now. */
  commands(nowMs: number, price: (symbol: string) => number): Command[] {
    const held = [...this.positions].map(([symbol, position]) => [
      symbol,
      { ...position, price: price(symbol), timestamp: nowMs / 1000 },
    ]);
    const positions = { ...Object.fromEntries(held), timestamp: isoTime(nowMs) };
    return [
      ["HSET", "accounts", this.id, dumps({ ...this.#balances(), date: isoTime(nowMs) })],
      ["HSET", "account_positions", this.id, dumps(positions)],
    ];
  }

  #balances() {
    const assets = [...this.positions].map(
      ([symbol, { volume }]) => [symbol.slice(0, symbol.indexOf("/")), volume] as const,
    );
    const balances = [[this.#currency, this.#cash] as const, ...assets].map(([currency, amount]) => [
      currency,
      this.#shape === "fullon" ? { balance: amount, available: amount } : { total: amount, free: amount, used: 0 },
    ]);
    return Object.fromEntries(balances);
  }
}

/** Rounds to eight decimals, so that sums stay readable. */
export function cents(value: number): number {
  return Number(value.toFixed(8));
}
