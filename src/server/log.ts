import { Writable } from "node:stream";
import { type Logger, pino } from "pino";
import { printable } from "../protocol/printable.ts";

const levels: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};

/** One line for people: time, level, message, then every member as JSON, so that no value can forge a line. */
export function asText(line: string): string {
  const {
    time,
    level,
    msg,
    pid: _pid,
    hostname: _hostname,
    err,
    ...rest
  } = JSON.parse(line) as Record<string, unknown>;
  const stamp = new Date(Number(time)).toISOString();
  const members = Object.entries(rest).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const stack = (err as { stack?: unknown } | undefined)?.stack;
  const message = typeof msg === "string" ? JSON.stringify(msg).slice(1, -1) : "";
  const head = [stamp, (levels[Number(level)] ?? String(level)).padEnd(5), message, ...members].join(" ");
  const lines = [head, ...(typeof stack === "string" ? stack.split("\n").map((line) => `    ${line}`) : [])];
  return lines.map((line) => `${printable(line)}\n`).join("");
}

/** A logger that writes to stderr: stdout belongs to what a command says. */
export function createLogger(level: string, format: string): Logger {
  if (format === "json") return pino({ level, base: null }, pino.destination({ fd: 2, sync: true }));
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      process.stderr.write(asText(chunk.toString()));
      done();
    },
  });
  return pino({ level, base: null }, stream);
}
