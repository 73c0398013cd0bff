import { type TSchema, Type } from "typebox";
import type { Stream } from "../client/stream.ts";
import type { CacheClient } from "../client/websocket-client.ts";
import { operations } from "../operations/index.ts";
import { type LiveQuery, type Operation, ownParams, type Query } from "../operations/operation.ts";
import { CacheError } from "../protocol/errors.ts";
import type { Update } from "../protocol/frames.ts";
import { commandName, methodName, wireName } from "../protocol/names.ts";
import { printable } from "../protocol/printable.ts";
import { type Command, type Example, type Flag, type Given, UsageError } from "./command.ts";
import { countFlag, Ending, endFlags, mostUpdates, whenAborted } from "./ending.ts";
import { connect, connectUntil, gatewayFlags } from "./gateway.ts";
import type { Terminal } from "./terminal.ts";
import { answerLines, View } from "./view.ts";

/** The flag of every command whose output is for programs as well as for people. */
export const jsonFlag = {
  json: { about: "one JSON value per line, as it is anyway where the output is no terminal" },
} as const satisfies Record<string, Flag>;

const streamFlags = { ...endFlags, ...countFlag() } as const;

/** What a schema says of a parameter, as far as a command line needs it. */
interface Kind {
  readonly type?: string;
  readonly description?: string;
}

const isList = (schema: TSchema) => (schema as Kind).type === "array";

/** The value that a text stands for; what is no number stays text, so that the check can say what is wrong. */
function valueFrom(schema: TSchema, text: string): unknown {
  const { type } = schema as Kind;
  const isNumber = (type === "integer" || type === "number") && text.trim() !== "" && Number.isFinite(Number(text));
  return isNumber ? Number(text) : text;
}

/** The parameters of an operation: flags by name, and words for what is not among them, in order. @throws UsageError */
export function parametersOf(name: string, operation: Operation, given: Given): Record<string, unknown> {
  const params: Record<string, unknown> = {};
  const words = [...given.words];
  for (const [parameter, schema] of Object.entries(operation.params)) {
    const texts = given.all(commandName(parameter));
    const last = texts.at(-1);
    if (last !== undefined) params[parameter] = isList(schema) ? texts : valueFrom(schema, last);
  }
  for (const [parameter, schema] of ownParams(operation)) {
    if (words.length === 0 || Object.hasOwn(params, parameter)) continue;
    params[parameter] = isList(schema) ? words.splice(0) : valueFrom(schema, String(words.shift()));
  }
  const fault =
    words.length > 0
      ? `unexpected argument ${JSON.stringify(words[0])}: it takes ${takes(operation)}`
      : operation.check(params)?.message;
  if (fault !== undefined) throw new UsageError(`${fault}; ${name} --help has an example`);
  return params;
}

function takes(operation: Operation): string {
  const words = ownParams(operation).map(([parameter, schema]) => {
    const name = commandName(parameter) + (isList(schema) ? "…" : "");
    return Type.IsOptional(schema) ? `[${name}]` : `<${name}>`;
  });
  return words.join(" ");
}

function flagsOf({ params, kind }: Operation): Record<string, Flag> {
  const own = Object.entries(params).map(([parameter, schema]): [string, Flag] => {
    const { description = "" } = schema as Kind;
    const several = isList(schema) ? "; may be given several times" : "";
    return [commandName(parameter), { value: `<${isNumeric(schema) ? "n" : "text"}>`, about: description + several }];
  });
  return { ...Object.fromEntries(own), ...(kind === "live" && streamFlags), ...jsonFlag, ...gatewayFlags };
}

const isNumeric = (schema: TSchema) => /^(integer|number)$/.test((schema as Kind).type ?? "");

/** A call of an operation with what is needed, and one with everything it takes. */
async function examplesOf(name: string, wire: string, operation: Operation): Promise<Example[]> {
  const { exampleParams } = await import("../docs/examples.ts");
  const params = exampleParams(wire, operation);
  const call = (own: [string, TSchema][]) => [name, ...own.flatMap(([one]) => params[one])].join(" ");
  const all = ownParams(operation);
  const needed = all.filter(([, schema]) => !Type.IsOptional(schema));
  return [...new Set([call(needed), call(all)])].map((text) => [text]);
}

/** The command of an operation. */
function commandOf(name: string, method: keyof CacheClient & string, operation: Operation): Command {
  const words = takes(operation);
  return {
    about: operation.about,
    ...(words !== "" && { takes: words }),
    flags: flagsOf(operation),
    notes: `What may follow the name may be given as flags as well. A table shows the declared members, --json all.`,
    examples: () => examplesOf(name, wireName(method), operation),
    async run(given, terminal) {
      const asked = { method, params: parametersOf(name, operation, given) };
      // A stream is told when it is to end before it begins.
      if (operation.kind === "live") await follow(operation, asked, given, terminal);
      else await ask(operation, asked, given, terminal);
    },
  };
}

