import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { copyFile, cp, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { fullonCacheApi } from "../src/client/websocket-client.ts";
import { start } from "./kit/program.ts";
import { startRedis } from "./kit/redis.ts";

vi.setConfig({ maxConcurrency: 3, testTimeout: 60_000, hookTimeout: 60_000 });

const execute = promisify(execFile);
const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL("../", import.meta.url));
const tsc = join(root, "node_modules", ".bin", "tsc");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const scratch = mkdtempSync(join(tmpdir(), "fullon-cache-api-package-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** The checkout as far as a package is made of it, built here so that the real one's `dist` is nobody's concern. */
const checkout = join(scratch, "checkout");
/** A project that has the package installed. */
const project = join(scratch, "project");
const installed = join(project, "node_modules", manifest.name);

// An npm that needs no network, runs no scripts, and knows nobody's settings.
const npm = {
  npm_config_cache: join(scratch, "npm"),
  npm_config_ignore_scripts: "true",
  npm_config_offline: "true",
  npm_config_update_notifier: "false",
  npm_config_userconfig: join(scratch, "npmrc"),
};

const tarball = () => join(scratch, readdirSync(scratch).find((name) => name.endsWith(".tgz")) ?? "");

/** Runs a program to its end. @throws Error its exit code is not 0 */
async function execution(file: string, args: readonly string[], cwd: string): Promise<string> {
  const { stdout } = await execute(file, args, { cwd, env: { ...process.env, ...npm } });
  return stdout;
}

/** Links what the package depends on, and nothing besides: what it uses without saying so is not found. */
async function linkDependencies(modules: string): Promise<void> {
  for (const name of Object.keys(manifest.dependencies)) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(root, "node_modules", name), join(modules, name));
  }
}

beforeAll(async () => {
  await mkdir(checkout);
  for (const file of await readdir(root))
    if (/^(package\.json|tsconfig.*\.json|LICENSE|.*\.md)$/.test(file))
      await copyFile(join(root, file), join(checkout, file));
  for (const folder of ["api", "src"]) await cp(join(root, folder), join(checkout, folder), { recursive: true });
  await linkDependencies(join(checkout, "node_modules"));
  await linkDependencies(join(project, "node_modules"));
  const types = ["--typeRoots", join(root, "node_modules", "@types")];
  await execution(tsc, ["-p", "tsconfig.build.json", ...types], checkout);
  await execution("npm", ["pack", "--pack-destination", scratch], checkout);
  await mkdir(installed);
  await execution("tar", ["-xzf", tarball(), "-C", installed, "--strip-components=1"], scratch);
  const dependencies = { [manifest.name]: "*" };
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module", dependencies }));
  await execution("npm", ["rebuild"], project);
});

test("the package holds what is built, its sources and what is to be read, and nothing else", () => {
  const kinds = new Set(readdirSync(installed).filter((name) => !name.endsWith(".md")));
  expect([...kinds].sort()).toEqual(["LICENSE", "api", "dist", "package.json", "src"]);
  expect(readdirSync(join(installed, "api")).sort()).toEqual(["asyncapi.json", "reference.html", "schema.json"]);
  const files = readdirSync(join(installed, "dist"), { recursive: true, encoding: "utf8" });
  expect(files.filter((file) => /\.\w+$/.test(file) && !/\.(js|d\.ts)(\.map)?$/.test(file))).toEqual([]);
  expect(existsSync(join(installed, "dist", "cli", "main.js"))).toBe(true);
});

test("every source map leads to a source that is in the package", () => {
  const dist = join(installed, "dist");
  const maps = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".map"));
  const kinds = new Set(maps.map((file) => file.replace(/^[^.]*/, "")));
  expect([...kinds].sort()).toEqual([".d.ts.map", ".js.map"]);
  for (const file of maps) {
    const { sources, sourcesContent } = JSON.parse(readFileSync(join(dist, file), "utf8"));
    expect(sourcesContent, file).toBeUndefined();
    for (const source of sources) expect(existsSync(join(dist, dirname(file), source)), source).toBe(true);
  }
});

test("publint has nothing to say about the package", async () => {
  const { messages, pkg } = await publint({ pkgDir: installed, pack: false, strict: true });
  expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
});

