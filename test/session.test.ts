import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { drawing, type SessionTerminal } from "../scripts/session-drawing.ts";
import { startSource } from "./kit/program.ts";

const committed = "docs/images/session.svg";
const scratch = mkdtempSync(join(tmpdir(), "fullon-cache-api-session-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** The texts of a drawing, in their order. @throws Error it is not well-formed */
function textsIn(svg: string): string[] {
  const open: string[] = [];
  const texts: string[] = [];
  let end = 0;
  const plain = (text: string) => {
    if (/[<>]|&(?!amp;|lt;|gt;|quot;)/.test(text)) throw new Error(`this is not escaped: ${text}`);
    return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&amp;", "&");
  };
  for (const { index, 0: tag, 1: close, 2: name = "", 3: self } of svg.matchAll(
    /<(\/?)([a-z]+)(?: [\w-]+="[^"<]*")*(\/?)>/g,
  )) {
    const text = plain(svg.slice(end, index));
    if (open.at(-1) === "text") texts.push(text);
    else if (!["style", "title"].includes(open.at(-1) ?? "")) expect(text.trim()).toBe("");
    for (const [, value = ""] of tag.matchAll(/="([^"]*)"/g)) plain(value);
    end = index + tag.length;
    if (close) expect(open.pop()).toBe(name);
    else if (!self) open.push(name);
  }
  expect([open, svg.slice(end).trim()]).toEqual([[], ""]);
  return texts;
}

const said = (lines: readonly string[], rows = 3): SessionTerminal => ({
  title: "one & two",
  rows,
  lines: lines.map((text, at) => ({ at, text })),
});

test("a recorded session is drawn as it was, whatever was printed", () => {
  const lines = ["$ say <b>\"a\" & 'b'</b>", "  two  spaces &lt; \u001b[31m ▲ é", "", "x".repeat(200)];
  const svg = drawing('about "it" & <more>', [said(lines), said([])]);
  const shown = ["one & two", lines[0], "  two  spaces &lt; �[31m ▲ é", `${"x".repeat(85)}…`, "one & two"];
  expect(textsIn(svg)).toEqual(shown);
  expect(svg).toContain('aria-label="about &quot;it&quot; &amp; &lt;more&gt;"');
  expect(drawing('about "it" & <more>', [said(lines), said([])])).toBe(svg);
});

test("every line appears when it was printed, and what does not fit scrolls then", () => {
  const svg = drawing("it", [said(["a", "b", "c", "d", "e"]), said(["f"])]);
  const delays = [...svg.matchAll(/animation-delay:([\d.]+)s/g)].map(([, delay]) => Number(delay));
  expect(delays).toEqual([0, 1, 2, 3, 4, 0]);
  expect(svg).toContain("75.00%{transform:translateY(-18px)}100.00%{transform:translateY(-36px)}");
  // Where nothing may move, it is the end that is seen.
  expect(
    [...svg.matchAll(/<g class="scroll-(\d)" transform="translate\(0 (-?\d+)\)">/g)].map(([, ...is]) => is),
  ).toEqual([
    ["1", "-36"],
    ["2", "0"],
  ]);
  expect(svg).toContain("@media (prefers-reduced-motion:reduce)");
});

const typed = [
  "$ make demo",
  "$ npx fullon-cache-api get-ticker binance BTC/USDT",
  "$ npx fullon-cache-api stream-tickers binance BTC/USDT ETH/USDT --count 5",
];

/** Fails unless a drawing shows the session that the script records, made of nothing but itself. */
function expectSession(path: string): void {
  const svg = readFileSync(path, "utf8");
  const texts = textsIn(svg);
  expect(texts.filter((text) => text.startsWith("$ "))).toEqual(typed);
  expect(texts).toContainEqual(expect.stringMatching(/^listening on ws:\/\/127\.0\.0\.1:\d+$/));
  expect(texts).toContainEqual(expect.stringMatching(/^price +\d+(\.\d+)?$/));
  expect(texts.filter((text) => /^binance +(BTC|ETH)\/USDT /.test(text))).toHaveLength(5);
  expect(svg).not.toMatch(/<script|<foreignObject|href|url\(|@import/);
  expect(statSync(path).size).toBeLessThan(100_000);
}

test("the session in README.md is a drawing of what the commands print", () => {
  expectSession(committed);
  expect(readFileSync("README.md", "utf8").includes(`](${committed})`)).toBe(true);
});

test("the script runs the commands, and draws what they say", { timeout: 60_000 }, async () => {
  const file = join(scratch, "session.svg");
  await using script = startSource("scripts/session.ts", [file, "--port", "0"]);
  expect(await script.ended, script.text).toEqual({ code: 0, signal: null });
  expect(script.text).toBe("");
  expectSession(file);
});
