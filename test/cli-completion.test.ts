import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { allCommands } from "../src/cli/commands.ts";
import { outcome } from "./kit/command.ts";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "fullon-cache-api-completion-"));
afterAll(() => rmSync(folder, { recursive: true }));

const shells = ["bash", "zsh", "fish"] as const;
const scripts = new Map<string, string>();
const isThere = (shell: string) => spawnSync(shell, ["--version"]).status === 0;
let names: string[] = [];

beforeAll(async () => {
  const { own, operations } = await allCommands();
  names = [...own.keys(), ...operations.keys()];
  for (const shell of shells) {
    const { code, lines } = await outcome(["completion", shell]);
    expect(code).toBe(0);
    const file = join(folder, shell);
    writeFileSync(file, `${lines.join("\n")}\n`);
    scripts.set(shell, file);
  }
});

/** What bash offers after these words, the last of which is not finished. */
async function offered(...words: readonly string[]): Promise<string[]> {
  const script = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fullon_cache_api; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await run("bash", ["-c", script, scripts.get("bash") ?? "", "fullon-cache-api", ...words]);
  return stdout.split("\n").filter((line) => line !== "");
}

test("bash completes commands, flags and the words of a command", async () => {
  expect((await offered("")).toSorted()).toEqual(names.toSorted());
  expect(await offered("get-tick")).toEqual(["get-ticker"]);
  expect(await offered("get-ticker", "--")).toEqual(["--exchange", "--symbol", "--json", "--url", "--token", "--help"]);
  expect(await offered("stream-tickers", "binance", "--i")).toEqual(["--interval-ms"]);
  expect(await offered("serve", "--redis-u")).toEqual(["--redis-url", "--redis-username"]);
  expect(await offered("completion", "")).toEqual(["bash", "zsh", "fish", "--help"]);
  // A value is nobody's but the user's.
  expect(await offered("get-ticker", "--exchange", "")).toEqual([]);
  expect(await offered("nonsense", "")).toEqual([]);
});

test.each(shells)("%s can read its script", async (shell) => {
  if (isThere(shell)) await run(shell, ["-n", scripts.get(shell) ?? ""]);
  else expect(shell).not.toBe("bash");
});

test.each(shells)("the script of %s names every command and its flags", async (shell) => {
  const { lines } = await outcome(["completion", shell]);
  const text = lines.join("\n");
  for (const name of names) expect(text).toMatch(new RegExp(`[ ':]${name}[ ':)]`));
  for (const flag of ["interval-ms", "redis-url", "symbols"]) expect(text).toMatch(new RegExp(`(--|-l )${flag}`));
});

test.each([[[]], [["tcsh"]], [["bash", "zsh"]], [["constructor"]]])("completion %j is asked wrongly", async (args) => {
  const { code, lines, errors } = await outcome(["completion", ...args]);
  expect({ code, lines, errors }).toEqual({
    code: 2,
    lines: [],
    errors: ["say for which shell: bash, zsh, fish; completion --help has an example"],
  });
});

test("its help says what to write where", async () => {
  const { code, lines } = await outcome(["completion", "--help"]);
  expect(code).toBe(0);
  expect(lines[2]).toBe("  fullon-cache-api completion <bash|zsh|fish>");
  expect(lines.at(-1)).toMatch(/^ {2}fullon-cache-api completion fish > /);
});
