import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { StreamStatus, UpdateEnvelope } from "../protocol/frames.ts";
import { printable } from "../protocol/printable.ts";

/** The version of the format below. */
const format = 1;

/** A stream as it was asked for. */
export interface RecordedStream {
  readonly operation: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** The first line of a recording. */
export interface RecordingHeader {
  readonly recording: typeof format;
  /** Unix seconds. */
  readonly recorded_at: number;
  readonly streams: readonly RecordedStream[];
}

/** An update as it came. */
export interface RecordedUpdate extends UpdateEnvelope, Readonly<Record<string, unknown>> {
  readonly removed?: true;
}

/** A frame of a stream as it came. */
export type RecordedFrame = RecordedUpdate | (StreamStatus & Readonly<Record<string, unknown>>);

/** One further line: a stream was opened, or a frame came, so many seconds after the recording began. */
export type RecordedEvent =
  | { readonly at: number; readonly opened: RecordedStream & { readonly topics: readonly string[] } }
  | { readonly at: number; readonly frame: RecordedFrame };

/** Whether a frame tells of a stream, and of no update of it. */
export function isStatus(frame: RecordedFrame): frame is StreamStatus & Readonly<Record<string, unknown>> {
  return frame.type === "stream_status";
}

/** Writes a recording, a line for each event. */
export class RecordingWriter implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #beganAt = performance.now();
  #text = "";
  #written: Promise<void> | undefined;
  #failure: { readonly reason: unknown } | undefined;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Begins one in a new file, which only its owner may read. @throws Error the file is there already, or cannot be made */
  static async begin(path: string, streams: readonly RecordedStream[]): Promise<RecordingWriter> {
    const writer = new RecordingWriter(await open(path, "wx", 0o600));
    const header: RecordingHeader = { recording: format, recorded_at: Date.now() / 1000, streams };
    writer.#add(JSON.stringify(header));
    return writer;
  }

  /** A frame of a stream came. @param text JSON */
  frame(text: string): void {
    this.#add(`{"at":${this.#at()},"frame":${text}}`);
  }

  /** A stream was opened. */
  opened(stream: RecordedStream, topics: readonly string[]): void {
    this.#add(`{"at":${this.#at()},"opened":${JSON.stringify({ ...stream, topics })}}`);
  }

  /** Resolves when everything is written so far. @throws Error it cannot be */
  async flush(): Promise<void> {
    while (this.#text !== "" || this.#written) {
      this.#written ??= this.#write();
      await this.#written;
    }
    if (this.#failure) throw this.#failure.reason;
  }

  async #write(): Promise<void> {
    const text = this.#text;
    this.#text = "";
    try {
      // After a hole nothing that follows is worth anything.
      if (!this.#failure) await this.#file.appendFile(text);
    } catch (reason) {
      this.#failure = { reason };
    } finally {
      this.#written = undefined;
    }
  }

  #at(): string {
    return ((performance.now() - this.#beganAt) / 1000).toFixed(6);
  }

  /** JSON on one line, which does nothing to a terminal either. */
  #add(json: string): void {
    this.#text += `${printable(json)}\n`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#file.close();
    }
  }
}

/** A recording in a file, which may be read several times. */
export class Recording {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Its events, one after the other. @throws Error it cannot be read, or is no recording */
  async *events(): AsyncGenerator<RecordedEvent> {
    const lines = createInterface({ input: createReadStream(this.path), crlfDelay: Number.POSITIVE_INFINITY });
    let number = 0;
    // Where the recorder was killed, its last line may be half a line.
    let broken: number | undefined;
    for await (const line of lines) {
      number++;
      if (line === "") continue;
      if (broken !== undefined) throw new Error(`${this.path}, line ${broken}: it is not JSON`);
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch {
        broken = number;
        continue;
      }
      if (number === 1) this.#checkHeader(value);
      else yield this.#event(value, number);
    }
    if (number === 0 || broken === 1) this.#checkHeader(undefined);
  }

  #checkHeader(value: unknown): void {
    const { recording } = Object(value) as Partial<RecordingHeader>;
    if (recording !== format) throw new Error(`${this.path} is no recording of fullon-cache-api record`);
  }

  #event(value: unknown, line: number): RecordedEvent {
    const { at, opened, frame } = Object(value) as { at?: unknown; opened?: unknown; frame?: unknown };
    const { topics } = Object(opened) as { topics?: unknown };
    const { type, topic } = Object(frame) as { type?: unknown; topic?: unknown };
    const isFrame = typeof type === "string" && typeof topic === "string";
    if (typeof at !== "number" || (!isFrame && !Array.isArray(topics)))
      throw new Error(`${this.path}, line ${line}: it is no event of a recording`);
    return value as RecordedEvent;
  }
}
