import { readEnvFile } from "../server/settings.ts";

/** A terminal that shows text, and the keyboard before it. */
export interface Screen {
  /** How wide it is now, in characters. */
  readonly columns: number;
  /** How high it is now, in lines. */
  readonly rows: number;
  /** Writes text as it is. */
  write(text: string): void;
  /** Calls it whenever the size is another. */
  onResize(resized: () => void): void;
  /** Calls it with every key as it is pressed, unbuffered and unseen, until the screen is released. */
  onKey(pressed: (key: string) => void): void;
  /** Nobody listens any more: the keyboard is as it was before. */
  release(): void;
}

/** Where a command reads from and writes to; a process has one, a test brings its own. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  out(line: string): void;
  error(line: string): void;
  /** Aborted when the command is to end. */
  readonly signal: AbortSignal;
  /** Calls it whenever files are to be read again; without it, that ends the command. */
  onReload(reload: () => void): void;
  /** What its lines are shown on; undefined where they go into a file or a pipe. */
  readonly screen?: Screen | undefined;
}

/** What the environment says, and `.env` where it says nothing. @throws SettingError `.env` cannot be read */
export function environmentOf({ env }: Terminal): Terminal["env"] {
  return { ...readEnvFile(), ...env };
}
