import type { IncomingMessage } from "node:http";
import type { Page, Pages } from "./http.ts";
import type { Readiness } from "./monitor.ts";
import { metricsType } from "./scrape.ts";
import { isLoopback } from "./settings.ts";

/** Who can say how the server fares. */
interface Status {
  readonly readiness: Readiness;
  /** For Prometheus. */
  metrics(): Promise<string>;
}

/**
 * What says how the server fares: whether the process lives, whether clients should be sent here, and its metrics.
 * @param metricsFor who may see the metrics here: `local`, this machine alone
 */
export function statusPages(status: Status, metricsFor: "all" | "local" | "nobody"): Pages {
  const pages: Record<string, Pages[string]> = {
    "/healthz": () => json(200, { alive: true }),
    "/readyz": () => {
      const { readiness } = status;
      return json(readiness.ready ? 200 : 503, readiness);
    },
  };
  if (metricsFor !== "nobody")
    pages["/metrics"] = async (request) => {
      if (metricsFor === "local" && !isFromHere(request))
        return json(403, { error: "metrics are for this machine alone: see --metrics-port", error_code: "FORBIDDEN" });
      return { status: 200, type: metricsType, body: await status.metrics() };
    };
  return pages;
}

/** Whether somebody on this machine asks for himself: a proxy here may ask for anybody. */
function isFromHere({ socket, headers }: IncomingMessage): boolean {
  const isForwarded = "x-forwarded-for" in headers || "forwarded" in headers || "via" in headers;
  return !isForwarded && isLoopback(socket.remoteAddress ?? "");
}

function json(status: number, value: object): Page {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
}
