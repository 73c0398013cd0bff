import { needOf } from "../operations/permissions.ts";
import { closeCodes, errorCodes } from "../protocol/errors.ts";
import { definitions, type Json, messages } from "./json-schema.ts";
import { generalMessages, type Message, operationMessages } from "./messages.ts";

const channel = { $ref: "#/channels/gateway" };
const onChannel = ({ title }: Message) => ({ $ref: `#/channels/gateway/messages/${title}` });

/**
 * The protocol as an AsyncAPI 3 document, from the gateway's point of view.
 * @param version the version of the package
 */
export function asyncApi(version: string): Json {
  return {
    asyncapi: "3.0.0",
    info: {
      title: "fullon-cache-api",
      version,
      description:
        "A read-only WebSocket gateway over the Redis cache of the fullon trading system. Frames are JSON in text " +
        "messages. Every stream begins with a snapshot and goes on with changes; PROTOCOL.md has its rules.",
      license: { name: "MIT" },
      tags: [...new Set(operationMessages.map(({ domain }) => domain))].map((name) => ({ name })),
    },
    defaultContentType: "application/json",
    servers: { gateway: server("ws"), "gateway-tls": server("wss") },
    channels: { gateway: gatewayChannel() },
    operations: Object.fromEntries([...asked(), ...sent()]),
    components: {
      messages: Object.fromEntries(messages.map((message) => [message.title, component(message)])),
      schemas: Object.fromEntries(definitions("#/components/schemas/")),
      securitySchemes,
    },
    "x-error-codes": errorCodes,
  };
}

const server = (protocol: string): Json => ({
  host: "{host}:{port}",
  protocol,
  protocolVersion: "13",
  description:
    "One of the three ways to bring a token is enough. A gateway that serves its own machine alone needs none.",
  variables: {
    host: { default: "localhost", description: "where the gateway listens" },
    port: { default: "8765" },
  },
  security: Object.keys(securitySchemes).map((name) => ({ $ref: `#/components/securitySchemes/${name}` })),
});

const securitySchemes = {
  header: { type: "http", scheme: "bearer", bearerFormat: "JWT", description: "A token or the key of a service." },
  subprotocol: {
    type: "httpApiKey",
    in: "header",
    name: "Sec-WebSocket-Protocol",
    description: "fullon-cache.v1, bearer.<token>: the way for web pages. Only fullon-cache.v1 is confirmed.",
  },
  query: {
    type: "httpApiKey",
    in: "query",
    name: "token",
    description: "The token in the URL. Proxies may log it.",
  },
};

function gatewayChannel(): Json {
  return {
    address: "/",
    title: "The WebSocket",
    description: "All operations and streams share one connection. /ws leads to the same.",
    messages: Object.fromEntries(messages.map(({ title }) => [title, { $ref: `#/components/messages/${title}` }])),
    bindings: {
      ws: {
        method: "GET",
        query: { type: "object", properties: { token: { type: "string" } } },
        headers: {
          type: "object",
          properties: { Authorization: { type: "string" }, "Sec-WebSocket-Protocol": { type: "string" } },
        },
        bindingVersion: "0.1.0",
      },
    },
    "x-close-codes": closeCodes,
  };
}

/** What the gateway is asked. */
function asked(): [string, Json][] {
  return operationMessages.map(({ domain, name, operation, request, response, update }) => [
    name,
    {
      action: "receive",
      channel,
      title: name,
      summary: operation.about,
      tags: [{ name: domain }],
      messages: [onChannel(request)],
      reply: { channel, messages: [onChannel(response), onChannel(generalMessages.error)] },
      "x-scope": needOf(operation, {}).scope ?? null,
      "x-reads": operation.reads,
      "x-own-errors": operation.errors ?? [],
      ...(update && { "x-brings": update.name }),
    },
  ]);
}

/** What the gateway sends without being asked each time. */
function sent(): [string, Json][] {
  const updates = operationMessages.flatMap(({ domain, name, update }): [string, Json][] =>
    update ? [[update.name, sending(update, { tags: [{ name: domain }], "x-stream": name })]] : [],
  );
  const { status, auth } = generalMessages;
  return [...updates, [status.name, sending(status)], [auth.name, sending(auth)]];
}

const sending = (message: Message, more: Json = {}): Json => ({
  action: "send",
  channel,
  title: message.name,
  summary: message.about,
  messages: [onChannel(message)],
  ...more,
});

const component = ({ title, name, about, payload, examples }: Message): Json => ({
  name,
  title,
  summary: about,
  payload: { $ref: `#/components/schemas/${payload["title" as keyof typeof payload]}` },
  examples: examples.map((example, at) => ({ name: `${title}${at + 1}`, payload: example })),
});
