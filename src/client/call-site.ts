import type { CacheError } from "../protocol/errors.ts";

/** The line that calls a method of the client, kept until it is known whether the call fails. */
export function callSite(method: unknown): Error {
  const site = new Error();
  // V8 only; elsewhere the trace begins a few lines inside the library.
  Error.captureStackTrace?.(site, method as () => void);
  return site;
}

/** Makes an error point at the line of the caller, not at the socket on which its answer came. */
export function at(site: Error, error: CacheError): CacheError {
  const lines = (site.stack ?? "").split("\n").filter((line) => !/^Error\b/.test(line));
  error.stack = [`${error.name}: ${error.message}`, ...lines].join("\n");
  return error;
}
