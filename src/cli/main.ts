#!/usr/bin/env node
import cluster from "node:cluster";
import { run } from "./run.ts";
import { processScreen } from "./screen.ts";

const end = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    // A terminal signals every process at once; a worker waits for its turn.
    if (cluster.isWorker) return;
    // Asked twice, it no longer takes its time.
    if (end.signal.aborted) process.exit(1);
    end.abort();
  });
// SIGHUP is also what is left of a terminal that was closed: commands that have nothing to read again end then.
let reload = () => end.abort();
process.on("SIGHUP", () => {
  if (cluster.isPrimary) reload();
});
// Whoever read the output has gone. A lost log is no reason to end.
process.stdout.on("error", () => end.abort());
process.stderr.on("error", () => {});

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  out: (line) => void process.stdout.write(`${line}\n`),
  error: (line) => void process.stderr.write(`fullon-cache-api: ${line}\n`),
  signal: end.signal,
  onReload: (listener) => {
    reload = listener;
  },
  screen: processScreen(),
});
