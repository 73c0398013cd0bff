import { CacheError, isErrorCode } from "../protocol/errors.ts";
import type { Response } from "../protocol/frames.ts";
import { at } from "./call-site.ts";
import { onAbort } from "./on-abort.ts";
import { timerMs } from "./timer.ts";

/** How one call behaves. */
export interface CallOptions {
  /** Gives the call up. */
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for the answer, in milliseconds; as long as the client was told unless told here. */
  readonly timeoutMs?: number | undefined;
}

/** What becomes of a question. */
export interface Outcome {
  /** Called within the turn in which the answer came: the next frame may already depend on it. */
  settle(result: unknown): void;
  fail(error: unknown): void;
}

interface Question extends Outcome {
  readonly text: string;
  /** Whether it concerns this one connection, and means nothing on the next. */
  readonly isBound: boolean;
}

type Params = Readonly<Record<string, unknown>>;

// A gateway takes a thousand at a time unless it is told otherwise; what is more waits here for its turn.
const maxInFlight = 256;
const ignored: Outcome = { settle: () => {}, fail: () => {} };

/** The questions that wait for their answers. All of them are reads, so one whose connection broke is asked again. */
export class Calls {
  readonly #send: (text: string) => void;
  readonly #timeoutMs: number;
  readonly #questions = new Map<string, Question>();
  readonly #unsent = new Set<string>();
  #nextId = 1;
  #closed: CacheError | undefined;

  /** @param send sends text now, if there is a connection */
  constructor(send: (text: string) => void, timeoutMs: number) {
    this.#send = send;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Asks for somebody.
   * @throws CacheError what the gateway answers, REQUEST_TIMEOUT, CONNECTION_CLOSED; what `signal` was aborted with
   */
  call(operation: string, params: Params, options: CallOptions, site: Error): Promise<unknown> {
    const { signal, timeoutMs = this.#timeoutMs } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const done = () => {
        clearTimeout(timer);
        release();
        this.#forget(id);
      };
      const fail = (error: unknown) => {
        done();
        reject(error instanceof CacheError ? at(site, error) : error);
      };
      const settle = (result: unknown) => {
        done();
        resolve(result);
      };
      const late = () => fail(new CacheError("REQUEST_TIMEOUT", `${operation}: no answer within ${timeoutMs} ms`));
      const id = this.#ask(operation, params, { settle, fail }, false);
      const timer = setTimeout(late, timerMs(timeoutMs));
      const release = onAbort(signal, () => fail(signal?.reason));
    });
  }

  /** Asks what concerns this connection alone: when it breaks, nothing becomes of it. */
  ask(operation: string, params: Params, outcome: Outcome = ignored): void {
    this.#ask(operation, params, outcome, true);
  }

  /** An answer came. */
  answered(response: Response): void {
    const id = String(response.request_id);
    const question = this.#questions.get(id);
    if (!question) return;
    // The question stays: this connection is about to end, and the next one can be asked.
    if (!response.success && response.error_code === "DRAINING") return;
    this.#forget(id);
    if (response.success) question.settle(response.result);
    else question.fail(errorOf(response));
  }

  /** There is a new connection: what is unanswered is asked again. */
  resume(): void {
    for (const id of this.#questions.keys()) this.#unsent.add(id);
    this.#sendMore();
  }

  /** The connection broke. */
  interrupt(): void {
    for (const [id, { isBound }] of this.#questions) if (isBound) this.#forget(id);
  }

  /** There will be no connection any more: whatever waits fails, and whatever is asked from now on. */
  close(error: CacheError): void {
    this.#closed = error;
    for (const { fail } of [...this.#questions.values()]) fail(error);
    this.#questions.clear();
    this.#unsent.clear();
  }

  #ask(operation: string, params: Params, outcome: Outcome, isBound: boolean): string {
    const id = `c${this.#nextId++}`;
    const text = JSON.stringify({ request_id: id, operation, params });
    const closed = this.#closed;
    if (closed) queueMicrotask(() => outcome.fail(closed));
    else {
      this.#questions.set(id, { ...outcome, text, isBound });
      this.#unsent.add(id);
      this.#sendMore();
    }
    return id;
  }

  #forget(id: string): void {
    this.#questions.delete(id);
    this.#unsent.delete(id);
    this.#sendMore();
  }

  #sendMore(): void {
    for (const id of this.#unsent) {
      if (this.#questions.size - this.#unsent.size >= maxInFlight) return;
      this.#unsent.delete(id);
      this.#send(this.#questions.get(id)?.text ?? "");
    }
  }
}

function errorOf({ error, error_code: code, details = {} }: Response & { success: false }): CacheError {
  // A newer gateway may know codes that this client does not.
  return new CacheError(isErrorCode(code) ? code : "INTERNAL_ERROR", error, { details });
}
