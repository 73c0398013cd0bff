/** A line of a terminal, and when it appeared, in seconds after the session began. */
export interface SessionLine {
  readonly at: number;
  readonly text: string;
}

/** One terminal of a session: what was typed and what was printed, in order. */
export interface SessionTerminal {
  readonly title: string;
  /** How many lines it shows at once; the rest scrolls. */
  readonly rows: number;
  readonly lines: readonly SessionLine[];
}

const columns = 86;
const [cellWidth, lineHeight] = [8, 18];
const [margin, padding, titleHeight, gap] = [1, 12, 28, 14];
const width = columns * cellWidth + 2 * (padding + margin);
// What no XML may hold at all.
const forbidden = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;
const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function escaped(text: string): string {
  return text.replace(forbidden, "�").replace(/[&<>"]/g, (sign) => entities[sign] ?? sign);
}

/** A line as it fits, in characters. */
function fitted(text: string): string[] {
  const signs = [...text];
  return signs.length <= columns ? signs : [...signs.slice(0, columns - 1), "…"];
}

/** One line; its length is given, so that columns stay under one another whatever the font is. */
function lineOf({ at, text }: SessionLine, row: number): string {
  const signs = fitted(text.trimEnd());
  if (signs.length === 0) return "";
  const y = (row + 1) * lineHeight - 5;
  const kind = text.startsWith("$ ") ? "line typed" : "line";
  const length = signs.length * cellWidth;
  return `<text class="${kind}" y="${y}" textLength="${length}" style="animation-delay:${at.toFixed(2)}s">${escaped(signs.join(""))}</text>`;
}

/** The steps by which a terminal scrolls, as key frames; none where everything fits. */
function scrolling({ lines, rows }: SessionTerminal, name: string, end: number): string {
  const offset = (count: number) => -Math.max(0, count - rows) * lineHeight;
  const steps = lines.flatMap(({ at }, before) => {
    const y = offset(before + 1);
    return y === 0 ? [] : [`${((at / end) * 100).toFixed(2)}%{transform:translateY(${y}px)}`];
  });
  return steps.length === 0 ? "" : `@keyframes ${name}{0%{transform:none}${steps.join("")}}`;
}

/**
 * A recorded session as an SVG: it plays once and then stands still, and stands still at its end where nothing may move.
 * @param about what it shows, for those who cannot see it
 */
export function drawing(about: string, terminals: readonly SessionTerminal[]): string {
  const end = Math.max(0.01, ...terminals.flatMap(({ lines }) => lines.map(({ at }) => at)));
  let top = margin;
  const styles: string[] = [];
  const windows = terminals.map((terminal, at) => {
    const { title, rows, lines } = terminal;
    const height = titleHeight + rows * lineHeight + 2 * padding;
    const name = `scroll-${at + 1}`;
    const frames = scrolling(terminal, name, end);
    if (frames !== "") styles.push(frames, `.${name}{animation:${name} ${end.toFixed(2)}s step-end both}`);
    const last = -Math.max(0, lines.length - rows) * lineHeight;
    const drawn = `<g transform="translate(${margin} ${top})">
<rect width="${width - 2 * margin}" height="${height}" rx="8" fill="#ffffff" stroke="#d0d7de"/>
<text class="title" x="${(width - 2 * margin) / 2}" y="19">${escaped(title)}</text>
<path d="M0 ${titleHeight}H${width - 2 * margin}" stroke="#d0d7de"/>
<svg x="${padding}" y="${titleHeight + padding}" width="${columns * cellWidth}" height="${rows * lineHeight}">
<g class="${name}" transform="translate(0 ${last})">
${lines.map(lineOf).filter(Boolean).join("\n")}
</g>
</svg>
</g>`;
    top += height + gap;
    return drawn;
  });
  const height = top - gap + margin;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(about)}">
<title>${escaped(about)}</title>
<style>
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#24292f;white-space:pre}
.title{font-size:12px;fill:#57606a;text-anchor:middle}
.typed{font-weight:600;fill:#0550ae}
.line{animation:appear .01s both}
@keyframes appear{from{opacity:0}}
${styles.join("\n")}
@media (prefers-reduced-motion:reduce){*{animation:none!important}}
</style>
${windows.join("\n")}
</svg>
`;
}
