import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** The client as a web page gets it. */
export async function clientBundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../../src/client/index.ts", import.meta.url))],
    platform: "browser",
    format: "esm",
    target: "es2022",
    bundle: true,
    minify: true,
    write: false,
    logLevel: "error",
  });
  const [file] = outputFiles;
  if (!file) throw new Error("esbuild made nothing");
  return file.text;
}

/** Where the browser is. @throws Error there is none */
export function browserPath(): string {
  const directories = (process.env["PATH"] ?? "").split(delimiter);
  for (const name of ["chromium", "chromium-browser", "google-chrome"])
    for (const directory of directories) {
      const path = join(directory, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {}
    }
  throw new Error("There is no Chromium here: install one with `scripts/setup.sh --browser`.");
}

/** A browser with one page. */
export interface Browser extends AsyncDisposable {
  /** Resolves with its exit code when it ends by itself. */
  readonly ended: Promise<number | null>;
}

/** Opens a page in a browser of its own, which goes with all of its processes when it is disposed of. */
export async function visit(url: string): Promise<Browser> {
  const profile = await mkdtemp(join(tmpdir(), "fullon-cache-api-browser-"));
  const quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", ...quiet];
  // In a group of its own, because it is many processes.
  const child = spawn(browserPath(), [...flags, `--user-data-dir=${profile}`, url], {
    detached: true,
    stdio: "ignore",
  });
  const ended = once(child, "exit").then(([code]) => code as number | null);
  return {
    ended,
    async [Symbol.asyncDispose]() {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
      await ended;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
