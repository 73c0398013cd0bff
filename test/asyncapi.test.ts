import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import { Type } from "typebox";
import { Compile } from "typebox/compile";
import { expect, test } from "vitest";
import { exampleOf } from "../src/docs/examples.ts";
import { html } from "../src/docs/html.ts";
import { messages } from "../src/docs/json-schema.ts";
import { operationMessages } from "../src/docs/messages.ts";
import { reference } from "../src/docs/reference.ts";
import { operationsByWireName } from "../src/operations/index.ts";
import { closeCodes, errorCodes } from "../src/protocol/errors.ts";
import { startGateway } from "./kit/gateway.ts";
import { follow, setTicker } from "./kit/streams.ts";

type Json = Readonly<Record<string, unknown>>;
const read = (file: string) => readFileSync(new URL(`../api/${file}`, import.meta.url), "utf8");
const asyncApi = JSON.parse(read("asyncapi.json"));
const schema = JSON.parse(read("schema.json"));
const page = read("reference.html");

const compiled = new Map<string, { Check(value: unknown): boolean }>();

/** Whether a value is what one of the schemas says that are handed to other languages. */
function fits(name: string, value: unknown): boolean {
  const check =
    compiled.get(name) ?? Compile({ $ref: `#/definitions/${name}`, definitions: schema.definitions } as object);
  compiled.set(name, check);
  return check.Check(value);
}

test("the AsyncAPI document is valid, and a parser finds in it every operation and message", {
  timeout: 60_000,
}, async () => {
  const { document, diagnostics } = await new Parser().parse(JSON.stringify(asyncApi));
  // That there is a newer version of AsyncAPI is no mistake.
  const mistakes = diagnostics.filter(({ code }) => code !== "asyncapi-latest-version");
  expect(mistakes.map(({ message, path }) => `${path.join(".")}: ${message}`)).toEqual([]);
  const received = document?.operations().filterByReceive() ?? [];
  expect(received.map((one) => one.id()).toSorted()).toEqual([...operationsByWireName.keys()].toSorted());
  for (const one of received) {
    const [reply] = one.reply()?.messages().all() ?? [];
    expect([one.messages().all()[0]?.name(), reply?.name()]).toEqual([one.id(), one.id()]);
  }
  const sent = document?.operations().filterBySend() ?? [];
  expect(sent.map((one) => one.id())).toEqual(
    expect.arrayContaining(["ticker_update", "stream_status", "auth_status"]),
  );
  expect(document?.components().messages().all()).toHaveLength(messages.length);
  expect(
    document
      ?.securitySchemes()
      .all()
      .map((one) => one.id()),
  ).toEqual(["header", "subprotocol", "query"]);
});

test("a document with a mistake in it is found out", { timeout: 60_000 }, async () => {
  const wrong = { ...asyncApi, operations: { ...asyncApi.operations, ping: { action: "ask" } } };
  expect((await new Parser().validate(JSON.stringify(wrong))).filter(({ severity }) => severity === 0)).not.toEqual([]);
});

test("every message has examples that its own schema accepts, and that the other side never sends", () => {
  expect(messages.filter(({ examples }) => examples.length === 0)).toEqual([]);
  for (const { title, from, examples } of messages)
    for (const example of examples) {
      expect(fits(title, example), `${title}: ${JSON.stringify(example)}`).toBe(true);
      expect(fits(from === "client" ? "ClientFrame" : "GatewayFrame", example), title).toBe(true);
      expect(fits(from === "client" ? "GatewayFrame" : "ClientFrame", example), title).toBe(false);
      const without = Object.keys(example).filter((member) => {
        const { [member]: _gone, ...rest } = example;
        return !fits(title, rest);
      });
      expect(without.length, `${title} needs nothing`).toBeGreaterThan(0);
    }
});

test("the examples of parameters are ones that the gateway takes", () => {
  for (const { name, operation, request } of operationMessages)
    for (const { params = {} } of request.examples) expect([name, operation.check(params)]).toEqual([name, undefined]);
});

test("an example is made of whatever a schema allows", () => {
  const text = Type.String();
  expect(exampleOf(Type.Object({ unheard: text, of: Type.Optional(text), some: Type.Array(text) }))).toEqual({
    unheard: "unheard",
    some: ["some"],
  });
  expect([exampleOf(text), exampleOf(Type.Record(text, text)), exampleOf(Type.Number({ minimum: 5 }))]).toEqual([
    "text",
    {},
    5,
  ]);
});

