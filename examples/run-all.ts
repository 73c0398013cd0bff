// Runs the examples one after the other, each as a process of its own.
//   npx tsx examples/run-all.ts [--only NAME[,NAME]] [--list] [URL]
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const timeLimitMs = 60_000;
const directory = fileURLToPath(new URL(".", import.meta.url));
const names = readdirSync(directory)
  .filter((file) => file.endsWith(".ts") && !["demo-server.ts", "run-all.ts"].includes(file))
  .map((file) => file.slice(0, -".ts".length))
  .sort();

/** What an example is about: its first line. */
function about(name: string): string {
  const [line = ""] = readFileSync(`${directory}${name}.ts`, "utf8").split("\n");
  return line.replace(/^\/\/ /, "");
}

function refuse(message: string): never {
  console.error(`run-all: ${message}`);
  process.exit(2);
}

function readArguments() {
  try {
    return parseArgs({
      options: { only: { type: "string" }, list: { type: "boolean" } },
      allowPositionals: true,
    });
  } catch (error) {
    return refuse((error as Error).message);
  }
}

const { values, positionals } = readArguments();
if (values.list) {
  for (const name of names) console.log(`${name.padEnd(20)}  ${about(name)}`);
  process.exit();
}
const chosen = values.only?.split(",").map((name) => name.trim()) ?? names;
const unknown = chosen.filter((name) => !names.includes(name));
if (unknown.length > 0) refuse(`there is no example ${unknown.join(", ")}; there are ${names.join(", ")}`);

let failures = 0;
for (const name of chosen) {
  const start = performance.now();
  const { status, stdout, stderr, error } = spawnSync(
    process.execPath,
    [...process.execArgv, `${directory}${name}.ts`, ...positionals],
    { encoding: "utf8", timeout: timeLimitMs },
  );
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${name.padEnd(20)}  ${status === 0 ? "ok    " : "FAILED"}  ${seconds.padStart(5)} s`);
  if (status === 0) continue;
  failures++;
  console.log(`${stdout}${stderr}${error ? `${error.message}\n` : ""}`.replace(/^(?=.)/gm, "    "));
}
console.log(`${chosen.length - failures} of ${chosen.length} examples ran`);
process.exitCode = failures === 0 ? 0 : 1;
