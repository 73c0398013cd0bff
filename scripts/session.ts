// Records a session in two terminals and draws it, for the README: what stands there was really printed.
//   npx tsx scripts/session.ts [FILE] [--port N]
import { writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { run } from "../src/cli/run.ts";
import type { Screen } from "../src/cli/terminal.ts";
import { drawing, type SessionLine } from "./session-drawing.ts";

const { values, positionals } = parseArgs({ options: { port: { type: "string" } }, allowPositionals: true });
const { port } = values;
const [file = "docs/images/session.svg"] = positionals;

const about =
  "make demo starts a gateway with a simulated market; in a second terminal one price is asked for and followed";
const nothing = () => {};
const screen: Screen = {
  columns: 86,
  rows: 24,
  write: nothing,
  onResize: nothing,
  onKey: nothing,
  release: nothing,
};

const beganAt = performance.now();

/** What one terminal shows. */
class Shown {
  readonly lines: SessionLine[] = [];
  readonly #ended = new AbortController();
  readonly #env: Readonly<Record<string, string>>;
  #told: () => void = nothing;

  constructor(env: Readonly<Record<string, string>> = {}) {
    this.#env = env;
  }

  print(text: string): void {
    const at = (performance.now() - beganAt) / 1000;
    for (const line of text.split("\n")) this.lines.push({ at, text: line });
    this.#told();
  }

  /** Types a command and runs it until it ends. @throws Error it failed */
  async runs(typed: string, args: readonly string[]): Promise<void> {
    this.print(`$ ${typed}`);
    const errors: string[] = [];
    const code = await run(args, {
      env: this.#env,
      out: (text) => this.print(text),
      error: (text) => void errors.push(text),
      signal: this.#ended.signal,
      onReload: nothing,
      screen,
    });
    if (code !== 0) throw new Error(`${typed} ended with ${code}: ${errors.join("\n")}`);
  }

  /** Waits for a line that begins so, and gives what follows. */
  async line(start: string): Promise<string> {
    for (;;) {
      const found = this.lines.find(({ text }) => text.startsWith(start));
      if (found) return found.text.slice(start.length);
      await new Promise<void>((resolve) => {
        this.#told = resolve;
      });
    }
  }

  /** Presses Ctrl-C. */
  end(): void {
    this.#ended.abort();
  }
}

const server = new Shown();
const serving = server.runs("make demo", port === undefined ? ["demo"] : ["demo", "--port", port]);
// If it fails at once, nobody waits for its lines.
const url = await Promise.race([server.line("listening on "), serving.then(() => "")]);
await delay(2_000);

const client = new Shown({ FULLON_CACHE_URL: url });
const program = "npx fullon-cache-api";
await client.runs(`${program} get-ticker binance BTC/USDT`, ["get-ticker", "binance", "BTC/USDT"]);
await delay(500);
const words = ["stream-tickers", "binance", "BTC/USDT", "ETH/USDT", "--count", "5"];
await client.runs(`${program} ${words.join(" ")}`, words);
server.end();
await serving;

await writeFile(
  file,
  drawing(about, [
    { title: "make demo: a gateway with a simulated market", rows: 14, lines: server.lines },
    { title: "a second terminal", rows: 18, lines: client.lines },
  ]),
);
