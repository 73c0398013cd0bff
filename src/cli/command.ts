import { parseArgs } from "node:util";
import type { Terminal } from "./terminal.ts";

/** One flag of a command. */
export interface Flag {
  /** What it does, for people. */
  readonly about: string;
  /** What stands for its value in the help, perhaps nothing; undefined: it is a switch, which has none. */
  readonly value?: string;
  /** A second line in the help. */
  readonly more?: string;
  /** Another way to write one that the help shows. */
  readonly isAlias?: true;
}

/** A command: what the help says of it, what it takes, and what it does. */
export interface Command {
  /** One sentence. */
  readonly about: string;
  /** What may follow its name, as the help shows it: `<exchange> [symbols…]`; undefined: nothing but flags. */
  readonly takes?: string;
  /** Words that the first of them can be; for completion. */
  readonly words?: readonly string[];
  /** With which of its words its own flags end: what follows belongs to other commands. Undefined: they end nowhere. */
  readonly endsFlags?: number;
  readonly flags: Readonly<Record<string, Flag>>;
  /** What else there is to know, as lines for the end of the help. */
  readonly notes?: string;
  /** How it is called, without the name of the program, each with what that does, if it needs saying. */
  examples(): readonly Example[] | Promise<readonly Example[]>;
  /** Does it. @throws UsageError it was asked wrongly, CannotConnect */
  run(given: Given, terminal: Terminal): Promise<void>;
}

/** A call of a command as an example, and what it does, if that needs saying. */
export type Example = readonly [call: string, about?: string];

/** Thrown at whoever calls a command wrongly; its message says what is allowed. */
export class UsageError extends Error {}

/** Thrown where the gateway cannot be reached, or lets nobody in. */
export class CannotConnect extends Error {}

/** What a command was given: flags and words. */
export class Given {
  /** The words that are no flags, in order. */
  readonly words: readonly string[];
  readonly #flags: ReadonlyMap<string, readonly string[]>;

  constructor(flags: ReadonlyMap<string, readonly string[]>, words: readonly string[]) {
    this.#flags = flags;
    this.words = words;
  }

  /** The value of a flag, the last if there are several; `true` for a switch; undefined where it was not given. */
  flag(name: string): string | undefined {
    return this.#flags.get(name)?.at(-1);
  }

  /** All values of a flag that may be given several times. */
  all(name: string): readonly string[] {
    return this.#flags.get(name) ?? [];
  }
}

const hint = "--help lists the flags";

function parsed(args: readonly string[], flags: Command["flags"], allowPositionals: boolean) {
  const options = {
    help: { type: "boolean", short: "h", multiple: true },
    ...Object.fromEntries(
      Object.entries(flags).map(([name, { value }]) => [
        name,
        { type: value === undefined ? "boolean" : "string", multiple: true } as const,
      ]),
    ),
  } as const;
  try {
    return parseArgs({ args: joined(args), options, strict: true, allowPositionals });
  } catch (error) {
    // The rest of the message is advice that does not fit here; what was given may hold a password.
    const [sentence = ""] = (error as Error).message.split(/\.\s/);
    throw new UsageError(`${sentence.replace(/\/\/\S*@/, "//…@")}; ${hint}`);
  }
}

/** Reads what a command was given; undefined where only its help is wanted. @throws UsageError */
export function given({ flags, takes, endsFlags }: Command, args: readonly string[]): Given | undefined {
  const end = endsFlags === undefined ? args.length : placeOf(endsFlags, args, flags);
  const { values, positionals } = parsed(args.slice(0, end), flags, takes !== undefined);
  if (values["help"] !== undefined) return undefined;
  const found = Object.entries(values as Record<string, readonly (string | boolean)[]>);
  return new Given(new Map(found.map(([name, all]) => [name, all.map(String)])), [...positionals, ...args.slice(end)]);
}

/** Where the nth word stands that is neither a flag nor the value of one. */
function placeOf(nth: number, args: readonly string[], flags: Command["flags"]): number {
  let words = 0;
  const isValue = (before = "") => before.startsWith("--") && flags[before.slice(2)]?.value !== undefined;
  const place = args.findIndex((arg, at) => !arg.startsWith("-") && !isValue(args[at - 1]) && ++words === nth);
  return place < 0 ? args.length : place;
}

/** `--port -1` as `--port=-1`, so that it is refused for what it says and not for looking like a flag. */
function joined(args: readonly string[]): string[] {
  const words: string[] = [];
  for (const arg of args) {
    const before = words.at(-1);
    if (before?.startsWith("--") && before !== "--" && !before.includes("=") && /^-\d/.test(arg))
      words.splice(-1, 1, `${before}=${arg}`);
    else words.push(arg);
  }
  return words;
}

/** The flags that people are shown. */
export function shownFlags(flags: Command["flags"]): [string, Flag][] {
  return Object.entries(flags).filter(([, { isAlias }]) => !isAlias);
}

const flagWidth = 20;

/** What a command is for and what it takes, for people. */
export async function helpOf(name: string, command: Command): Promise<string> {
  const { about, takes, flags, notes } = command;
  const hasFlags = Object.keys(flags).length > 0;
  const own = hasFlags && "[flags]";
  const words = command.endsFlags === undefined ? [takes, own] : [own, takes];
  const usage = ["fullon-cache-api", name, ...words].filter(Boolean).join(" ");
  const examples = (await command.examples()).map(
    ([call, does]) => `  fullon-cache-api ${call}${does === undefined ? "" : `    ${does}`}`,
  );
  const lines = shownFlags(flags).flatMap(([flag, { value = "", about, more }]) => [
    `  --${`${flag} ${value}`.trim().padEnd(flagWidth)} ${about}`,
    ...(more === undefined ? [] : [`${" ".repeat(flagWidth + 5)}${more}`]),
  ]);
  const parts = [about, `  ${usage}`, examples.join("\n"), hasFlags && ["Flags:", ...lines].join("\n"), notes];
  return parts.filter(Boolean).join("\n\n");
}
