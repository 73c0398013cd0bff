/** Where a command reads from and writes to; a process has one, a test brings its own. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  out(line: string): void;
  error(line: string): void;
  /** Aborted when the command is to end. */
  readonly signal: AbortSignal;
  /** Calls it whenever files are to be read again; without it, that ends the command. */
  onReload(reload: () => void): void;
}

/** Resolves when the command is to end. */
export function untilEnd({ signal }: Terminal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
