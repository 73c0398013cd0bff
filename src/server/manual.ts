import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { contentPolicy, type Page, type Pages } from "./http.ts";

/** The AsyncAPI document and the reference: they tell what everybody may know. */
export const manualPages: Pages = {
  "/asyncapi.json": shown("asyncapi.json", "application/json"),
  "/docs": shown("reference.html", "text/html; charset=utf-8"),
};

/** A page of the package, made by `npm run generate`; it is read when it is asked for first. */
function shown(file: string, type: string): () => Page {
  let page: Page | undefined;
  return () => {
    page ??= read(file, type);
    return page;
  };
}

function read(file: string, type: string): Page {
  const body = readFileSync(new URL(`../../api/${file}`, import.meta.url), "utf8");
  // The style of the page may be applied, and nothing else may be loaded or run.
  const [, style] = /<style>([\s\S]*?)<\/style>/.exec(body) ?? [];
  const hash = style === undefined ? "" : `; style-src 'sha256-${createHash("sha256").update(style).digest("base64")}'`;
  const policy = `${contentPolicy}${hash}`;
  return { status: 200, type, body, headers: { "Content-Security-Policy": policy } };
}
