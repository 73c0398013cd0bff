import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { asyncApi } from "../src/docs/asyncapi.ts";
import { jsonSchema } from "../src/docs/json-schema.ts";
import { reference } from "../src/docs/reference.ts";
import {
  closeCodesTable,
  envExample,
  errorsTable,
  methodsTable,
  metricsTable,
  operationsTables,
  parametersTable,
  scopesTable,
  settingsTable,
  streamsTable,
  typesBlock,
} from "../src/docs/tables.ts";
import { clientSource } from "./client-source.ts";

/** The parts of documents that are made from the declarations, by the name in their marks. */
const sections: Readonly<Record<string, () => string>> = {
  methods: methodsTable,
  operations: operationsTables,
  parameters: parametersTable,
  streams: streamsTable,
  types: typesBlock,
  scopes: scopesTable,
  errors: () => errorsTable("server"),
  "client errors": () => errorsTable("client"),
  "close codes": closeCodesTable,
  settings: settingsTable,
  metrics: metricsTable,
  ...frameSections(),
};

/** The files that are made from the declarations, wholly or in marked sections, by path, as they are kept. */
export async function generatedFiles(): Promise<Map<string, string>> {
  const client = "src/client/operations.ts";
  const named = (folder: string) => readdir(folder).catch(() => []);
  const documents = [...(await named(".")), ...(await named("docs")).map((name) => `docs/${name}`)].filter((name) =>
    name.endsWith(".md"),
  );
  const { version } = JSON.parse(await readFile("package.json", "utf8")) as { version: string };
  const json = (path: string, value: object): [string, string] => [path, formatted(path, JSON.stringify(value))];
  const texts = await Promise.all(documents.map((path) => readFile(path, "utf8")));
  return new Map([
    [client, formatted(client, await clientSource())],
    [".env.example", envExample()],
    json("api/asyncapi.json", asyncApi(version)),
    json("api/schema.json", jsonSchema()),
    ["api/reference.html", reference(version)],
    ...documents.map((path, at): [string, string] => [path, formatted(path, filled(texts[at] ?? ""))]),
  ]);
}

/** A document with its sections made anew: what stands between `<!-- generated: NAME -->` and `<!-- end generated -->`. */
export function filled(document: string): string {
  return document.replace(/(<!-- generated: (.+?) -->\n)[\s\S]*?(<!-- end generated -->)/g, (_, begin, name, end) => {
    const section = sections[name];
    if (!section) throw new Error(`no section is called ${name}; there are ${Object.keys(sections).join(", ")}`);
    return `${begin}\n${section()}\n\n${end}`;
  });
}

/** The frames as `src/protocol/frames.ts` declares them: `frame Request`, and so on. */
function frameSections(): Record<string, () => string> {
  const declarations = readFileSync("src/protocol/frames.ts", "utf8").split("\n\n");
  return Object.fromEntries(
    declarations.flatMap((text) => {
      const [, declaration, name] = /^export ((?:interface|type) (\w+)[\s\S]*)/m.exec(text) ?? [];
      if (declaration === undefined) return [];
      const plain = declaration
        .trim()
        .replaceAll("readonly ", "")
        .replace(/Readonly<(.*)>/g, "$1");
      return [[`frame ${name}`, () => `\`\`\`ts\n${plain}\n\`\`\``]];
    }),
  );
}

function formatted(path: string, text: string): string {
  return execFileSync("node_modules/.bin/biome", ["format", `--stdin-file-path=${path}`], {
    input: text,
    encoding: "utf8",
  });
}
