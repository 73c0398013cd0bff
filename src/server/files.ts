import { readFileSync } from "node:fs";
import { SettingError } from "./settings.ts";

/** The text of a file that a setting names. @throws SettingError it cannot be read */
export function readTextFile(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new SettingError(`${setting}: ${JSON.stringify(path)} cannot be read: ${(error as Error).message}`);
  }
}

/** What a file of JSON holds that a setting names. @throws SettingError it cannot be read, or is no JSON */
export function readJsonFile(setting: string, path: string): unknown {
  try {
    return JSON.parse(readTextFile(setting, path));
  } catch (error) {
    if (error instanceof SettingError) throw error;
    // What the parser says may quote the file, which may hold secrets.
    throw new SettingError(`${setting}: ${JSON.stringify(path)} is not JSON`);
  }
}
