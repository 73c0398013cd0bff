import { printable } from "../protocol/printable.ts";
import { SettingError } from "../server/settings.ts";
import { CannotConnect, type Command, given, helpOf, UsageError } from "./command.ts";
import { allCommands, commandNamed } from "./commands.ts";
import { explained } from "./explained.ts";
import { nearest } from "./nearest.ts";
import type { Terminal } from "./terminal.ts";

async function usage(): Promise<string> {
  const { own, operations } = await allCommands();
  const width = Math.max(...[...own.keys(), ...operations.keys()].map((name) => name.length));
  const list = (commands: ReadonlyMap<string, Command>) =>
    [...commands]
      .map(([name, { about }]) => `  fullon-cache-api ${name.padEnd(width)}   ${about.replace(/(?<=\.) .*/, "")}`)
      .join("\n");
  return `fullon-cache-api: a read-only WebSocket gateway over the Redis cache of fullon

${list(own)}

What can be asked of a gateway:

${list(operations)}

Every command has --help.`;
}

async function unknown(name: string): Promise<string> {
  const { own, operations } = await allCommands();
  const meant = nearest(name, [...own.keys(), ...operations.keys()]);
  const hint = meant === undefined ? "" : `: did you mean ${meant}?`;
  return `there is no command ${JSON.stringify(name)}${hint || ";"} --help lists them all`;
}

/**
 * Runs one command. The exit code is 0 when it did what it was asked, 1 when it failed, 2 when it was asked wrongly, 3
 * when the gateway could not be connected to.
 */
export async function run([name, ...args]: readonly string[], terminal: Terminal): Promise<number> {
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    terminal.out(await usage());
    return name === undefined ? 2 : 0;
  }
  try {
    const command = await commandNamed(name);
    if (!command) throw new UsageError(await unknown(name));
    const asked = given(command, args);
    if (asked) await command.run(asked, terminal);
    else terminal.out(await helpOf(name, command));
    return 0;
  } catch (error) {
    // Whoever ends a command before it is done knows why.
    if (terminal.signal.aborted && error === terminal.signal.reason) return 1;
    terminal.error(printable(explained(error)));
    if (error instanceof CannotConnect) return 3;
    return error instanceof SettingError || error instanceof UsageError ? 2 : 1;
  }
}
