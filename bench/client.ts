// How many updates a second the client takes in, beside the same socket without it.
// Run it with: node --import tsx bench/client.ts
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { measureBrowser } from "./client/browser.ts";
import type { Run } from "./client/reader.ts";

/** What was measured in one case: medians over the rounds. */
export interface ClientRow {
  readonly name: string;
  /** Updates per second of CPU time; in the browser, per second. */
  readonly client: number;
  /** The same without the client: the bare socket, or JSON.parse alone. */
  readonly bare: number;
  /** What the client costs, as a multiple of what it takes without it: the median of the rounds, least and most. */
  readonly cost: { readonly median: number; readonly least: number; readonly most: number };
  /** The share of the updates that the reader was given one by one; the others were counted as skipped. */
  readonly seen?: number;
  /** By how much the memory of the process grew at most, in MiB. */
  readonly grownMb?: number;
}

/** What the benchmark of the client comes to. */
export interface ClientResults {
  readonly updates: number;
  readonly rounds: number;
  /** How many updates the server could send each second, if taking them cost nothing. */
  readonly serverCan: number;
  readonly rows: readonly ClientRow[];
}

const clientCore = "0";
const serverCore = "1";
const tsx = ["--import", "tsx"];
const pathOf = (file: string) => fileURLToPath(new URL(`client/${file}`, import.meta.url));

/** With and without the client: over a socket, and from frames that are there already. */
const cases = [
  { name: "one stream, one topic", what: "one", client: "client", bare: "bare" },
  { name: "one stream, 1,000 topics", what: "topics", client: "client", bare: "bare" },
  { name: "merge() of 4 streams", what: "merge", client: "client", bare: "bare" },
  { name: "trades", what: "trades", client: "client", bare: "bare" },
  { name: "slow reader (waits after each)", what: "slow", client: "client", bare: "bare" },
  // Longer, since here the first moments, in which nothing is compiled yet, are a large part of the whole.
  { name: "no socket: one topic", what: "one", client: "handed", bare: "parsed", times: 10 },
  { name: "no socket: 1,000 topics", what: "topics", client: "handed", bare: "parsed", times: 10 },
] as const;

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function startServer(): Promise<{ child: ChildProcess; port: number }> {
  const command = ["-c", serverCore, process.execPath, ...tsx, pathOf("server.ts")];
  const child = spawn("taskset", command, { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(createInterface(child.stdout), "line");
  return { child, port: Number(line) };
}

async function run(how: string, what: string, port: number, updates: number): Promise<Run> {
  const command = ["-c", clientCore, process.execPath, ...tsx, pathOf("reader.ts"), how, what, `${port}`, `${updates}`];
  const { stdout } = await promisify(execFile)("taskset", command);
  return JSON.parse(stdout);
}

function rowOf(name: string, pairs: readonly { readonly client: Run; readonly bare: Run }[]): ClientRow {
  const rate = ({ seen, skipped, cpuMs }: Run) => ((seen + skipped) / cpuMs) * 1_000;
  const costs = pairs.map(({ client, bare }) => rate(bare) / rate(client));
  return {
    name,
    client: middle(pairs.map(({ client }) => rate(client))),
    bare: middle(pairs.map(({ bare }) => rate(bare))),
    cost: { median: middle(costs), least: Math.min(...costs), most: Math.max(...costs) },
    seen: middle(pairs.map(({ client: { seen, skipped } }) => seen / (seen + skipped))),
    grownMb: Math.max(...pairs.map(({ client }) => client.grownMb)),
  };
}

async function browserRow(port: number, updates: number, rounds: number): Promise<ClientRow> {
  const { client, bare } = await measureBrowser(port, updates, rounds);
  const costs = client.map((ms, round) => ms / (bare[round] ?? Number.NaN));
  const rate = (times: readonly number[]) => (updates / middle(times)) * 1_000;
  const cost = { median: middle(costs), least: Math.min(...costs), most: Math.max(...costs) };
  return { name: "chromium: one stream, one topic", client: rate(client), bare: rate(bare), cost };
}

/** Measures the client: with and without it in turn, in processes of their own. */
export async function measureClient(rounds = 5, updates = 500_000): Promise<ClientResults> {
  const { child, port } = await startServer();
  try {
    const rows = [];
    for (const { name, what, client, bare, ...more } of cases) {
      const all = updates * ("times" in more ? more.times : 1);
      const pairs = [];
      for (let round = 0; round < rounds; round++)
        pairs.push({ client: await run(client, what, port, all), bare: await run(bare, what, port, all) });
      rows.push(rowOf(name, pairs));
    }
    // A browser takes 20 times as long, so short rounds, and more of them.
    rows.push(await browserRow(port, Math.ceil(updates / 20), 2 * rounds + 1));
    const { seen, elapsedMs } = await run("floor", "one", port, updates);
    return { updates, rounds, serverCan: (seen / elapsedMs) * 1_000, rows };
  } finally {
    child.stdin?.end();
  }
}

function print({ updates, rounds, serverCan, rows }: ClientResults): void {
  const thousands = (value: number) => `${Math.round(value / 1_000)} k/s`;
  const line = (...cells: string[]) =>
    console.log(cells.map((cell, at) => (at ? cell.padStart(at === 3 ? 20 : 10) : cell.padEnd(32))).join(""));
  console.log(`${updates} updates a run, ${rounds} rounds; the server can send ${thousands(serverCan)}`);
  line("", "client", "without", "cost", "seen", "memory");
  for (const { name, client, bare, cost, seen, grownMb } of rows) {
    const spread = `× ${cost.median.toFixed(2)} (${cost.least.toFixed(2)}–${cost.most.toFixed(2)})`;
    const rest = [
      seen === undefined ? "" : `${(seen * 100).toFixed(2)} %`,
      grownMb === undefined ? "" : `+${grownMb.toFixed(0)} MiB`,
    ];
    line(name, thousands(client), thousands(bare), spread, ...rest);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) print(await measureClient());
