import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Where a program is; undefined if it is not installed. Servers may live where only root's PATH leads. */
export function program(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Why something cannot run: which of its programs or files is not there. */
export async function missingProgram(name: string, ...files: readonly string[]): Promise<string | undefined> {
  if (program(name) === undefined) return `${name} is not installed`;
  return files.filter((file) => !isReadable(file)).map((file) => `${file} is not installed`)[0];
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
