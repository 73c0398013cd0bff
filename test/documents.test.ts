import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseEnv, promisify } from "node:util";
import { type TObject, type TSchema, Type } from "typebox";
import { Value } from "typebox/value";
import { afterAll, beforeAll, expect, test } from "vitest";
import { filled, generatedFiles } from "../scripts/generated-files.ts";
import { startMarket } from "../src/demo/market.ts";
import { startRedisServer } from "../src/demo/redis-server.ts";
import {
  AuthStatus,
  changeOf,
  ErrorResponse,
  removalOf,
  requestOf,
  responseOf,
  StreamOpened,
  StreamStatus,
} from "../src/docs/frames.ts";
import { operations, operationsByWireName } from "../src/operations/index.ts";
import type { LiveQuery, Operation } from "../src/operations/operation.ts";
import { errorCodes, isErrorCode } from "../src/protocol/errors.ts";
import { readerRules } from "../src/redis/reader.ts";
import { readSettings, type SettingName, settings } from "../src/server/settings.ts";
import { CacheWebSocketServer } from "../src/server/websocket-server.ts";
import { blocks, makeProgramFolder, programsIn } from "./kit/documents.ts";

const run = promisify(execFile);
const documents = readdirSync(".").filter((name) => name.endsWith(".md"));
const textOf = (path: string) => readFileSync(path, "utf8");
const all = documents.map(textOf).join("\n");

test("what is generated in documents is up to date; if not: npm run generate", async () => {
  for (const [path, text] of await generatedFiles())
    if (!path.startsWith("src/")) expect(textOf(path), path).toBe(text);
});

test("a section that nobody generates is a mistake", () => {
  expect(() => filled("<!-- generated: nonsense -->\n<!-- end generated -->")).toThrow("no section is called nonsense");
  expect(filled("plain text")).toBe("plain text");
});

