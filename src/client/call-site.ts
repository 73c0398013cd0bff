import { CacheError } from "../protocol/errors.ts";

/** The line that calls a method of the client, kept until it is known whether the call fails. */
export function callSite(method: unknown): Error {
  const site = new Error();
  // V8 only; elsewhere the trace begins a few lines inside the library.
  Error.captureStackTrace?.(site, method as () => void);
  return site;
}

/** The same error for one caller: it points at the caller's line, not at the socket on which the answer came. */
export function at(site: Error, { code, message, details, cause }: CacheError): CacheError {
  const error = new CacheError(code, message, { details, cause });
  const lines = (site.stack ?? "").split("\n").filter((line) => !/^Error\b/.test(line));
  error.stack = [`${error.name}: ${message}`, ...lines].join("\n");
  return error;
}
