/** How often each name stands in a list, in order of the names; where there is none, it counts as `unknown`. */
export function tally(names: readonly (string | null)[]): Record<string, number> {
  const counted = new Map<string, number>();
  for (const name of names) counted.set(name ?? "unknown", (counted.get(name ?? "unknown") ?? 0) + 1);
  return Object.fromEntries([...counted].sort());
}
