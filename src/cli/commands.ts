import type { Command } from "./command.ts";

// Each is loaded when it is wanted: who asks for a price need not wait for a server.
const own: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import("./serve.ts")).serve,
  demo: async () => (await import("./demo.ts")).demo,
  top: async () => (await import("./top.ts")).top,
  doctor: async () => (await import("./doctor.ts")).doctor,
  record: async () => (await import("./record.ts")).record,
  replay: async () => (await import("./replay.ts")).replay,
  completion: async () => (await import("./completion.ts")).completion,
};

const operationsByName = async () => (await import("./operation-command.ts")).operationCommands;

/** The command of a name; undefined where there is none. */
export async function commandNamed(name: string): Promise<Command | undefined> {
  return Object.hasOwn(own, name) ? own[name]?.() : (await operationsByName()).get(name);
}

/** Every command by its name: those that are no operations, and the operations. */
export async function allCommands(): Promise<{
  readonly own: ReadonlyMap<string, Command>;
  readonly operations: ReadonlyMap<string, Command>;
}> {
  const loaded = Object.entries(own).map(async ([name, load]): Promise<[string, Command]> => [name, await load()]);
  return { own: new Map(await Promise.all(loaded)), operations: await operationsByName() };
}
