import { parseArgs } from "node:util";
import {
  flagOf,
  readEnvFile,
  readSettings,
  type Setting,
  SettingError,
  type SettingName,
  type Settings,
  settings,
} from "../server/settings.ts";
import type { Terminal } from "./terminal.ts";

const names = Object.keys(settings) as SettingName[];
const options = {
  help: { type: "boolean", short: "h" },
  ...Object.fromEntries(names.map((name) => [flagOf(name), { type: "string" }] as const)),
} as const;

/** What the flags of a command say. */
export interface Flags {
  readonly help: boolean;
  readonly given: Readonly<Record<string, string | undefined>>;
}

/** Reads the flags of a command that takes every setting. @throws SettingError an unknown flag, or one without a value */
export function readFlags(args: readonly string[]): Flags {
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false });
    const { help = false, ...given } = values as { help?: boolean } & Record<string, string | undefined>;
    return { help, given };
  } catch (error) {
    throw new SettingError(`${(error as Error).message.split(". ")[0]}; --help lists the flags`);
  }
}

/** The settings that hold for a command: flags, then environment, then `.env`, then defaults. @throws SettingError */
export function settingsFor({ given }: Flags, { env }: Terminal): Settings {
  return readSettings({ flags: given, env: { ...readEnvFile(), ...env } });
}

/** The flags with what they mean, for `--help`. */
export function flagHelp(): string {
  return names
    .map((name) => {
      const setting: Setting = settings[name];
      const preset = setting.default === undefined ? "" : ` (${setting.default})`;
      return `  --${flagOf(name).padEnd(20)} ${setting.about}${preset}\n${" ".repeat(25)}${setting.kind.allowed}; or ${setting.env.join(", ")}`;
    })
    .join("\n");
}
