import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { isReleased, released } from "../scripts/changelog.ts";
import { start } from "./kit/program.ts";

const changelog = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- This.\n\n## [0.9.0] - 2026-01-02\n\n- That.\n";

test("what is unreleased becomes a version, and what follows is unreleased again", () => {
  const after = released(changelog, "1.0.0", "2026-02-03");
  expect(after).toBe(changelog.replace("### Added", "## [1.0.0] - 2026-02-03\n\n### Added"));
  expect([isReleased(after, "1.0.0"), isReleased(after, "0.9.0"), isReleased(after, "1.0")]).toEqual([
    true,
    true,
    false,
  ]);
  expect(() => released(after, "1.1.0", "2026-02-04")).toThrow("nothing under [Unreleased]");
});

test("no version is made of nothing, twice, or under a name that is none", () => {
  expect(() => released(changelog, "0.9.0", "2026-02-03")).toThrow("CHANGELOG.md has 0.9.0 already");
  expect(() => released("# Changelog\n", "1.0.0", "2026-02-03")).toThrow("nothing under [Unreleased]");
  for (const wrong of ["", "v1.0.0", "1.0", "1.0.0 ", "01.0.0", "1.0.0; rm -rf /", "--check"])
    expect(() => released(changelog, wrong, "2026-02-03"), wrong).toThrow("is no version like 1.2.3");
});

test("the command makes a version of the whole project, and afterwards finds it made", {
  timeout: 120_000,
}, async () => {
  const copy = mkdtempSync(join(tmpdir(), "fullon-cache-api-release-"));
  onTestFinished(() => rmSync(copy, { recursive: true }));
  for (const path of [
    "src",
    "scripts",
    "package.json",
    "package-lock.json",
    "biome.json",
    ".gitignore",
    "CHANGELOG.md",
  ])
    cpSync(path, join(copy, path), { recursive: true });
  mkdirSync(join(copy, ".git"));
  symlinkSync(resolve("node_modules"), join(copy, "node_modules"));
  writeFileSync(join(copy, "CHANGELOG.md"), changelog);
  const run = async (...args: string[]) => {
    await using program = start("npm", ["run", "--silent", "release", "--", ...args], { cwd: copy });
    return { ...(await program.ended), said: program.text };
  };
  expect(await run("--check", "7.8.9")).toMatchObject({ code: 1, said: expect.stringContaining("package.json is at") });
  expect(await run("0.9.0")).toMatchObject({ code: 1, said: expect.stringContaining("has 0.9.0 already") });
  expect(await run("7.8.9")).toMatchObject({ code: 0, said: expect.stringContaining("git tag v7.8.9") });
  const versionIn = (file: string) => JSON.parse(readFileSync(join(copy, file), "utf8")).version;
  expect(["package.json", "package-lock.json"].map(versionIn)).toEqual(["7.8.9", "7.8.9"]);
  expect(JSON.parse(readFileSync(join(copy, "api/asyncapi.json"), "utf8")).info.version).toBe("7.8.9");
  expect(await run("--check", "7.8.9")).toMatchObject({ code: 0 });
  writeFileSync(join(copy, "CHANGELOG.md"), changelog);
  expect(await run("--check", "7.8.9")).toMatchObject({
    code: 1,
    said: expect.stringContaining("does not say what is in"),
  });
});

test("the workflows check every Node.js that is supported before anything is published", () => {
  const [ci = "", release = ""] = ["ci", "release"].map((name) =>
    readFileSync(`.github/workflows/${name}.yml`, "utf8"),
  );
  expect(ci).toContain("node: [20, 22, 24]");
  expect(ci).toContain("- run: .ci/run");
  expect(release).toMatch(/check:\n\s+uses: \.\/\.github\/workflows\/ci\.yml/);
  expect(release).toMatch(/publish:\n\s+needs: check/);
  expect(release).toMatch(/id-token: write[\s\S]*npm publish --provenance/);
  expect(JSON.parse(readFileSync("package.json", "utf8")).engines.node).toBe(">=20.19");
});
