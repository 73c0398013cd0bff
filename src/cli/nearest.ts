// What is outside of a row is as far away as can be.
const cell = (row: readonly number[], at: number) => row[at] ?? Number.POSITIVE_INFINITY;

/** How many letters have to be put in, taken out, changed or swapped with their neighbour to make one word the other. */
function distance(one: string, other: string): number {
  let before: number[] = [];
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const isSame = one[i - 1] === other[j - 1];
      const least = Math.min(cell(row, j) + 1, cell(next, j - 1) + 1, cell(row, j - 1) + (isSame ? 0 : 1));
      const isSwapped = one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      next.push(isSwapped ? Math.min(least, cell(before, j - 2) + 1) : least);
    }
    before = row;
    row = next;
  }
  return cell(row, other.length);
}

/** The word that somebody may have meant; undefined where none is near. */
export function nearest(typed: string, words: readonly string[]): string | undefined {
  // Who writes get_ticker or getTicker means get-ticker.
  const plain = typed
    .replace(/([a-z])([A-Z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase();
  const ranked = words.map((word) => ({ word, far: distance(plain, word) })).sort((a, b) => a.far - b.far);
  const [best] = ranked;
  if (best && best.far <= Math.max(1, Math.floor(plain.length / 3))) return best.word;
  return plain === "" ? undefined : words.find((word) => word.split("-").includes(plain));
}
