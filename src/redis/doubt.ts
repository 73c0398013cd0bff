// Where a channel brings the values, a written key is only a reason to check them: after the message had time to come,
// and where writes do not cease, everything at once on every full second, so that all reads are one.
const messageMs = 10;
const everyMs = 1_000;

/** How long to wait before what may be out of date is checked, in milliseconds; `lastAt`: when it was checked last. */
export function doubtMs(lastAt: number): number {
  return performance.now() - lastAt > everyMs ? messageMs : everyMs - (Date.now() % everyMs);
}
