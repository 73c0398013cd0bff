import { vi } from "vitest";

/** Waits until a check passes, looking often, and long enough for a machine that has other things to do. */
export function until<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { interval: 5, timeout: 8_000 });
}
