import { cut } from "./table.ts";
import type { Screen } from "./terminal.ts";

// The alternate screen, without a cursor, where a line that is too long is cut and not broken; and back again.
const enter = "\u001b[?1049h\u001b[?25l\u001b[?7l";
const leave = "\u001b[?7h\u001b[?25h\u001b[?1049l";
// A terminal that knows these shows what stands between them at once; others ignore them.
const begin = "\u001b[?2026h\u001b[H";
const end = "\u001b[J\u001b[?2026l";
const restOfLine = "\u001b[K";
const bold = "\u001b[1m";
const plain = "\u001b[0m";

/** The whole screen of a terminal, until it is disposed of or the process ends: then it is as it was before. */
export class FullScreen implements Disposable {
  readonly #screen: Screen;
  #shown = "";
  readonly #restore = () => this[Symbol.dispose]();

  constructor(screen: Screen) {
    this.#screen = screen;
    // Whatever ends the process, short of SIGKILL.
    process.once("exit", this.#restore);
    screen.write(enter);
  }

  /** Shows these lines, the first of them in bold, in one write; what does not fit is left out. */
  draw(lines: readonly string[]): void {
    const { columns, rows } = this.#screen;
    const [head = "", ...rest] = lines.slice(0, rows).map((line) => cut(line, columns) + restOfLine);
    const frame = begin + [bold + head + plain, ...rest].join("\r\n") + end;
    if (frame === this.#shown) return;
    this.#shown = frame;
    this.#screen.write(frame);
  }

  /** Draws the next frame even if it is the same: what was there may have gone. */
  forget(): void {
    this.#shown = "";
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#restore);
    this.#screen.release();
    this.#screen.write(leave);
  }
}

/** The keys in what a keyboard sent at once: over a slow line several come together. */
export function keysIn(sent: string): string[] {
  return sent.match(/\u001b(?:\[[\d;]*[A-Za-z~]|O[A-Z])?|./gsu) ?? [];
}
