import { type TSchema, Type } from "typebox";
import { allowed } from "../operations/check.ts";
import { ownParams } from "../operations/operation.ts";
import { needOf } from "../operations/permissions.ts";
import { type CloseMeaning, closeCodes, type ErrorMeaning, errorCodes } from "../protocol/errors.ts";
import { Html, html } from "./html.ts";
import { generalMessages, type Message, type OperationMessages, operationMessages } from "./messages.ts";
import { declarationOf, typeOf, typesOf } from "./types.ts";

const style = `
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; border-bottom: 1px solid; }
h3 { margin-top: 2.5rem; font-family: ui-monospace, monospace; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8886; border-radius: 4px; }
table { border-collapse: collapse; margin: 0.75rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 1rem 0.25rem 0; border-bottom: 1px solid #8884; }
nav ul { columns: 3 16rem; padding-left: 1rem; }
dt { font-weight: 600; }
dd { margin: 0 0 0.5rem 0; }
`;

const types = typesOf(
  operationMessages.map(({ operation }) => (operation.kind === "query" ? operation.result : operation.update)),
);

const table = (head: readonly string[], rows: readonly (readonly Html[])[]) => html`<table>
<thead><tr>${head.map((cell) => html`<th>${cell}</th>`)}</tr></thead>
<tbody>${rows.map((cells) => html`<tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>\n`)}</tbody>
</table>`;

const code = (text: string) => html`<code>${text}</code>`;
const codes = (texts: readonly string[]) =>
  texts.length === 0 ? html`none` : html`${texts.map((text, at) => html`${at === 0 ? "" : ", "}${code(text)}`)}`;
/** A sentence in which code stands between backticks. */
const sentence = (text: string) =>
  html`${text.split("`").map((part, at) => (at % 2 === 1 ? code(part) : html`${part}`))}`;

/** A type in which every name leads to its declaration. */
function linkedType(schema: TSchema): Html {
  const parts = typeOf(schema).split(/\b([A-Z]\w*)\b/);
  return html`<code>${parts.map((part) => (types.has(part) ? html`<a href="#${part}">${part}</a>` : html`${part}`))}</code>`;
}

const frames = (message: Message) => html`<pre>${message.examples.map((one) => JSON.stringify(one)).join("\n")}</pre>`;

function parametersOf({ operation }: OperationMessages): Html {
  const rows = ownParams(operation).map(([name, schema]) => {
    const { description = "" } = schema as { description?: string };
    return [
      code(name),
      html`${Type.IsOptional(schema) ? "no" : "yes"}`,
      html`${allowed(schema)}`,
      html`${description}`,
    ];
  });
  return rows.length === 0 ? html`none` : table(["parameter", "needed", "allowed", "meaning"], rows);
}

function sectionOf(one: OperationMessages): Html {
  const { name, operation, request, response, update } = one;
  const { scope } = needOf(operation, {});
  const result = operation.kind === "query" ? linkedType(operation.result) : code("StreamOpened");
  const live =
    operation.kind === "live" && update
      ? html`<p>Then ${code(operation.type)} with ${linkedType(operation.update)}; it also takes ${code("interval_ms")}:</p>
${frames(update)}`
      : html``;
  return html`<section id="${name}">
<h3>${name}</h3>
<p>${operation.about}</p>
<dl>
<dt>Parameters</dt><dd>${parametersOf(one)}</dd>
<dt>Result</dt><dd>${result}</dd>
<dt>Scope</dt><dd>${scope === undefined ? html`none is needed` : code(scope)}</dd>
<dt>Own errors</dt><dd>${codes(operation.errors ?? [])}</dd>
<dt>Reads</dt><dd>${operation.reads === "–" ? html`nothing of Redis` : code(operation.reads)}</dd>
</dl>
<p>Request and answer:</p>
${frames(request)}${frames(response)}
${live}
</section>
`;
}

/**
 * All operations with their parameters, results, errors and examples, as one page that loads nothing and runs nothing.
 * @param version the version of the package
 */
export function reference(version: string): string {
  const names = [...new Set(operationMessages.map(({ domain }) => domain))];
  const of = (domain: string) => operationMessages.filter((one) => one.domain === domain);
  const general = Object.values<Message>(generalMessages);
  const errors = Object.entries<ErrorMeaning>(errorCodes).filter(([, { from }]) => from === "server");
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>fullon-cache-api ${version}</title>
<style>${new Html(style)}</style>
</head>
<body>
<h1>fullon-cache-api ${version}</h1>
<p>Every operation of the gateway. The same for programs: <a href="asyncapi.json">asyncapi.json</a>. The rules of
streams stand in PROTOCOL.md, which is part of the package.</p>
<nav>${names.map(
    (domain) => html`<h4>${domain}</h4>
<ul>${of(domain).map(({ name }) => html`<li><a href="#${name}">${name}</a></li>`)}</ul>
`,
  )}</nav>
${names.map(
  (domain) => html`<h2>${domain}</h2>
${of(domain).map(sectionOf)}`,
)}
<h2>Frames of any operation</h2>
${general.map(
  (message) => html`<section id="${message.name}">
<h3>${message.name}</h3>
<p>${message.about}</p>
${frames(message)}
</section>
`,
)}
<h2>Types</h2>
${[...types].map(
  ([name, schema]) => html`<pre id="${name}">${declarationOf(name, schema)}</pre>
`,
)}
<h2>Errors</h2>
${table(
  ["error_code", "meaning", "retryable"],
  errors.map(([name, { about, retryable }]) => [code(name), sentence(about), html`${retryable ? "yes" : "no"}`]),
)}
<h2>Close codes</h2>
${table(
  ["code", "meaning", "come back"],
  Object.entries<CloseMeaning>(closeCodes).map(([number, { about, reconnect }]) => [
    code(number),
    sentence(about),
    html`${reconnect ? "yes" : "no"}`,
  ]),
)}
</body>
</html>
`;
  return page.text;
}
