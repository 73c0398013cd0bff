/**
 * Runs the long form of every test that breaks something, and prints what came of it. `CHAOS_SEED` repeats a run; further
 * arguments go to vitest. Run it with: make chaos
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";

// Three run at a time, since much of it is waiting: the longest first, so that nothing long is left for the end.
const known = [
  "chaos",
  "client-faults",
  "redis-faults",
  "slow-clients",
  "near-cache",
  "redis-network",
  "sentinel",
  "convergence",
  "read-only",
  "fuzz-websocket",
  "fuzz",
  "hostile-values",
].map((name) => `test/${name}.test.ts`);
const hasLongForm = (path: string) => readFileSync(path, "utf8").includes('from "./kit/chaos.ts"');
const others = readdirSync("test")
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => `test/${name}`)
  .filter((path) => !known.includes(path) && hasLongForm(path));
const paths = [...known.filter((path) => existsSync(path)), ...others];
const limitMs = 290_000;

interface Figure {
  readonly what: string;
  readonly value: string;
}

const directory = await mkdtemp(join(tmpdir(), "fullon-cache-api-chaos-"));
const figures = join(directory, "figures.jsonl");
const seed = process.env["CHAOS_SEED"] ?? String(Date.now() % 2 ** 31);
const began = performance.now();

const vitest = spawn(
  process.execPath,
  ["node_modules/vitest/vitest.mjs", "run", "--maxWorkers=3", ...paths, ...process.argv.slice(2)],
  {
    stdio: "inherit",
    env: { ...process.env, CHAOS: "1", CHAOS_SEED: seed, CHAOS_FIGURES: figures },
  },
);

/** A process and all that it started, and what those started: gateways have a process group of their own. */
function family(of: number): number[] {
  const list = execFileSync("ps", ["-eo", "pid=,ppid="], { encoding: "utf8" });
  const pairs = [...list.matchAll(/(\d+) +(\d+)/g)].map(([, pid, parent]) => [Number(pid), Number(parent)] as const);
  const found = [of];
  // It grows while it is walked along.
  for (const one of found) found.push(...pairs.flatMap(([pid, parent]) => (parent === one ? [pid] : [])));
  return found;
}

/** Ends all of it at once. */
function end(): void {
  if (vitest.pid === undefined) return;
  for (const pid of family(vitest.pid)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, end);
let isLate = false;
const deadline = setTimeout(() => {
  isLate = true;
  end();
}, limitMs);
const code = await new Promise<number>((resolve, reject) => {
  vitest.once("error", reject);
  vitest.once("close", (status) => resolve(status ?? 1));
});
clearTimeout(deadline);

const lines = existsSync(figures) ? readFileSync(figures, "utf8").trim().split("\n") : [];
const rows = lines
  .filter((line) => line !== "")
  .map((line) => JSON.parse(line) as Figure)
  .toSorted((a, b) => a.what.localeCompare(b.what, "en", { numeric: true }));
const width = Math.max(4, ...rows.map(({ what }) => what.length));
const column = Math.max(6, ...rows.map(({ value }) => value.length));
const row = (what: string, value: string) => `| ${what.padEnd(width)} | ${value.padEnd(column)} |`;
console.log(
  [
    "",
    row("what", "figure"),
    `| ${"-".repeat(width)} | ${"-".repeat(column)} |`,
    ...rows.map(({ what, value }) => row(what, value)),
    "",
    `${cpus().length} × ${cpus()[0]?.model.trim()}, Node.js ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}`,
    `${paths.length} files in ${Math.round((performance.now() - began) / 1000)} s; CHAOS_SEED=${seed}`,
    ...(isLate ? [`It took more than ${limitMs / 1000} s and was ended.`] : []),
  ].join("\n"),
);
await rm(directory, { recursive: true });
process.exitCode = isLate ? 1 : code;