test("an .env made from the example, with every # taken away, sets every setting to its default", () => {
  const names = Object.keys(settings) as SettingName[];
  const env = parseEnv(textOf(".env.example").replace(/^#(?=[A-Z_]+=)/gm, ""));
  expect(Object.keys(env).toSorted()).toEqual(names.map((name) => settings[name].env[0]).toSorted());
  expect(readSettings({ env: env as Record<string, string> })).toEqual(readSettings({}));
});

// What is shown must hold nothing besides what is declared, although a client has to ignore it.
const closed = ({ properties }: TObject) => Type.Object(properties, { additionalProperties: false });

const liveByType = new Map(
  Object.values<Operation>(operations).flatMap((one) => (one.kind === "live" ? [[one.type, one] as const] : [])),
);

/** Fails unless a value is a frame as the protocol declares it. `asked`: the operation of each request before it. */
function expectFrame(frame: Record<string, unknown>, asked: Map<unknown, Operation>): void {
  const fits = (schema: TSchema) => expect([...Value.Errors(schema, frame)], JSON.stringify(frame)).toEqual([]);
  if ("operation" in frame) {
    const name = String(frame["operation"]);
    const operation = operationsByWireName.get(name) as Operation;
    fits(closed(requestOf("", name, operation)));
    expect(operation.check(frame["params"] ?? {}), JSON.stringify(frame)).toBeUndefined();
    asked.set(frame["request_id"], operation);
  } else if (frame["success"] === true) {
    const operation = asked.get(frame["request_id"]) as Operation;
    fits(closed(responseOf("", operation.kind === "query" ? operation.result : closed(StreamOpened))));
  } else if ("success" in frame) {
    fits(closed(ErrorResponse));
    const { error_code: code, retryable } = frame;
    expect(isErrorCode(code) && errorCodes[code].retryable).toBe(retryable);
  } else if (frame["type"] === "stream_status") fits(closed(StreamStatus));
  else if (frame["type"] === "auth_status") fits(closed(AuthStatus));
  else {
    const live = liveByType.get(String(frame["type"])) as LiveQuery;
    fits(frame["removed"] === true ? closed(removalOf("", live) as TObject) : changeOf("", live));
  }
}

/** Fails unless the ids of each topic in a conversation follow each other, from the first snapshot on. */
function expectIdsInOrder(frames: readonly Record<string, unknown>[]): void {
  const last = new Map<unknown, number>();
  for (const { type, topic, update_id: id, snapshot, skipped = 0 } of frames) {
    if (typeof id !== "number") continue;
    const before = last.get(topic);
    if (type !== "stream_status" && !snapshot && before !== undefined)
      expect(id, `${topic}`).toBe(before + 1 + Number(skipped));
    last.set(topic, id);
  }
}

test("every frame in PROTOCOL.md is one that the protocol knows", () => {
  const asked = new Map<unknown, Operation>();
  // One frame over several lines, or a conversation with a frame on each.
  const conversations = blocks("PROTOCOL.md", "json").map((block) => {
    const frames = block.startsWith("{\n") ? [block] : block.trim().split("\n");
    return frames.map((frame) => JSON.parse(frame) as Record<string, unknown>);
  });
  expect(conversations.length).toBeGreaterThan(10);
  for (const frames of conversations) {
    for (const frame of frames) expectFrame(frame, asked);
    expectIdsInOrder(frames);
  }
});

test("every error code is raised somewhere", () => {
  const sources = readdirSync("src", { recursive: true, encoding: "utf8" }).filter(
    (path) => path.endsWith(".ts") && !path.endsWith("errors.ts"),
  );
  const source = sources.map((path) => textOf(join("src", path))).join("\n");
  expect(Object.keys(errorCodes).filter((code) => !source.includes(`"${code}"`))).toEqual([]);
});

test("the Redis user in README.md is the one that the tests use", () => {
  const block = blocks("README.md", "").find((text) => text.startsWith("ACL SETUSER"));
  const words = (text: string) => text.trim().split(/\s+/);
  expect(words(block ?? "")).toEqual(["ACL", "SETUSER", "fullon_cache_api", ...words(readerRules("PASSWORD"))]);
});

/** The anchors of the headings of a document, as GitHub makes them. */
function anchors(document: string): string[] {
  const text = textOf(document).replace(/^```[\s\S]*?^```$/gm, "");
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

const furtherDocuments = readdirSync("docs")
  .filter((name) => name.endsWith(".md"))
  .map((name) => join("docs", name));

test.each([...documents, ...furtherDocuments, "examples/README.md"])("every link in %s leads somewhere", (document) => {
  const text = textOf(document).replace(/^```[\s\S]*?^```$/gm, "");
  for (const [, link = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^https?:/.test(link)) continue;
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? document : join(dirname(document), path);
    expect(existsSync(target), link).toBe(true);
    if (anchor !== undefined) expect(anchors(target), link).toContain(anchor);
  }
});

test("every file, make target and npm script that a document names is there", () => {
  const code = [...all.matchAll(/`([^`\n]+)`/g), ...all.matchAll(/^```(?:sh)?\n([\s\S]*?)^```$/gm)].map(([, it]) => it);
  const named = (pattern: RegExp) => [...new Set([...code.join("\n").matchAll(pattern)].map(([, name = ""]) => name))];
  const scripts = Object.keys(JSON.parse(textOf("package.json")).scripts);
  expect(scripts).toEqual(expect.arrayContaining(named(/\bnpm run (\w+)/g)));
  const targets = [...textOf("Makefile").matchAll(/^([a-z-]+):/gm)].map(([, target]) => target);
  expect(targets).toEqual(expect.arrayContaining(named(/\bmake ([a-z]+)/g)));
  const paths = named(/(?<![\w./-])((?:src|test|scripts|examples)\/[\w./-]*\w)/g);
  expect(paths.filter((path) => !existsSync(path))).toEqual([]);
});

test("ARCHITECTURE.md lists every source file", () => {
  const tree = blocks("ARCHITECTURE.md", "").find((text) => text.startsWith("src/")) ?? "";
  const parents: string[] = [];
  const listed = tree.split("\n").flatMap((line) => {
    const [, indent = "", name] = /^( *)([\w./-]+)/.exec(line) ?? [];
    if (name === undefined) return [];
    const depth = indent.length / 2;
    const path = join(...parents.slice(0, depth), name);
    parents.splice(depth, parents.length, path.slice(path.lastIndexOf("/", path.length - 2) + 1));
    return [path];
  });
  const isWhole = (folder: string) => !listed.some((path) => path !== folder && path.startsWith(folder));
  const whole = listed.filter((path) => path.endsWith("/") && isWhole(path));
  const files = readdirSync("src", { recursive: true, encoding: "utf8" })
    .map((path) => join("src", path))
    .filter((path) => path.endsWith(".ts") && !whole.some((folder) => path.startsWith(folder)));
  expect(listed.filter((path) => path.endsWith(".ts")).toSorted()).toEqual(files.toSorted());
  for (const folder of whole) expect(existsSync(folder), folder).toBe(true);
});

// What follows takes the documents at their word, in a copy of the project: the example of CONTRIBUTING.md is carried out
// in it, and the programs of the others are run.
const [declaration = "", trial = ""] = blocks("CONTRIBUTING.md", "ts");
const programs = ["README.md", "ARCHITECTURE.md", "docs/upgrading-from-python.md"].flatMap((document) =>
  programsIn(document),
);
const patienceMs = 60_000;
let copy = "";

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), "fullon-cache-api-documents-"));
  for (const path of ["src", "scripts", "test/kit", "package.json", "tsconfig.json", "biome.json", ".gitignore"])
    cpSync(path, join(copy, path), { recursive: true });
  mkdirSync(join(copy, ".git"));
  symlinkSync(resolve("node_modules"), join(copy, "node_modules"));
  const domain = join(copy, "src/operations/tickers.ts");
  const begin = "export const tickers = domain({\n";
  writeFileSync(domain, textOf(domain).replace(begin, begin + declaration));
  writeFileSync(join(copy, "test/example.test.ts"), trial);
  makeProgramFolder(join(copy, "programs"), copy);
  await run(process.execPath, ["--import", "tsx", "scripts/generate.ts"], { cwd: copy });
}, patienceMs);

afterAll(() => rm(copy, { recursive: true, force: true }));

test.concurrent("the example in CONTRIBUTING.md works as it stands there", { timeout: patienceMs }, async () => {
  expect(textOf(join(copy, "src/operations/tickers.ts"))).toContain(declaration);
  await run("node_modules/.bin/vitest", ["run", "test/example.test.ts"], { cwd: copy });
});

test.concurrent("every program in the documents runs to its end and says something", {
  timeout: patienceMs,
}, async () => {
  await using redis = await startRedisServer();
  await using _market = await startMarket(redis.url, { intervalMs: 20 });
  await using server = new CacheWebSocketServer({ port: 0, redis: redis.url, logLevel: "silent" });
  await server.start();
  const outputs = programs.map(async ({ name, text }) => {
    const here = text
      .replaceAll("ws://localhost:8765", server.url)
      .replaceAll("redis://localhost:6379", redis.url)
      .replaceAll("port: 8765", 'port: 0, logLevel: "silent"');
    const path = join(copy, "programs", name);
    writeFileSync(path, here);
    return { name, ...(await run(process.execPath, ["--import", "tsx", path], { cwd: join(copy, "programs") })) };
  });
  for (const { name, stdout, stderr } of await Promise.all(outputs)) {
    expect(stdout, name).not.toBe("");
    expect(stderr, name).toBe("");
  }
});