test("what a real gateway sends is what the schemas say", async () => {
  await using gateway = await startGateway();
  await setTicker(gateway.redis, "binance", "BTC/USDT", 1);
  const wire = await gateway.wire();
  await follow(wire, "stream_tickers", { exchange: "binance" });
  await setTicker(gateway.redis, "binance", "BTC/USDT", 2);
  await wire.frame(({ price }) => price === 2);
  await gateway.redis.command(["HDEL", "tickers:binance", "BTC/USDT"]);
  await wire.frame(({ removed }) => removed === true);
  await wire.request("get_ticker", { exchange: "binance", symbol: "BTC/USDT" });
  await wire.request("get_server_info");
  await wire.request("get_system_health");
  for (const frame of wire.frames) expect(fits("GatewayFrame", frame), JSON.stringify(frame)).toBe(true);
  const of = (name: string) => wire.frames.filter((frame) => fits(name, frame)).length;
  expect([of("StreamTickersResponse"), of("TickerChanged"), of("TickerRemoved"), of("StreamStatus")]).toEqual([
    1, 2, 1, 1,
  ]);
  expect([of("ErrorResponse"), of("GetServerInfoResponse"), of("GetSystemHealthResponse")]).toEqual([1, 1, 1]);
});

test("the gateway serves the document and the page, which may load and run nothing", async () => {
  await using gateway = await startGateway({ jwtSecret: "a secret of more than thirty-two characters" });
  const base = gateway.server.url.replace("ws", "http");
  const document = await fetch(`${base}/asyncapi.json`);
  expect([document.status, document.headers.get("content-type"), await document.json()]).toEqual([
    200,
    "application/json",
    asyncApi,
  ]);
  const shown = await fetch(`${base}/docs?theme=dark`);
  expect([shown.status, await shown.text()]).toEqual([200, page]);
  const [, style = ""] = /<style>([\s\S]*)<\/style>/.exec(page) ?? [];
  const hash = createHash("sha256").update(style).digest("base64");
  expect(Object.fromEntries(shown.headers)).toMatchObject({
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": `default-src 'none'; frame-ancestors 'none'; style-src 'sha256-${hash}'`,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
  });
  const head = await fetch(`${base}/docs`, { method: "HEAD" });
  expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([
    200,
    String(Buffer.byteLength(page)),
    "",
  ]);
  const posted = await fetch(`${base}/docs`, { method: "POST", body: "{}" });
  expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  for (const path of ["/docs/", "/docs/%2e%2e/api/schema.json", "/schema.json", "/constructor", "//docs"])
    expect([path, (await fetch(base + path)).status]).toEqual([path, 404]);
});

test("the page names every operation, type, error and close code, and every link in it leads somewhere", () => {
  expect(page).toBe(reference(asyncApi.info.version));
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id = ""]) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toEqual(expect.arrayContaining([...operationsByWireName.keys(), "Ticker", "Bar", "SystemHealth"]));
  const links = [...page.matchAll(/ (?:href|src)="([^"]+)"/g)].map(([, link = ""]) => link);
  expect(new Set(links.filter((link) => !link.startsWith("#")))).toEqual(new Set(["asyncapi.json"]));
  for (const link of links) if (link.startsWith("#")) expect(ids).toContain(link.slice(1));
  for (const code of [...Object.keys(closeCodes), "TICKER_NOT_FOUND", "RATE_LIMITED"])
    expect(page).toContain(`<td><code>${code}</code></td>`);
  for (const [code, { from }] of Object.entries(errorCodes))
    if (from === "client") expect(page).not.toContain(`<td><code>${code}</code></td>`);
  expect(page).not.toMatch(/<script|<link|<img|<iframe| on\w+=|style=|@import|url\(/i);
});

test("what is put into HTML is escaped, unless it is HTML", () => {
  const evil = `<script>alert("1" & '2')</script>`;
  const escaped = "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;";
  expect(html`<a title="${evil}">${evil}</a>`.text).toBe(`<a title="${escaped}">${escaped}</a>`);
  expect(html`<ul>${[1, 2].map((n) => html`<li>${n}</li>`)}</ul>`.text).toBe("<ul><li>1</li><li>2</li></ul>");
});

test("schemas are references by name, and none of them is left open", () => {
  const named = new Set(Object.keys(schema.definitions));
  const used = [...JSON.stringify(schema).matchAll(/"\$ref":"#\/definitions\/(\w+)"/g)].map(([, name = ""]) => name);
  expect(used.filter((name) => !named.has(name))).toEqual([]);
  expect([...named].filter((name) => !used.includes(name))).toEqual([]);
  expect((schema.definitions as Record<string, Json>)["Ticker"]).toMatchObject({ title: "Ticker", type: "object" });
});
