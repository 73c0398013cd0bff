/** A duration as timers take it: longer ones, Infinity too, would end at once. */
export function timerMs(ms: number): number {
  return Math.min(ms, 2 ** 31 - 1);
}

/** A timer that does not keep a Node process alive; browsers know no such thing. */
export function unref<Timer>(timer: Timer): Timer {
  (timer as { unref?: () => void }).unref?.();
  return timer;
}
