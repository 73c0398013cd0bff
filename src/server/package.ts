import { readFileSync } from "node:fs";

/** The package that this is part of: its name and its version. */
export const { name, version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly name: string;
  readonly version: string;
};
