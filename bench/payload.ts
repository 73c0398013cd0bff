import type { Topic } from "./peer.ts";

/** Stands before the ten digits that number an update. */
export const marker = "@#";

/** What comes before the numbering starts. */
export const unnumbered = `${marker}0000000000`;

/** The ticker of a topic as the trading system writes it, with the place of its number; about 160 bytes. */
export function tickerPayload({ exchange, symbol }: Topic): string {
  const price = '"price": 97321.45, "time": 1795330944.33, "volume": 37.486, "bid": 97311.7, "ask": 97331.2';
  return `{"symbol": "${symbol}", "exchange": "${exchange}", ${price}, "last": 97321.45, "seq": "${unnumbered}"}`;
}

/** Some different topics of one exchange. */
export function topics(count: number): Topic[] {
  return Array.from({ length: count }, (_, at) => ({
    exchange: "binance",
    symbol: count === 1 ? "BTC/USDT" : `C${at}/USDT`,
  }));
}

/** Numbers below 1 that look random and are the same in every run. */
export function randomNumbers(seed = 1): () => number {
  let state = seed;
  return () => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Some different numbers below `below`. */
export function someOf(count: number, below: number, random: () => number): number[] {
  const chosen = new Set<number>();
  while (chosen.size < count) chosen.add(Math.floor(random() * below));
  return [...chosen];
}
