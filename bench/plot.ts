import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Bar, barChart, lineChart } from "./chart.ts";
import type { FanoutReport } from "./fanout.ts";
import type { GrowthPoint } from "./growth.ts";
import { ours } from "./peers/ours.ts";
import type { Form } from "./plan.ts";
import type { QueriesReport } from "./queries.ts";
import { kept } from "./results.ts";
import { figure } from "./table.ts";

const folder = fileURLToPath(new URL("../docs/performance/", import.meta.url));

function growth(form: Form, along: GrowthPoint["along"]): string | undefined {
  const points = kept<readonly GrowthPoint[]>(form, "growth")?.data.filter((one) => one.along === along) ?? [];
  const drawn = points.map(({ count, cpu }) => ({ x: count, y: cpu.median, min: cpu.min, max: cpu.max }));
  const known = drawn.filter(({ y }) => typeof y === "number");
  const about = along === "subscribers" ? "subscribers of one ticker" : "topics with ten followers each";
  if (known.length < 2) return undefined;
  return lineChart(`CPU per delivery over ${along}`, { x: about, y: "µs per delivery" }, known);
}

function bars(title: string, about: string, all: readonly { readonly peer: string; readonly value: number }[]) {
  const drawn = all
    .filter(({ value }) => value > 0)
    .map(({ peer, value }): Bar => ({ name: peer, value, label: `${figure(value)}/s`, ours: peer === ours.name }));
  return drawn.length < 2 ? undefined : barChart(title, about, drawn);
}

function hot(form: Form): string | undefined {
  const report = kept<readonly FanoutReport[]>(form, "fan-out")?.data.find(({ scenario }) => scenario === "hot-1000");
  const all = report?.peers.map(({ peer, deliveriesPerSecond }) => ({ peer, value: deliveriesPerSecond.median }));
  return report && bars("Deliveries per second", report.about, all ?? []);
}

function questions(form: Form): string | undefined {
  const report = kept<readonly QueriesReport[]>(form, "queries")?.data.find(({ scenario }) => scenario === "hot-64x8");
  const all = report?.peers.map(({ peer, requestsPerSecond }) => ({ peer, value: requestsPerSecond.median }));
  return report && bars("Requests per second", report.about, all ?? []);
}

/** Draws what was measured, as far as it was, for the documents. */
export function plot(form: Form): void {
  const pictures = {
    "growth-subscribers": growth(form, "subscribers"),
    "growth-topics": growth(form, "topics"),
    "hot-1000": hot(form),
    "hot-64x8": questions(form),
  };
  mkdirSync(folder, { recursive: true });
  for (const [name, svg] of Object.entries(pictures)) if (svg) writeFileSync(`${folder}${name}.svg`, svg);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) plot("normal");
