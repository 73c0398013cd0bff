import type { Screen } from "./terminal.ts";

// What a terminal says of itself where nobody told it how large it is.
const usualColumns = 80;
const usualRows = 24;

/** The terminal of this process; undefined where its output goes somewhere else. */
export function processScreen({ stdin, stdout } = process): Screen | undefined {
  if (!stdout.isTTY) return undefined;
  let heard: ((key: string) => void) | undefined;
  let told: (() => void) | undefined;
  return {
    get columns() {
      return stdout.columns || usualColumns;
    },
    get rows() {
      return stdout.rows || usualRows;
    },
    write: (text) => void stdout.write(text),
    onResize(resized) {
      told = resized;
      stdout.on("resize", told);
    },
    onKey(pressed) {
      if (!stdin.isTTY) return;
      heard = pressed;
      stdin.setRawMode(true).setEncoding("utf8").on("data", heard).resume();
    },
    release() {
      if (told) stdout.off("resize", told);
      if (heard) stdin.off("data", heard).setRawMode(false).pause();
      told = heard = undefined;
    },
  };
}
