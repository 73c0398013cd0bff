import {
  type Attributes,
  type Span,
  SpanKind,
  type SpanOptions,
  type SpanStatus,
  SpanStatusCode,
  type Tracer,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import { afterAll, afterEach, expect, test } from "vitest";
import { findTracing } from "../src/server/tracing.ts";
import { startGateway } from "./kit/gateway.ts";
import { startRedis } from "./kit/redis.ts";
import { follow, setTicker } from "./kit/streams.ts";
import { secret, token } from "./kit/tokens.ts";
import { until } from "./kit/until.ts";

const redis = await startRedis();
afterAll(() => redis[Symbol.asyncDispose]());
afterEach(() => trace.disable());

interface Recorded {
  readonly name: string;
  readonly options: SpanOptions;
  readonly attributes: Attributes;
  status: SpanStatus | undefined;
  ended: boolean;
}

/** The least that an SDK does: it keeps the spans that are begun. */
class Recorder implements TracerProvider {
  readonly spans: Recorded[] = [];
  scope: unknown;

  getTracer(name: string, version?: string): Tracer {
    this.scope = { name, version };
    const startSpan = (name: string, options: SpanOptions = {}): Span => {
      const span: Recorded = { name, options, attributes: { ...options.attributes }, status: undefined, ended: false };
      this.spans.push(span);
      const known: Partial<Span> = {
        setAttribute: (key, value) => {
          span.attributes[key] = value as string;
          return known as Span;
        },
        setStatus: (status) => {
          span.status = status;
          return known as Span;
        },
        end: () => {
          span.ended = true;
        },
      };
      return known as Span;
    };
    const startActiveSpan = () => {
      throw new Error("no span is made the active one");
    };
    return { startSpan, startActiveSpan } as unknown as Tracer;
  }
}

/** Registers one, as an SDK does when the process starts. */
function record(): Recorder {
  const recorder = new Recorder();
  trace.setGlobalTracerProvider(recorder);
  return recorder;
}

test("where no SDK is registered, nothing is traced", () => {
  expect(findTracing("1")).toBeUndefined();
  record();
  expect(findTracing("1")).toBeDefined();
  trace.disable();
  expect(findTracing("1")).toBeUndefined();
});

test("requests that have to wait are spans, which say what was asked and how it failed, and nothing else", async () => {
  const recorder = record();
  await using gateway = await startGateway({ to: redis, jwtSecret: secret });
  expect(recorder.scope).toEqual({ name: "fullon-cache-api", version: "0.1.0" });
  await setTicker(redis, "traced", "BTC/USDT", 1);
  await redis.command(["HSET", "tickers:traced", "BAD", "{"]);
  const wire = await gateway.wire(await token({ user_id: 1, scope: "tickers:read" }));
  const ask = (symbol: string) => wire.request("get_ticker", { exchange: "traced", symbol });
  await ask("BTC/USDT");
  // From the near cache: no span.
  await ask("BTC/USDT");
  await ask("NONE");
  await ask("BAD");
  await follow(wire, "stream_tickers", { exchange: "traced", symbols: ["BTC/USDT"] });
  await wire.request("authenticate", { token: await token({ user_id: 1, note: "confidential" }) });
  await wire.request("get_bots");
  await until(() => expect(recorder.spans.map(({ ended }) => ended)).toEqual([true, true, true, true, true]));
  const base = { "rpc.system": "fullon-cache-api" };
  const shown = recorder.spans.map(({ name, attributes, status }) => ({ name, attributes, status }));
  const ticker = { ...base, "rpc.method": "get_ticker" };
  expect(shown).toEqual([
    { name: "get_ticker", attributes: ticker, status: undefined },
    { name: "get_ticker", attributes: { ...ticker, "error.type": "TICKER_NOT_FOUND" }, status: undefined },
    {
      name: "get_ticker",
      attributes: { ...ticker, "error.type": "DATA_CORRUPT" },
      status: { code: SpanStatusCode.ERROR, message: "DATA_CORRUPT" },
    },
    { name: "stream_tickers", attributes: { ...base, "rpc.method": "stream_tickers" }, status: undefined },
    { name: "authenticate", attributes: { ...base, "rpc.method": "authenticate" }, status: undefined },
  ]);
  expect(new Set(recorder.spans.map(({ options }) => options.kind))).toEqual(new Set([SpanKind.SERVER]));
});
