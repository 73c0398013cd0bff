import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Form } from "./plan.ts";

/** Where the results of a form go: those of a quick one are not worth keeping. */
export function folderOf(form: Form): string {
  return fileURLToPath(new URL(form === "quick" ? "build/results/" : "results/", import.meta.url));
}

function firstLineOf(command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { encoding: "utf8" }).split("\n", 1)[0] ?? "";
  } catch {
    return "";
  }
}

function machine() {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? "",
    cores: all.length,
    memoryGb: Math.round(totalmem() / 1e9),
    kernel: release(),
    node: process.version,
    redis: firstLineOf("redis-server", "--version"),
  };
}

/** What one section has measured, as it is kept. */
export interface Kept<T> {
  readonly section: string;
  readonly form: Form;
  readonly date: string;
  readonly seconds: number;
  readonly machine: ReturnType<typeof machine>;
  readonly plan: unknown;
  readonly data: T;
}

// What is measured in milliseconds and shares has no more digits than these.
const rounded = (_key: string, value: unknown) =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;

/** Keeps what a section has measured. */
export function keep(form: Form, one: Pick<Kept<unknown>, "section" | "seconds" | "plan" | "data">): void {
  const { section, seconds, plan, data } = one;
  const kept: Kept<unknown> = {
    section,
    form,
    date: new Date().toISOString(),
    seconds,
    machine: machine(),
    plan,
    data,
  };
  const folder = folderOf(form);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${section}.json`), `${JSON.stringify(kept, rounded, 1)}\n`);
}

/** What a section measured the last time; undefined where it never did. */
export function kept<T>(form: Form, section: string): Kept<T> | undefined {
  try {
    return JSON.parse(readFileSync(join(folderOf(form), `${section}.json`), "utf8")) as Kept<T>;
  } catch {
    return undefined;
  }
}
