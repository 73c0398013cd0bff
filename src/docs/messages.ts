import { type TSchema, Type } from "typebox";
import type { LiveQuery } from "../operations/operation.ts";
import { type Declared, declared } from "./declared.ts";
import { exampleOf, exampleParams, topicsOf } from "./examples.ts";
import {
  AuthStatus,
  changeOf,
  ErrorResponse,
  removalOf,
  requestOf,
  responseOf,
  StreamOpened,
  StreamStatus,
} from "./frames.ts";

/** A kind of frame: its title, who sends it, its schema, and some of its like. */
export interface Message {
  /** The name of its schema: `GetTickerRequest`. */
  readonly title: string;
  /** What programs know it by: the operation, or the `type`. */
  readonly name: string;
  readonly about: string;
  readonly from: "client" | "gateway";
  readonly payload: TSchema;
  readonly examples: readonly Readonly<Record<string, unknown>>[];
}

/** The messages of one operation. */
export interface OperationMessages extends Declared {
  readonly request: Message;
  readonly response: Message;
  /** What follows the answer, where the operation is a stream. */
  readonly update?: Message;
}

const epoch = "7qz5wu4u";
const pascal = (name: string) => name.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());

function messagesOf(one: Declared): OperationMessages {
  const { name, operation } = one;
  const params = exampleParams(name, operation);
  const [requestTitle, responseTitle] = [`${pascal(name)}Request`, `${pascal(name)}Response`];
  const topics = operation.kind === "live" ? topicsOf(operation, params) : [];
  const result = operation.kind === "live" ? { stream: "s1", topics, epoch } : exampleOf(operation.result, name, name);
  const request: Message = {
    title: requestTitle,
    name,
    about: operation.about,
    from: "client",
    payload: requestOf(requestTitle, name, operation),
    examples: [{ request_id: "1", operation: name, ...(Object.keys(params).length > 0 && { params }) }],
  };
  const response: Message = {
    title: responseTitle,
    name,
    about: `The answer to ${name}.`,
    from: "gateway",
    payload: responseOf(responseTitle, operation.kind === "live" ? StreamOpened : operation.result),
    examples: [{ request_id: "1", success: true, result }],
  };
  if (operation.kind === "query") return { ...one, request, response };
  return { ...one, request, response, update: updateOf(name, operation, topics[0] ?? "") };
}

function updateOf(stream: string, live: LiveQuery, topic: string): Message {
  const { type, update, identity } = live;
  const title = pascal(type);
  const base = title.replace(/Update$/, "");
  const item = exampleOf(update) as Record<string, unknown>;
  const change = { type, topic, ...item };
  const examples: Record<string, unknown>[] = [
    { ...change, snapshot: true, epoch, update_id: 3 },
    { ...change, update_id: 4 },
  ];
  const removal = removalOf(`${base}Removed`, live);
  if (removal) {
    const own = Object.fromEntries((identity ?? []).map((member) => [member, item[member]]));
    examples.push({ type, topic, ...own, removed: true, update_id: 5 });
  }
  const payload = removal ? Type.Union([changeOf(`${base}Changed`, live), removal], { title }) : changeOf(title, live);
  return { title, name: type, about: `What ${stream} brings.`, from: "gateway", payload, examples };
}

/** The messages of every operation, domain by domain. */
export const operationMessages: readonly OperationMessages[] = declared.map(messagesOf);

const status = { type: "stream_status", topic: "ticker:binance:BTC/USDT", epoch };

/** What concerns no operation in particular. */
export const generalMessages = {
  error: {
    title: "ErrorResponse",
    name: "error",
    about: "The answer to any request where something is wrong.",
    from: "gateway",
    payload: ErrorResponse,
    examples: [exampleOf(ErrorResponse) as Record<string, unknown>],
  },
  status: {
    title: "StreamStatus",
    name: "stream_status",
    about: "How a topic is: its picture is complete, its source is out of reach, or it is over.",
    from: "gateway",
    payload: StreamStatus,
    examples: [
      { ...status, state: "live", count: 1, update_id: 3 },
      { ...status, state: "stale", since: 1795388088.227, error_code: "CACHE_UNAVAILABLE" },
      { ...status, state: "ended", error_code: "DRAINING" },
    ],
  },
  auth: {
    title: "AuthStatus",
    name: "auth_status",
    about: "The token of this connection expires soon: authenticate with another one, or be closed with 4401.",
    from: "gateway",
    payload: AuthStatus,
    examples: [exampleOf(AuthStatus) as Record<string, unknown>],
  },
} satisfies Readonly<Record<string, Message>>;
