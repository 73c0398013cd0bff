import { SettingError } from "../server/settings.ts";
import { demo } from "./demo.ts";
import { explained } from "./explained.ts";
import { serve } from "./serve.ts";
import type { Terminal } from "./terminal.ts";

const commands: Readonly<Record<string, (args: readonly string[], terminal: Terminal) => Promise<void>>> = {
  serve,
  demo,
};

const usage = `fullon-cache-api: a read-only WebSocket gateway over the Redis cache of fullon

  fullon-cache-api serve      serve a Redis
  fullon-cache-api demo       show everything at work, with a simulated market

Every command has --help.`;

/** Runs one command; the exit code is 0 when it did what it was asked, 1 when it failed, 2 when it was asked wrongly. */
export async function run([name, ...args]: readonly string[], terminal: Terminal): Promise<number> {
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    terminal.out(usage);
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) {
    terminal.error(`there is no command ${JSON.stringify(name)}: ${Object.keys(commands).join(", ")}`);
    return 2;
  }
  try {
    await command(args, terminal);
    return 0;
  } catch (error) {
    terminal.error(explained(error));
    return error instanceof SettingError ? 2 : 1;
  }
}
