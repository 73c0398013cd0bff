import { execFileSync } from "node:child_process";
import { clientSource } from "./client-source.ts";

/** The files that are made from the declarations, by path, formatted as they are kept. */
export async function generatedFiles(): Promise<Map<string, string>> {
  return new Map([["src/client/operations.ts", formatted("src/client/operations.ts", await clientSource())]]);
}

function formatted(path: string, text: string): string {
  return execFileSync("node_modules/.bin/biome", ["format", `--stdin-file-path=${path}`], {
    input: text,
    encoding: "utf8",
  });
}
