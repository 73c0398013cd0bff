import {
  flagOf,
  readEnvFile,
  readSettings,
  type Setting,
  type SettingName,
  type Settings,
  settings,
} from "../server/settings.ts";
import type { Flag, Given } from "./command.ts";
import type { Terminal } from "./terminal.ts";

const names = Object.keys(settings) as SettingName[];

/** Every setting as a flag. */
export const settingFlags: Readonly<Record<string, Flag>> = Object.fromEntries(
  names.map((name) => {
    const { about, kind, env, default: preset }: Setting = settings[name];
    const flag: Flag = {
      about: preset === undefined ? about : `${about} (${preset})`,
      more: `${kind.allowed}; or ${env.join(", ")}`,
    };
    return [flagOf(name), kind.isSwitch === true ? flag : { ...flag, value: "" }];
  }),
);

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
export function settingsFor(given: Given, { env }: Terminal, presets: Readonly<Record<string, string>> = {}): Settings {
  const { REDIS_URL, ...rest } = { ...readEnvFile(), ...env };
  const flags = Object.fromEntries(names.map(flagOf).map((flag) => [flag, given.flag(flag) ?? presets[flag]]));
  // A URL goes before the single parts, but not if it comes from further away than they do.
  return readSettings({ flags, env: namesRedis(given) ? rest : { REDIS_URL, ...rest } });
}