test("attw finds the types of every entry, for all who can import ES modules", async () => {
  const { bin } = JSON.parse(readFileSync(require.resolve("@arethetypeswrong/cli/package.json"), "utf8"));
  const attw = join(dirname(require.resolve("@arethetypeswrong/cli/package.json")), bin.attw);
  await using program = start(process.execPath, [attw, tarball(), "--profile", "esm-only", "--format", "json"]);
  expect(await program.ended, program.text).toMatchObject({ code: 0 });
  const { analysis } = JSON.parse(program.lines.join("\n"));
  expect(Object.keys(analysis.entrypoints)).toEqual(expect.arrayContaining([".", "./client", "./server"]));
  expect(analysis.types).toEqual({ kind: "included" });
});

test.concurrent.each([
  ["a project that has it installed", project],
  ["its own checkout", checkout],
])("npx fullon-cache-api serves from %s", async (_where, cwd) => {
  await using redis = await startRedis();
  await redis.replay("commands");
  const env = { ...npm, REDIS_URL: redis.gatewayUrl, LOG_LEVEL: "warn" };
  await using serve = start("npx", ["--no-install", manifest.name, "serve", "--port", "0"], { cwd, env });
  const line = await serve.line(/^listening on /);
  await using cache = await fullonCacheApi(line.slice("listening on ".length));
  expect(await cache.getTicker("binance", "BTC/USDT")).toMatchObject({ price: 97_321.45 });
  expect((await cache.getServerInfo()).version).toBe(manifest.version);
  serve.interrupt();
  await serve.ended;
  expect({ lines: serve.lines, errors: serve.errors }).toEqual({ lines: [line], errors: [] });
});

test.concurrent("server and client can be imported by name, together or each by itself", async () => {
  await using redis = await startRedis();
  await redis.replay("commands");
  await writeFile(
    join(project, "program.js"),
    `import * as all from "fullon-cache-api";
     import * as client from "fullon-cache-api/client";
     import * as server from "fullon-cache-api/server";
     import manifest from "fullon-cache-api/package.json" with { type: "json" };
     import asyncApi from "fullon-cache-api/asyncapi.json" with { type: "json" };
     import schema from "fullon-cache-api/schema.json" with { type: "json" };
     const gateway = new server.CacheWebSocketServer({ port: 0, redis: process.env.REDIS_URL, logLevel: "silent" });
     await gateway.start();
     const cache = await client.fullonCacheApi(gateway.url);
     const missing = await cache.getTicker("binance", "NO/SUCH").catch((error) => error);
     for await (const update of all.merge({ one: cache.streamTickers("binance", ["BTC/USDT"]) })) {
       console.log(JSON.stringify(update[1].price));
       break;
     }
     console.log(missing instanceof all.CacheError, missing.code, manifest.version);
     console.log(Object.keys({ ...client, ...server }).sort().join() === Object.keys(all).sort().join());
     const shown = await fetch(gateway.url.replace("ws", "http") + "/docs");
     console.log(shown.status, asyncApi.info.version, typeof schema.definitions.Ticker, (await shown.text()).length > 10_000);
     await cache.close();
     await gateway.stop();`,
  );
  await using program = start(process.execPath, ["program.js"], { cwd: project, env: { REDIS_URL: redis.gatewayUrl } });
  expect(await program.ended, program.text).toEqual({ code: 0, signal: null });
  expect(program.lines).toEqual([
    "97321.45",
    `true TICKER_NOT_FOUND ${manifest.version}`,
    "true",
    `200 ${manifest.version} object true`,
  ]);
});

// Where every Node.js is tried, they come from the registry: `make check` does that.
test.concurrent.for([20, 22, 24])(
  "server and client work in Node.js %s",
  {
    timeout: 300_000,
  },
  async (major, { skip }) => {
    if (!process.env["EVERY_NODE"]) return skip("`make check` tries every Node.js");
    const npx = ["-y", `node@${major}`];
    const found = await execute("npx", [...npx, "--version"], { timeout: 200_000 }).catch((error) => String(error));
    if (typeof found === "string") return skip(`node@${major} could not be had: is the registry reachable? ${found}`);
    expect(found.stdout).toMatch(new RegExp(`^v${major}\\.`));
    await using redis = await startRedis();
    await redis.replay("commands");
    await writeFile(
      join(project, `node-${major}.js`),
      `import { CacheWebSocketServer, fullonCacheApi } from "fullon-cache-api";
     const gateway = new CacheWebSocketServer({ port: 0, redis: process.env.REDIS_URL, logLevel: "silent" });
     await gateway.start();
     const cache = await fullonCacheApi(gateway.url);
     const missing = await cache.getTicker("binance", "NO/SUCH").catch(({ code }) => code);
     for await (const { price, snapshot } of cache.streamTickers("binance", ["BTC/USDT"])) {
       console.log(process.versions.node.split(".")[0], price, snapshot, missing);
       break;
     }
     await cache.close();
     await gateway.stop();`,
    );
    const { stdout, stderr } = await execute("npx", [...npx, join(project, `node-${major}.js`)], {
      env: { ...process.env, REDIS_URL: redis.gatewayUrl },
      timeout: 60_000,
    });
    expect([stdout, stderr.replace(/^npm warn.*\n/gm, "")]).toEqual([`${major} 97321.45 true TICKER_NOT_FOUND\n`, ""]);
  },
);

