/** One point of a line, with the least and most of its rounds. */
export interface Point {
  readonly x: number;
  readonly y: number;
  readonly min: number;
  readonly max: number;
}

/** One bar. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  /** What stands beside it. */
  readonly label: string;
  readonly ours: boolean;
}

const [ownColor, otherColor, inkColor, faintColor] = ["#0b63ce", "#a3aab4", "#24292f", "#d8dee4"];
const width = 720;
const font = 'font-family="system-ui, sans-serif" font-size="13"';

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function text(x: number, y: number, content: string, anchor: "start" | "middle" | "end" = "start", more = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${more}>${escaped(content)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, color: string): string {
  const [from, to] = [`x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}"`, `x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}"`];
  return `<line ${from} ${to} stroke="${color}"/>`;
}

// A white ground of its own can be read on a dark page, too.
function picture(title: string, height: number, parts: readonly string[]): string {
  const box = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${box} role="img" ${font} fill="${inkColor}">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" rx="8" fill="#fff"/>`,
    text(20, 28, title, "start", ' font-size="15" font-weight="600"'),
    ...parts,
    "</svg>\n",
  ].join("\n");
}

/** A round number at or above a value, and how many steps lead to it. */
function ceiling(value: number): { readonly top: number; readonly steps: number } {
  const unit = 10 ** Math.floor(Math.log10(value));
  const times = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((one) => one * unit >= value) ?? 10;
  return { top: times * unit, steps: times === 1.5 || times === 3 || times === 6 ? 3 : times === 5 ? 5 : 4 };
}

/** A line over a logarithmic x-axis that begins at 0 on the y-axis. */
export function lineChart(title: string, axes: { readonly x: string; readonly y: string }, points: readonly Point[]) {
  const [left, right, top, bottom] = [70, width - 30, 70, 300];
  const { top: most, steps } = ceiling(Math.max(...points.map(({ max }) => max)));
  const powers = points.map(({ x }) => Math.log10(x));
  const [first, last] = [Math.min(...powers), Math.max(...powers)];
  const xOf = (x: number) => left + 20 + ((Math.log10(x) - first) / Math.max(1, last - first)) * (right - left - 40);
  const yOf = (y: number) => bottom - (y / most) * (bottom - top);
  const grid = Array.from({ length: steps + 1 }, (_, at) => (at / steps) * most).flatMap((value) => [
    line(left, yOf(value), right, yOf(value), faintColor),
    text(left - 8, yOf(value) + 4, `${Number(value.toPrecision(3))}`, "end"),
  ]);
  const path = points
    .map(({ x, y }, at) => `${at === 0 ? "M" : "L"}${xOf(x).toFixed(1)} ${yOf(y).toFixed(1)}`)
    .join("");
  return picture(title, 360, [
    text(20, 52, axes.y),
    ...grid,
    ...points.map(({ x }) => text(xOf(x), bottom + 20, x.toLocaleString("en"), "middle")),
    text((left + right) / 2, bottom + 44, axes.x, "middle"),
    ...points.map(({ x, min, max }) => line(xOf(x), yOf(min), xOf(x), yOf(max), ownColor)),
    `<path d="${path}" fill="none" stroke="${ownColor}" stroke-width="2"/>`,
    ...points.map(
      ({ x, y }) => `<circle cx="${xOf(x).toFixed(1)}" cy="${yOf(y).toFixed(1)}" r="4" fill="${ownColor}"/>`,
    ),
  ]);
}

/** Bars one below the other, the longest first. */
export function barChart(title: string, about: string, bars: readonly Bar[]): string {
  const [left, right, top, step] = [120, width - 130, 72, 30];
  const most = Math.max(...bars.map(({ value }) => value));
  const parts = bars
    .toSorted((a, b) => b.value - a.value)
    .flatMap(({ name, value, label, ours }, at) => {
      const [y, length] = [top + at * step, Math.max(1, (value / most) * (right - left))];
      const color = ours ? ownColor : otherColor;
      return [
        text(left - 10, y + 15, name, "end", ours ? ' font-weight="600"' : ""),
        `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="20" rx="3" fill="${color}"/>`,
        text(left + length + 8, y + 15, label),
      ];
    });
  return picture(title, top + bars.length * step + 16, [text(20, 52, about), ...parts]);
}
