import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";

interface Page {
  readonly file: string;
  readonly type: string;
}

// They are made by `npm run generate`, and are part of the package.
const pages: Readonly<Record<string, Page>> = {
  "/asyncapi.json": { file: "asyncapi.json", type: "application/json" },
  "/docs": { file: "reference.html", type: "text/html; charset=utf-8" },
};

/** What was read, with the headers that go with it; pages are few, and the same for the life of the process. */
const known = new Map<Page, { readonly body: Buffer; readonly headers: OutgoingHttpHeaders }>();

function read(page: Page): { readonly body: Buffer; readonly headers: OutgoingHttpHeaders } {
  const found = known.get(page);
  if (found) return found;
  const body = readFileSync(new URL(`../../api/${page.file}`, import.meta.url));
  // The style of the page may be applied, and nothing else may be loaded or run.
  const [, style] = /<style>([\s\S]*?)<\/style>/.exec(body.toString()) ?? [];
  const hash = style === undefined ? "" : `; style-src 'sha256-${createHash("sha256").update(style).digest("base64")}'`;
  const policy = `default-src 'none'; frame-ancestors 'none'${hash}`;
  const made = { body, headers: { "Content-Type": page.type, "Content-Security-Policy": policy } };
  known.set(page, made);
  return made;
}

/**
 * Answers who asks for the AsyncAPI document or the reference; they tell what everybody may know.
 * @param headers what goes with every answer
 * @returns false, and nothing is answered, where something else is asked for
 */
export function answerManual(
  request: IncomingMessage,
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
): boolean {
  const [path = ""] = (request.url ?? "").split("?", 1);
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (!page) return false;
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { ...headers, Allow: "GET, HEAD", Connection: "close" }).end();
    return true;
  }
  const { body, headers: own } = read(page);
  response.writeHead(200, { ...headers, ...own, "Content-Length": body.length, Connection: "close" });
  response.end(body);
  return true;
}
