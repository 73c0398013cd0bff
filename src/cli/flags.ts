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
const isSwitch = (name: SettingName) => (settings[name] as Setting).kind.isSwitch === true;
const options = {
  help: { type: "boolean", short: "h" },
  ...Object.fromEntries(names.map((name) => [flagOf(name), { type: isSwitch(name) ? "boolean" : "string" }] as const)),
} as const;

/** What the flags of a command say. */
export interface Flags {
  readonly help: boolean;
  readonly given: Readonly<Record<string, string | undefined>>;
}

/** Reads the flags of a command that takes every setting. @throws SettingError an unknown flag, or one without a value */
export function readFlags(args: readonly string[]): Flags {
  try {
    const { values } = parseArgs({ args: joined(args), options, strict: true, allowPositionals: false });
    const { help = false, ...given } = values as { help?: boolean } & Record<string, string | boolean | undefined>;
    return { help, given: Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)])) };
  } catch (error) {
    // The rest of the message is advice that does not fit here; what was given may hold a password.
    const [sentence = ""] = (error as Error).message.split(/\.\s/);
    throw new SettingError(`${sentence.replace(/\/\/\S*@/, "//…@")}; --help lists the flags`);
  }
}

/** `--port -1` as `--port=-1`, so that it is refused for what it says and not for looking like a flag. */
function joined(args: readonly string[]): string[] {
  const words: string[] = [];
  for (const arg of args) {
    const before = words.at(-1);
    if (before?.startsWith("--") && !before.includes("=") && /^-\d/.test(arg)) words.splice(-1, 1, `${before}=${arg}`);
    else words.push(arg);
  }
  return words;
}

/** Whether the flags say which Redis is meant. */
export function namesRedis({ given }: Flags): boolean {
  return (["redisUrl", "redisHost", "redisPort", "redisDb", "redisSentinels"] as const).some(
    (name) => given[flagOf(name)] !== undefined,
  );
}

/** The settings that hold for a command: flags, then environment, then `.env`, then defaults. @throws SettingError */
export function settingsFor(flags: Flags, { env }: Terminal): Settings {
  const { REDIS_URL, ...rest } = { ...readEnvFile(), ...env };
  // A URL goes before the single parts, but not if it comes from further away than they do.
  return readSettings({ flags: flags.given, env: namesRedis(flags) ? rest : { REDIS_URL, ...rest } });
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