test.concurrent("its types are found, and tell a right program from a wrong one", async () => {
  const types = (text: string) => `import { fullonCacheApi, type Ticker } from "fullon-cache-api";
    import { merge } from "fullon-cache-api/client";
    import { CacheWebSocketServer } from "fullon-cache-api/server";
    const server = await new CacheWebSocketServer({ port: 0 }).start();
    const cache = await fullonCacheApi(server.url);
    const ticker: Ticker = await cache.getTicker("binance", "BTC/USDT");
    for await (const [name, update] of merge({ bots: cache.streamBotStatus() }))
      if (!update.removed) console.log(name satisfies "bots", update.feeds, ticker.price);
    ${text}`;
  await writeFile(join(project, "right.ts"), types("await cache.close();"));
  await writeFile(join(project, "wrong.ts"), types('await cache.getTicker("binance");'));
  const compilerOptions = { strict: true, noEmit: true, module: "nodenext", target: "es2023", skipLibCheck: true };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  await using program = start(tsc, ["-p", "."], { cwd: project });
  expect(await program.ended).toMatchObject({ code: 1 });
  expect(program.lines.filter((line) => line.includes("error"))).toEqual([
    expect.stringMatching(/^wrong\.ts\(\d+,\d+\): error TS2554: Expected 2-3 arguments, but got 1\.$/),
  ]);
});

test.concurrent.each([
  ["nodenext", "nodenext"],
  ["bundler", "preserve"],
])("its types are right where every library is checked and options are exact, under %s", async (resolution, module) => {
  const folder = join(project, resolution);
  await mkdir(folder);
  await writeFile(
    join(folder, "program.ts"),
    `import { CacheWebSocketServer, fullonCacheApi, merge } from "fullon-cache-api";
     import type { CacheClient, ClientOptions, Ticker } from "fullon-cache-api/client";
     import type { ServerOptions } from "fullon-cache-api/server";
     const options: ClientOptions = { timeoutMs: 5_000 };
     const settings: ServerOptions = { port: 0 };
     await using server = new CacheWebSocketServer(settings);
     const cache: CacheClient = await fullonCacheApi(server.url, options);
     const tickers: Ticker[] = await cache.getAllTickers("binance", { signal: AbortSignal.timeout(5_000) });
     for await (const [name] of merge({ tickers: cache.streamTickers("binance") })) console.log(name, tickers.length);`,
  );
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noEmit: true,
    skipLibCheck: false,
    module,
    moduleResolution: resolution,
    target: "es2023",
    lib: ["es2023", "esnext.disposable"],
    types: ["node"],
    typeRoots: [join(root, "node_modules", "@types")],
  };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["program.ts"] }));
  await using program = start(tsc, ["-p", "."], { cwd: folder });
  const { code } = await program.ended;
  expect({ code, text: program.text }).toEqual({ code: 0, text: "" });
});

test("what is installed at run time is pinned by its content, and runs no script when it is", async () => {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const { "": _own, ...packages } = lock.packages as Record<string, Readonly<Record<string, unknown>>>;
  const used = Object.entries(packages).filter(([, { dev, devOptional }]) => !dev && !devOptional);
  const names = used.map(([path]) => path.replace("node_modules/", ""));
  expect(names).toEqual(expect.arrayContaining(Object.keys(manifest.dependencies)));
  expect(used.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
  expect(used.filter(([, { integrity }]) => !/^sha512-/.test(String(integrity)))).toEqual([]);
  for (const [path] of used) {
    const { scripts = {} } = JSON.parse(readFileSync(join(root, path, "package.json"), "utf8"));
    const run = ["preinstall", "install", "postinstall"].filter((name) => Object.hasOwn(scripts, name));
    expect(run, path).toEqual([]);
  }
});
