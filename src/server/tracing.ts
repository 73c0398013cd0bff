import { type ProxyTracerProvider, type Span, SpanKind, SpanStatusCode, type Tracer, trace } from "@opentelemetry/api";
import type { ErrorCode } from "../protocol/errors.ts";

/** What one request is to whoever collects spans. */
export interface RequestSpan {
  /** It was answered; `code`: with an error. */
  end(code: ErrorCode | undefined): void;
}

/** Where requests become spans. */
export interface Tracing {
  /** A request for this operation begins. */
  begin(operation: string): RequestSpan;
}

const tracerName = "fullon-cache-api";

// What a client does wrong is no failure of the gateway.
const failures: ReadonlySet<ErrorCode> = new Set([
  "INTERNAL_ERROR",
  "DATA_CORRUPT",
  "CACHE_UNAVAILABLE",
  "CACHE_TIMEOUT",
]);

/**
 * Where requests become spans: with the tracer that an OpenTelemetry SDK has registered in this process by now.
 * Undefined where there is none; then no request costs anything. A span names the operation and the code of an error,
 * and no parameter, since those may be confidential.
 */
export function findTracing(version: string): Tracing | undefined {
  // The API's own provider is always there; only the one behind it says whether there is an SDK.
  const provider = trace.getTracerProvider() as Partial<ProxyTracerProvider>;
  const tracer = provider.getDelegateTracer?.(tracerName, version);
  return tracer && { begin: (operation) => new Traced(tracer, operation) };
}

class Traced implements RequestSpan {
  readonly #span: Span;

  constructor(tracer: Tracer, operation: string) {
    const attributes = { "rpc.system": tracerName, "rpc.method": operation };
    this.#span = tracer.startSpan(operation, { kind: SpanKind.SERVER, attributes });
  }

  end(code: ErrorCode | undefined): void {
    if (code !== undefined) {
      this.#span.setAttribute("error.type", code);
      if (failures.has(code)) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: code });
    }
    this.#span.end();
  }
}
