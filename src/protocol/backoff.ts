/**
 * How long to wait before the next attempt, in milliseconds: longer with every failure in a row, up to `maxMs`. Full
 * jitter: many that lost the same thing do not come back in step.
 */
export function backoffMs(failures: number, firstMs: number, maxMs: number): number {
  return Math.random() * Math.min(maxMs, firstMs * 2 ** failures);
}
