import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { expect, test } from "vitest";

/** How one file uses another: its values, only its types, or its values late, by `import()`. */
type Use = "values" | "types" | "late";

/** The arrows between the rooms of src, and to packages. Who may use values may use types; a room may use itself. */
const arrows: Readonly<Record<string, Partial<Record<Use, readonly string[]>>>> = {
  "index.ts": { values: ["client", "server"] },
  protocol: {},
  operations: { values: ["protocol", "redis/values.ts", "npm:typebox"], types: ["redis/cache.ts"] },
  redis: { values: ["protocol", "npm:redis"] },
  server: {
    values: [
      "operations",
      "protocol",
      "redis",
      "npm:@opentelemetry/api",
      "npm:jose",
      "npm:pino",
      "npm:prom-client",
      "npm:typebox",
      "npm:ws",
      "node:",
    ],
  },
  client: { values: ["protocol"], types: ["operations"], late: ["npm:ws"] },
  demo: { values: ["npm:redis", "node:"] },
  docs: { values: ["operations", "protocol", "server/metrics.ts", "server/settings.ts", "npm:typebox"] },
  cli: {
    values: ["client", "demo", "operations", "protocol", "redis", "server", "npm:typebox", "npm:ws", "node:"],
    late: ["docs"],
  },
};

interface Import {
  readonly from: string;
  readonly use: Use;
  readonly to: string;
}

function importsOf(from: string, text: string): Import[] {
  const place = (named: string) => {
    if (named.startsWith(".")) return posix.join(posix.dirname(from), named);
    return named.startsWith("node:") ? named : `npm:${named}`;
  };
  const found = text.matchAll(
    /^(?:import|export) (?<type>type )?(?:[^;"]*? from )?"(?<now>[^"]+)";$|\bimport\("(?<later>[^"]+)"\)/gm,
  );
  return [...found].map(({ groups: { type, now, later } = {} }) => {
    const use = later !== undefined ? "late" : type === undefined ? "values" : "types";
    return { from, use, to: place(later ?? now ?? "") };
  });
}

const roomOf = (path: string) => path.split("/", 1)[0] ?? path;
const isWithin = (path: string, place: string) =>
  path === place || path.startsWith(place.endsWith(":") ? place : `${place}/`);

function isAllowed({ from, use, to }: Import): boolean {
  const { values = [], [use]: others = [] } = arrows[roomOf(from)] ?? {};
  return [roomOf(from), ...values, ...others].some((place) => isWithin(to, place));
}

const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));
const texts = new Map(files.map((file) => [file, readFileSync(`src/${file}`, "utf8")]));
const imports = files.flatMap((file) => importsOf(file, texts.get(file) ?? ""));

test("an import is read whatever its form", () => {
  const text = [
    'import { a, type B } from "./b.ts";',
    'import type {\n  C,\n} from "../c/d.ts";',
    'export * from "e";',
    'import "node:f";',
    'const { g } = await import("g/h");',
  ].join("\n");
  expect(importsOf("room/file.ts", text)).toEqual([
    { from: "room/file.ts", use: "values", to: "room/b.ts" },
    { from: "room/file.ts", use: "types", to: "c/d.ts" },
    { from: "room/file.ts", use: "values", to: "npm:e" },
    { from: "room/file.ts", use: "values", to: "node:f" },
    { from: "room/file.ts", use: "late", to: "npm:g/h" },
  ]);
  for (const [file, source] of texts) {
    const mentions = source.match(/ from "|^import "|\bimport\("/gm) ?? [];
    expect(imports.filter(({ from }) => from === file)).toHaveLength(mentions.length);
  }
});

test("every room has its arrows", () => {
  expect([...new Set(files.map(roomOf))].toSorted()).toEqual(Object.keys(arrows).toSorted());
});

test("imports go one way: along the arrows", () => {
  const wrong = imports.filter((one) => !isAllowed(one));
  expect(wrong.map(({ from, use, to }) => `${from} uses ${use} of ${to}`)).toEqual([]);
});

test("every arrow is needed", () => {
  const idle = Object.entries(arrows).flatMap(([room, uses]) =>
    Object.entries(uses).flatMap(([use, places]) =>
      places
        .filter(
          (place) => !imports.some((one) => roomOf(one.from) === room && one.use === use && isWithin(one.to, place)),
        )
        .map((place) => `${room} uses no ${use} of ${place}`),
    ),
  );
  expect(idle).toEqual([]);
});
