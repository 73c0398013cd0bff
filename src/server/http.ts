import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import { createServer as createSecureServer, type Server as SecureServer } from "node:https";
import type { Duplex } from "node:stream";
import { createSecureContext } from "node:tls";
import type { CacheError } from "../protocol/errors.ts";
import { noOf } from "./admission.ts";
import { readTextFile } from "./files.ts";
import { SettingError, type Settings } from "./settings.ts";

/** What a page may load, and who may frame it: nothing and nobody. */
export const contentPolicy = "default-src 'none'; frame-ancestors 'none'";

// Nor is anything here a page that may be guessed at or kept.
const securityHeaders = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": contentPolicy,
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

// How long a client may take to say what it wants, in milliseconds.
const patience = { headersTimeout: 10_000, requestTimeout: 15_000, connectionsCheckingInterval: 2_000 };

/** What is answered to a plain HTTP request. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Pages by their paths, made for whoever asks. */
export type Pages = Readonly<Record<string, (request: IncomingMessage) => Page | Promise<Page>>>;

/** Where WebSockets are opened. */
export const webSocketPaths: readonly string[] = ["/", "/ws"];

/**
 * The HTTP server that WebSockets begin at, with TLS where the settings name a certificate.
 * @throws SettingError the certificate cannot be used
 */
export function createHttp(settings: Settings, upgrade: (...request: UpgradeRequest) => void, pages: Pages): Server {
  const certificate = readCertificate(settings);
  const scheme = certificate ? "wss" : "ws";
  const sayWhere = ({ headers }: IncomingMessage): Page => ({
    status: 426,
    type: "text/plain",
    body: `This is a WebSocket server: connect to ${scheme}://${headers.host ?? "it"}\n`,
    headers: { Upgrade: "websocket" },
  });
  const all = { ...pages, ...Object.fromEntries(webSocketPaths.map((path) => [path, sayWhere])) };
  const answer: RequestListener = (request, response) => void answerWith(all, request, response);
  const http = certificate
    ? createSecureServer({ ...patience, ...certificate }, answer)
    : createServer(patience, answer);
  return http.on("upgrade", upgrade);
}

/** An HTTP server for nothing but these pages. */
export function createPlainHttp(pages: Pages): Server {
  return createServer(patience, (request, response) => void answerWith(pages, request, response));
}

async function answerWith(pages: Pages, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, type, body, headers } = await pageFor(pages, request).catch(() => empty(500));
  response.writeHead(status, {
    Connection: "close",
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    ...securityHeaders,
    ...headers,
  });
  response.end(body);
}

async function pageFor(pages: Pages, request: IncomingMessage): Promise<Page> {
  const [path = ""] = (request.url ?? "").split("?", 1);
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (!page) return empty(404);
  if (request.method !== "GET" && request.method !== "HEAD") return { ...empty(405), headers: { Allow: "GET, HEAD" } };
  return page(request);
}

const empty = (status: number): Page => ({ status, type: "text/plain", body: "" });

/** What an `upgrade` event brings. */
export type UpgradeRequest = [request: IncomingMessage, socket: Duplex, head: Buffer];

/** Reads the certificate again; connections that are open keep theirs. @throws SettingError; then nothing has changed */
export function renewCertificate(http: Server, settings: Settings): void {
  const certificate = readCertificate(settings);
  if (certificate) (http as SecureServer).setSecureContext(certificate);
}

function readCertificate({ tlsCertFile, tlsKeyFile }: Settings): { cert: string; key: string } | undefined {
  if (tlsCertFile === undefined && tlsKeyFile === undefined) return undefined;
  if (tlsCertFile === undefined || tlsKeyFile === undefined)
    throw new SettingError("TLS_CERT_FILE and TLS_KEY_FILE are needed both");
  const certificate = {
    cert: readTextFile("TLS_CERT_FILE", tlsCertFile),
    key: readTextFile("TLS_KEY_FILE", tlsKeyFile),
    minVersion: "TLSv1.2" as const,
  };
  try {
    createSecureContext(certificate);
  } catch (error) {
    throw new SettingError(`TLS_CERT_FILE and TLS_KEY_FILE do not make a certificate: ${(error as Error).message}`);
  }
  return certificate;
}

/** Says no to a request to open a WebSocket. */
export function refuseUpgrade(socket: Duplex, error: CacheError): void {
  const { status, headers } = noOf(error);
  const body = JSON.stringify({ error: error.message, error_code: error.code });
  respond(socket, status, { "Content-Type": "application/json", ...headers }, `${body}\n`);
}

/** Answers on a socket that no HTTP server listens to any more, and ends it. */
export function respond(socket: Duplex, status: number, headers: Readonly<Record<string, string>>, body: string): void {
  // An error would end the process, and a client that stays would keep it open.
  socket.on("error", () => {}).once("finish", () => socket.destroy());
  const all = {
    Connection: "close",
    "Content-Length": String(Buffer.byteLength(body)),
    ...securityHeaders,
    ...headers,
  };
  const head = Object.entries(all).map(([header, value]) => `${header}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head.join("")}\r\n${body}`);
}
