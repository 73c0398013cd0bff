import { flagOf, readSettings, type Setting, type SettingName, type Settings, settings } from "../server/settings.ts";
import type { Flag, Given } from "./command.ts";
import { duration } from "./duration.ts";
import { environmentOf, type Terminal } from "./terminal.ts";

const names = Object.keys(settings) as SettingName[];

/** How many milliseconds the last word of a flag stands for. */
const units: readonly (readonly [end: string, ms: number])[] = [
  ["-ms", 1],
  ["-s", 1_000],
];

/** A flag for a time that has a unit, in place of the one that is a number: `--drain 10s` for `--drain-ms 10000`. */
function timeFlagOf(flag: string): { readonly name: string; readonly unitMs: number } | undefined {
  for (const [end, unitMs] of units) if (flag.endsWith(end)) return { name: flag.slice(0, -end.length), unitMs };
  return undefined;
}

/** Every setting as a flag; times as two. */
export const settingFlags: Readonly<Record<string, Flag>> = Object.fromEntries(
  names.flatMap((name) => {
    const { about, kind, env, default: preset }: Setting = settings[name];
    const time = timeFlagOf(flagOf(name));
    const flag: Flag = {
      about: preset === undefined ? about : `${about} (${preset})`,
      more: [kind.allowed, `or ${env.join(", ")}`, ...(time ? [`or --${time.name} 10s`] : [])].join("; "),
      ...(kind.isSwitch !== true && { value: "" }),
    };
    return [[flagOf(name), flag], ...(time ? [[time.name, { ...flag, isAlias: true }]] : [])];
  }),
);

/** The text of a setting that a flag gave, whichever way. @throws UsageError it is no time */
function textOf(flag: string, given: Given): string | undefined {
  const [text, time] = [given.flag(flag), timeFlagOf(flag)];
  if (text !== undefined || !time) return text;
  const timed = given.flag(time.name);
  return timed === undefined ? undefined : String(duration(timed, time.name) / time.unitMs);
}

/** Whether the flags say which Redis is meant. */
export function namesRedis(given: Given): boolean {
  return (["redisUrl", "redisHost", "redisPort", "redisDb", "redisSentinels"] as const).some(
    (name) => given.flag(flagOf(name)) !== undefined,
  );
}

/**
 * The settings that hold for a command: flags, then environment, then `.env`, then defaults.
 * @param presets what holds where no flag says otherwise, by the names of flags
 * @throws SettingError
 */
export function settingsFor(
  given: Given,
  terminal: Terminal,
  presets: Readonly<Record<string, string>> = {},
): Settings {
  const { REDIS_URL, ...rest } = environmentOf(terminal);
  const flags = Object.fromEntries(names.map(flagOf).map((flag) => [flag, textOf(flag, given) ?? presets[flag]]));
  // A URL goes before the single parts, but not if it comes from further away than they do.
  return readSettings({ flags, env: namesRedis(given) ? rest : { REDIS_URL, ...rest } });
}
