import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { asText } from "../src/server/log.ts";

const line = (members: object) => JSON.stringify({ level: 30, time: 1_795_330_960_123, ...members });

test("a line for people has the time, the level, the message and every member", () => {
  expect(asText(line({ msg: "connection opened", connection: 7, peer: "127.0.0.1", tags: ["a", null] }))).toBe(
    '2026-11-22T07:02:40.123Z info  connection opened connection=7 peer="127.0.0.1" tags=["a",null]\n',
  );
  expect(asText(line({ level: 50, msg: "bad" }))).toMatch(/ error bad\n$/);
  expect(asText(line({ level: 35 }))).toMatch(/Z 35 {4}\n$/);
  // Who writes and where is known; in JSON it is left to whoever collects it.
  expect(asText(line({ msg: "x", pid: 1, hostname: "here" }))).toMatch(/ info {2}x\n$/);
});

const forgery = "x\n2026-11-22T07:02:40.123Z info  all is well\r\u2028\u001b[2K\u0085";

test("nothing that is logged can forge a line", () => {
  const text = asText(line({ msg: forgery, value: forgery, [forgery]: 1, nested: { [forgery]: forgery } }));
  expect(text.match(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g)).toEqual(["\n"]);
  expect(text.endsWith("\n")).toBe(true);
});

test("an error comes with its stack, indented, so that its lines cannot pass for others", () => {
  const err = { type: "Error", message: forgery, stack: `Error: ${forgery}\n    at here` };
  const [head, ...stack] = asText(line({ level: 40, msg: "failed", err }))
    .trimEnd()
    .split("\n");
  expect(head).toBe("2026-11-22T07:02:40.123Z warn  failed");
  expect(stack.length).toBeGreaterThan(1);
  for (const one of stack) expect(one).toMatch(/^ {4}/);
  expect(stack.join("").match(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g)).toBeNull();
});

test.each(["json", "text"])("a logger writes %s to stderr, and only from its level on", (format) => {
  const code = `
    import { createLogger } from ${JSON.stringify(new URL("../src/server/log.ts", import.meta.url).href)};
    const log = createLogger("warn", ${JSON.stringify(format)});
    log.info("too low");
    log.warn({ key: "tickers:x", reason: "a\\nb" }, "left out");
    log.error({ err: new Error("broken") }, "failed");
  `;
  const run = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", code], {
    encoding: "utf8",
  });
  expect(run.stdout).toBe("");
  const lines = run.stderr.trimEnd().split("\n");
  if (format === "json") {
    expect(lines.map((one) => JSON.parse(one))).toMatchObject([
      { level: 40, msg: "left out", key: "tickers:x", reason: "a\nb" },
      { level: 50, msg: "failed", err: { message: "broken" } },
    ]);
    expect(lines[0]).not.toContain("hostname");
  } else {
    expect(lines[0]).toMatch(/^\S+Z warn {2}left out key="tickers:x" reason="a\\nb"$/);
    expect(lines[1]).toMatch(/^\S+Z error failed$/);
    expect(lines[2]).toBe("    Error: broken");
  }
});
