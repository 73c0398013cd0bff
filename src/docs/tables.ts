import { type TSchema, Type } from "typebox";
import { allowed } from "../operations/check.ts";
import { domains } from "../operations/index.ts";
import { type LiveQuery, type Operation, ownParams } from "../operations/operation.ts";
import { anyUser, needOf, readAll, scopes } from "../operations/permissions.ts";
import { type CloseMeaning, closeCodes, type ErrorMeaning, errorCodes } from "../protocol/errors.ts";
import { methodName } from "../protocol/names.ts";
import { type Metric, metrics } from "../server/metrics.ts";
import { flagOf, type Setting, type SettingName, settings } from "../server/settings.ts";
import { declared } from "./declared.ts";
import { topicsOf } from "./examples.ts";
import { declarationOf, typeOf, typesOf } from "./types.ts";

const code = (text: string) => `\`${text}\``;
const list = (texts: readonly string[]) => (texts.length === 0 ? "–" : texts.map(code).join(", "));
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** A Markdown table; a `|` in a cell does not end it. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** The parameters in order, those that may be left out with a `?`. */
function parametersOf(operation: Operation, named: (name: string) => string = (name) => name): string {
  return ownParams(operation)
    .map(([name, schema]) => `${named(name)}${Type.IsOptional(schema) ? "?" : ""}`)
    .join(", ");
}

const answerOf = (operation: Operation) => typeOf(operation.kind === "query" ? operation.result : operation.update);

/** What the client can be asked, domain by domain: the method with its parameters, what it gives, and what for. */
export function methodsTable(): string {
  const rows = declared
    .filter(({ operation }) => operation.method !== false)
    .map(({ domain, method, operation }, at, all) => [
      all[at - 1]?.domain === domain ? "" : `**${domain}**`,
      code(`${method}(${parametersOf(operation, methodName)})`),
      operation.kind === "live" ? `stream of ${code(answerOf(operation))}` : code(answerOf(operation)),
      operation.about,
    ]);
  return table(["", "method", "gives", ""], rows);
}

/** What can be asked on the wire, domain by domain: parameters, Redis reads, results, and the errors of each. */
export function operationsTables(): string {
  return Object.keys(domains)
    .map((domain) => {
      const rows = declared
        .filter((one) => one.domain === domain)
        .map(({ name, operation }) => [
          code(`${name}(${parametersOf(operation)})`),
          operation.about,
          operation.reads === "–" ? "–" : code(operation.reads),
          code(operation.kind === "query" ? answerOf(operation) : "StreamOpened"),
          list(operation.errors ?? []),
        ]);
      return `### ${capital(domain)}\n\n${table(["operation", "answer", "reads", "result", "own errors"], rows)}`;
    })
    .join("\n\n");
}

/** What each parameter is and allows. */
export function parametersTable(): string {
  const rows = new Map<string, readonly string[]>();
  for (const { operation } of declared)
    for (const [name, schema] of Object.entries(operation.params)) {
      const { description = "" } = schema as { description?: string };
      const cells = [code(name), allowed(schema), description];
      rows.set(cells.join(), cells);
    }
  return table(["parameter", "allowed", "meaning"], [...rows.values()]);
}

/** What each stream sends: the type of its updates, what tells one item from another, and the topics it follows. */
export function streamsTable(): string {
  const rows = declared.flatMap(({ name, operation }) =>
    operation.kind === "live"
      ? [
          [
            code(name),
            code(operation.type),
            code(answerOf(operation)),
            identityOf(operation),
            operation.retain === undefined ? "all there are" : `the last ${operation.retain}`,
            topicPatternsOf(operation),
          ],
        ]
      : [],
  );
  return table(["operation", "updates", "data", "items differ by", "picture", "topics"], rows);
}

function identityOf({ identity }: LiveQuery): string {
  if (identity === null) return "every update is an event of its own";
  return identity.length === 0 ? "there is only one" : list(identity);
}

/** The names of the topics, with parameters in braces: with the ones that may be left out, and without. */
function topicPatternsOf(live: LiveQuery): string {
  const own = ownParams(live);
  const placeholder = ([name, schema]: [string, TSchema]) =>
    (schema as { type?: unknown }).type === "array" ? [name, [`{${name.replace(/s$/, "")}}`]] : [name, `{${name}}`];
  const required = own.filter(([, schema]) => !Type.IsOptional(schema));
  const names = [required, own].flatMap((given) => topicsOf(live, Object.fromEntries(given.map(placeholder))));
  return [...new Set(names)].map(code).join(" or ");
}

/** Every scope, and what it allows. */
export function scopesTable(): string {
  const about: Readonly<Record<string, string>> = {
    [readAll]: "all of them, but accounts only as before: one's own",
    [anyUser]: "with `accounts:read`: the accounts of any user",
  };
  const rows = scopes.map((scope) => {
    const names = declared.filter(({ operation }) => needOf(operation, {}).scope === scope);
    return [code(scope), about[scope] ?? names.map(({ name }) => code(name)).join(" ")];
  });
  return table(["scope", "allows"], rows);
}

/** Everything that is answered or sent, as declarations in TypeScript. */
export function typesBlock(): string {
  const schemas = declared.map(({ operation }) => (operation.kind === "query" ? operation.result : operation.update));
  const types = [...typesOf(schemas)].map(([name, schema]) => declarationOf(name, schema));
  return ["```ts", types.join("\n\n"), "```"].join("\n");
}

/** Every error code of the server, or every one that the client raises itself. */
export function errorsTable(from: ErrorMeaning["from"]): string {
  const rows = Object.entries<ErrorMeaning>(errorCodes)
    .filter(([, meaning]) => meaning.from === from)
    .map(([name, { about, retryable }]) => [code(name), about, retryable ? "yes" : "no"]);
  return table(["error_code", "meaning", "retryable"], rows);
}

/** What a client is to do after each close code. */
export function closeCodesTable(): string {
  const rows = Object.entries<CloseMeaning>(closeCodes).map(([number, { about, reconnect }]) => [
    number,
    about,
    reconnect ? "yes" : "no",
  ]);
  return table(["code", "meaning", "come back"], rows);
}

const allSettings = Object.entries<Setting>(settings) as [SettingName, Setting][];

/** Every setting: its flag, its environment variables, and what it is and allows. */
export function settingsTable(): string {
  const rows = allSettings.map(([name, { about, env, kind, default: preset }]) => [
    code(`--${flagOf(name)}`),
    env.map(code).join(" "),
    preset === undefined ? "–" : code(preset),
    kind.allowed,
    about,
  ]);
  return table(["flag", "environment", "default", "allowed", "meaning"], rows);
}

/** Every metric: its kind, its labels, and what it counts. */
export function metricsTable(): string {
  const rows = Object.entries<Metric>(metrics).map(([name, { kind, labels = [], about }]) => [
    code(name),
    kind,
    list(labels),
    about,
  ]);
  return table(["metric", "kind", "labels", "meaning"], rows);
}

/** A `.env` file with every setting in it, each commented out and at its default. */
export function envExample(): string {
  const blocks = allSettings.map(([, { about, env, kind, default: preset = "" }]) => {
    const [name, ...aliases] = env;
    const also = aliases.length === 0 ? "" : `; also ${aliases.join(", ")}`;
    return `# ${about}\n# Allowed: ${kind.allowed}${also}\n#${name}=${preset}`;
  });
  const head = "# Settings of fullon-cache-api. Copy this to .env and take the # from what should be different.";
  return `${[head, ...blocks].join("\n\n")}\n`;
}
