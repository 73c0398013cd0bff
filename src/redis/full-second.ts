const secondMs = 1_000;

/** How long it is to the next full second: all who check something then share one read. */
export function toFullSecondMs(): number {
  return secondMs - (Date.now() % secondMs);
}
