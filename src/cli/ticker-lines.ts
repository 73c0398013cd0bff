import type { Ticker } from "../operations/tickers.ts";
import { printable } from "../protocol/printable.ts";

const firstColumn = "time (UTC)";

/** Tickers as lines of text whose columns stay under one another, however long symbols and prices are. */
export class TickerLines {
  readonly #last = new Map<string, number>();
  #exchange = "exchange".length;
  #symbol = "symbol".length;
  #whole = 5;
  #fraction = 2;

  /** Makes the columns wide enough for a ticker; they never shrink. */
  fit({ exchange, symbol, price }: Ticker): void {
    const [whole = "", fraction = ""] = priceText(price).split(".");
    this.#exchange = Math.max(this.#exchange, printable(exchange).length);
    this.#symbol = Math.max(this.#symbol, printable(symbol).length);
    this.#whole = Math.max(this.#whole, whole.length);
    this.#fraction = Math.max(this.#fraction, fraction.length);
  }

  /** What stands over the columns. */
  get head(): string {
    const price = "price".padStart(this.#whole).padEnd(this.#whole + 1 + this.#fraction);
    return `${firstColumn}  ${"exchange".padEnd(this.#exchange)}  ${"symbol".padEnd(this.#symbol)}    ${price}      24 h`;
  }

  /** One ticker, with an arrow if its price is another than the last time. */
  line(ticker: Ticker): string {
    this.fit(ticker);
    const { exchange, symbol, price, percentage, timestamp } = ticker;
    const [whole = "", fraction = ""] = priceText(price).split(".");
    const decimals = fraction === "" ? " " : `.${fraction}`;
    const columns = [
      timeText(timestamp).padStart(firstColumn.length),
      printable(exchange).padEnd(this.#exchange),
      printable(symbol).padEnd(this.#symbol),
      `${this.#arrow(ticker)} ${whole.padStart(this.#whole)}${decimals.padEnd(this.#fraction + 1)}`,
      typeof percentage === "number" ? `${percentage < 0 ? "" : "+"}${percentage.toFixed(2)} %`.padStart(8) : "",
    ];
    return columns.join("  ").trimEnd();
  }

  #arrow({ exchange, symbol, price }: Ticker): string {
    if (price === null) return " ";
    const name = JSON.stringify([exchange, symbol]);
    const before = this.#last.get(name) ?? price;
    this.#last.set(name, price);
    return price > before ? "▲" : price < before ? "▼" : " ";
  }
}

/** A price with as many decimals as its size asks for, and never as 2e-5. */
export function priceText(price: number | null): string {
  if (price === null) return "–";
  const size = price === 0 ? 0 : Math.floor(Math.log10(Math.abs(price)));
  return price.toFixed(Math.min(100, size >= 3 ? 2 : size >= 0 ? 4 : 4 - size));
}

/** The time of today, the date of another day. */
function timeText(timestamp: number | null): string {
  const date = new Date((timestamp ?? Number.NaN) * 1000);
  if (Number.isNaN(date.getTime())) return "–";
  const text = date.toISOString();
  return Math.abs(Date.now() - date.getTime()) < 86_400_000
    ? text.slice(11, 19)
    : text.slice(0, -"T00:00:00.000Z".length);
}
