const unreleased = "## [Unreleased]";
const semantic = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$/;

/** What stands below a heading of the changelog, up to the next one. */
function below(changelog: string, heading: string): string | undefined {
  const start = changelog.split("\n").findIndex((line) => line === heading || line.startsWith(`${heading} - `));
  if (start < 0) return undefined;
  const rest = changelog.split("\n").slice(start + 1);
  const end = rest.findIndex((line) => line.startsWith("## "));
  return rest
    .slice(0, end < 0 ? undefined : end)
    .join("\n")
    .trim();
}

/**
 * The changelog with what was unreleased under a version and a date.
 * @throws Error it is no version, it is released already, or there is nothing to release
 */
export function released(changelog: string, version: string, date: string): string {
  if (!semantic.test(version)) throw new Error(`${JSON.stringify(version)} is no version like 1.2.3`);
  if (isReleased(changelog, version)) throw new Error(`CHANGELOG.md has ${version} already`);
  if (!/^- /m.test(below(changelog, unreleased) ?? "")) throw new Error("CHANGELOG.md has nothing under [Unreleased]");
  return changelog.replace(unreleased, `${unreleased}\n\n## [${version}] - ${date}`);
}

/** Whether the changelog says what is in a version. */
export function isReleased(changelog: string, version: string): boolean {
  return (below(changelog, `## [${version}]`) ?? "") !== "";
}