/** What is asked: the client's method, and parameters by their names on the wire. */
export interface Asked {
  readonly method: keyof CacheClient & string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** Asks the client by name, with parameters by name: the promise of an answer, or a stream. */
export function call(cache: CacheClient, { method, params }: Asked, signal?: AbortSignal): unknown {
  const named = Object.entries(params).map(([name, value]) => [methodName(name), value]);
  return (cache[method] as (options: object) => unknown)({ ...Object.fromEntries(named), ...(signal && { signal }) });
}

const jsonLine = (value: unknown) => printable(JSON.stringify(value));

/** A failure of the gateway, for people and for programs: a sentence and its code. */
function failed(error: unknown): unknown {
  return error instanceof CacheError ? new Error(`${error.message} (${error.code})`, { cause: error }) : error;
}

async function ask({ result }: Query, asked: Asked, given: Given, terminal: Terminal): Promise<void> {
  await using cache = await connect(given, terminal);
  let answer: unknown;
  try {
    answer = await call(cache, asked, terminal.signal);
  } catch (error) {
    throw failed(error);
  }
  const { screen } = terminal;
  const isForPeople = screen !== undefined && given.flag("json") === undefined;
  const lines = isForPeople
    ? answerLines(result, answer, screen.columns)
    : (Array.isArray(answer) ? answer : [answer]).map(jsonLine);
  for (const line of lines) terminal.out(line);
}

/** Updates that come together are shown together, so that their columns fit. */
const togetherMs = 30;

/** Where updates go: as lines of JSON, or rows of a table. */
class Updates implements Disposable {
  readonly #operation: LiveQuery;
  readonly #terminal: Terminal;
  readonly #isForPeople: boolean;
  #view: View | undefined;
  #waiting: unknown[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(operation: LiveQuery, terminal: Terminal, asJson: boolean) {
    this.#operation = operation;
    this.#terminal = terminal;
    this.#isForPeople = terminal.screen !== undefined && !asJson;
  }

  show(update: unknown): void {
    if (!this.#isForPeople) {
      this.#terminal.out(jsonLine(update));
      return;
    }
    this.#waiting.push(update);
    this.#timer ??= setTimeout(() => this.#flush(), togetherMs);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const rows = this.#waiting;
    this.#waiting = [];
    if (rows.length === 0) return;
    this.#view ??= new View(this.#operation.update, rows, this.#terminal.screen?.columns);
    for (const line of this.#view.lines(rows)) this.#terminal.out(line);
  }

  [Symbol.dispose](): void {
    this.#flush();
  }
}

/** The updates of a stream until it is to end. @throws Error what it fails with, as {@link failed} says it */
export async function* updatesUntil(signal: AbortSignal, stream: Stream<object>): AsyncGenerator<Update<object>> {
  const release = whenAborted(signal, () => void stream.return());
  try {
    yield* stream;
  } catch (error) {
    throw failed(error);
  } finally {
    release();
  }
}

async function follow(operation: LiveQuery, asked: Asked, given: Given, terminal: Terminal): Promise<void> {
  const most = mostUpdates(given);
  using ending = new Ending(given, terminal);
  await using cache = await connectUntil(ending.signal, given, terminal);
  if (!cache) return;
  const stream = call(cache, asked) as Stream<object>;
  void tellState(stream, terminal);
  using updates = new Updates(operation, terminal, given.flag("json") !== undefined);
  let shown = 0;
  for await (const update of updatesUntil(ending.signal, stream)) {
    updates.show(update);
    if (++shown >= most) break;
  }
}

/** Says on stderr whenever what is shown may be out of date, and when it no longer is. */
async function tellState(stream: Stream<object>, { error }: Terminal): Promise<void> {
  let wasLive = true;
  for await (const { state, topic, reason } of stream.status()) {
    const isLive = state === "live";
    // It always begins by opening; only what keeps it from it is worth a word.
    if (state === "ended" || (state === "opening" && reason === undefined) || (isLive && wasLive)) continue;
    wasLive = isLive;
    const why = [topic, reason].filter((part) => part !== undefined).join(": ");
    error(printable(isLive ? "live again" : `${state === "stale" ? "stale" : "waiting"}: ${why}`));
  }
}

/** The command of every operation that the client has a method for, by its name. */
export const operationCommands: ReadonlyMap<string, Command> = new Map(
  Object.entries<Operation>(operations)
    .filter(([, operation]) => operation.method !== false)
    .map(([method, operation]) => {
      const name = commandName(wireName(method));
      return [name, commandOf(name, method as keyof CacheClient & string, operation)];
    }),
);
