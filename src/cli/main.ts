#!/usr/bin/env node
import { run } from "./run.ts";

const end = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    // Asked twice, it no longer takes its time.
    if (end.signal.aborted) process.exit(1);
    end.abort();
  });
// Whoever read the output has gone.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => end.abort());

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  out: (line) => void process.stdout.write(`${line}\n`),
  error: (line) => void process.stderr.write(`fullon-cache-api: ${line}\n`),
  signal: end.signal,
});
