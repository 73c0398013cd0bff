import type { Screen } from "../../src/cli/terminal.ts";

/** A screen of a fixed size that remembers what was written, and whose keys a test presses. */
export class TestScreen implements Screen {
  columns: number;
  rows: number;
  /** Everything that was written, one entry per write. */
  readonly writes: string[] = [];
  /** How often it was given back. */
  released = 0;
  #resized = () => {};
  #pressed: ((key: string) => void) | undefined;

  constructor(columns = 120, rows = 30) {
    this.columns = columns;
    this.rows = rows;
  }

  write(text: string): void {
    this.writes.push(text);
  }

  onResize(resized: () => void): void {
    this.#resized = resized;
  }

  onKey(pressed: (key: string) => void): void {
    this.#pressed = pressed;
  }

  release(): void {
    this.released++;
    this.#pressed = undefined;
  }

  /** Presses a key, if anybody listens. */
  press(key: string): void {
    this.#pressed?.(key);
  }

  /** Makes it another size. */
  resize(columns: number, rows: number): void {
    this.columns = columns;
    this.rows = rows;
    this.#resized();
  }
}
