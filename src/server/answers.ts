import type { Query } from "../operations/operation.ts";
import type { Asker } from "../operations/reading.ts";
import { CacheError, type ErrorCode, errorCodes } from "../protocol/errors.ts";
import type { LeasedCache } from "../redis/leased-cache.ts";
import { type Common, Evidence, Question } from "./question.ts";
import type { Asked } from "./requests.ts";

/** A response but for its beginning, the request id: what is the same for everybody who asks the same. */
export type Answer = string;

/** The answer that is a result. */
export function success(result: unknown): Answer {
  return `,"success":true,"result":${JSON.stringify(result) ?? "null"}}`;
}

/** The answer that is an error. */
export function failure({ code, message, details }: CacheError): Answer {
  const { retryable } = errorCodes[code];
  return `,"success":false,${JSON.stringify({ error: message, error_code: code, retryable, details }).slice(1)}`;
}

const verdictAt = ',"success":'.length;
const codeMark = '","error_code":"';

/** The code of the error that an answer is; undefined where it is a result. */
export function codeOf(answer: Answer): ErrorCode | undefined {
  if (answer[verdictAt] === "t") return undefined;
  // Quotes within the sentence before it are escaped.
  const at = answer.indexOf(codeMark) + codeMark.length;
  return answer.slice(at, answer.indexOf('"', at)) as ErrorCode;
}

interface Kept {
  /** Says whether the answer holds. Of one that is complete only its leases: who asked must not be kept with it. */
  readonly basis: { readonly holds: boolean; readonly isPassing?: boolean };
  readonly answer: Answer | Promise<Answer>;
  readonly bytes: number;
}

// What an entry takes besides its texts: objects, the slot in the map, leases.
const bytesPerEntry = 400;

/**
 * The near cache: answers of questions, as they were sent, for as long as Redis has told of no write to what
 * they were read from. Bounded; those that were not asked for the longest give way. Whoever asks what somebody else has
 * just asked waits for the same read.
 */
export class Answers {
  readonly #maxBytes: number;
  readonly #common: Common;
  readonly #lease: () => LeasedCache;
  // The least recently asked first.
  readonly #kept = new Map<string, Kept>();
  #newest: Kept | undefined;
  // Questions that once depended on more than the cache.
  readonly #passing = new WeakSet<Query>();
  #bytes = 0;

  /** @param maxBytes how much is kept at most; 0: nothing */
  constructor(maxBytes: number, common: Common, lease: () => LeasedCache) {
    this.#maxBytes = maxBytes;
    this.#common = common;
    this.#lease = lease;
  }

  /** How many bytes are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Forgets all of them. */
  clear(): void {
    for (const [key, kept] of this.#kept) this.#drop(key, kept);
  }

  /** Answers a question, at once if the answer is known. @throws what is not a CacheError: a bug */
  to(asked: Asked, asker: Asker): Answer | Promise<Answer> {
    const { operation, key } = asked;
    if (this.#maxBytes === 0 || this.#passing.has(operation)) return this.#readAlone(asked, asker);
    const kept = this.#kept.get(key);
    if (!kept?.basis.holds) return this.#ask(asked, asker);
    const { answer, basis } = kept;
    if (answer instanceof Promise)
      // Where it turns out to depend on who asks, everybody asks for himself.
      return answer.then((shared) => (basis.isPassing ? this.#readAlone(asked, asker) : shared));
    this.#touch(key, kept);
    return answer;
  }

  #readAlone(asked: Asked, asker: Asker): Promise<Answer> {
    return read(asked, new Question(this.#common, asker));
  }

  #ask(asked: Asked, asker: Asker): Promise<Answer> {
    const evidence = new Evidence(this.#common, asker, this.#lease());
    const answer = this.#read(asked, evidence);
    this.#keep(asked.key, { basis: evidence, answer, bytes: 0 });
    return answer;
  }

  async #read(asked: Asked, evidence: Evidence): Promise<Answer> {
    const { key, operation } = asked;
    let isKept = false;
    try {
      const answer = await read(asked, evidence);
      const bytes = bytesPerEntry + Buffer.byteLength(key) + Buffer.byteLength(answer);
      isKept = evidence.holds && bytes <= this.#maxBytes;
      if (isKept) this.#keep(key, { basis: evidence.cache, answer, bytes });
      return answer;
    } finally {
      if (evidence.isPassing) this.#passing.add(operation);
      const waiting = this.#kept.get(key);
      if (!isKept && waiting?.basis === evidence) this.#drop(key, waiting);
    }
  }

  #keep(key: string, kept: Kept): void {
    const before = this.#kept.get(key);
    if (before) this.#drop(key, before);
    this.#kept.set(key, kept);
    this.#newest = kept;
    this.#bytes += kept.bytes;
    for (const [oldest, { bytes }] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) break;
      // What is still being read takes no memory of ours yet.
      if (bytes > 0) this.#drop(oldest, this.#kept.get(oldest) as Kept);
    }
  }

  #drop(key: string, { bytes }: Kept): void {
    this.#kept.delete(key);
    this.#bytes -= bytes;
  }

  #touch(key: string, kept: Kept): void {
    if (kept === this.#newest) return;
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    this.#newest = kept;
  }
}

async function read({ operation, params }: Asked, question: Question): Promise<Answer> {
  try {
    return success(await operation.read(question, params));
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    if (error.retryable) question.isRefused = true;
    return failure(error);
  }
}
