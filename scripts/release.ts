import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { isReleased, released } from "./changelog.ts";

// `npm run release 1.2.3` makes a version of what is unreleased; with `--check` it only looks whether this was done.
const isCheck = process.argv.includes("--check");
const version = process.argv.slice(2).find((argument) => argument !== "--check") ?? "";
const changelog = readFileSync("CHANGELOG.md", "utf8");

function fail(why: string): never {
  console.error(`release: ${why}`);
  process.exit(1);
}

if (isCheck) {
  const { version: ours } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  if (ours !== version) fail(`package.json is at ${ours}, not ${version}`);
  if (!isReleased(changelog, version)) fail(`CHANGELOG.md does not say what is in ${version}`);
} else {
  try {
    writeFileSync("CHANGELOG.md", released(changelog, version, new Date().toISOString().slice(0, 10)));
  } catch (error) {
    fail((error as Error).message);
  }
  execFileSync("npm", ["version", version, "--no-git-tag-version", "--allow-same-version"], { stdio: "inherit" });
  // The version stands in the AsyncAPI document.
  execFileSync("npm", ["run", "--silent", "generate"], { stdio: "inherit" });
  console.log(
    `Look at the changes, then: git commit -am "Release ${version}" && git tag v${version} && git push --tags`,
  );
}
