import { marker } from "./payload.ts";

/** What one connection sends, part by part, and the numbers of the messages that it is to receive. */
export interface Script {
  readonly parts: readonly Buffer[];
  readonly topics?: readonly number[];
}

/** The update of one topic. */
export interface Message {
  readonly bytes: Buffer;
  /** Several writes may become one update: only the last one must arrive. */
  readonly conflated?: boolean;
}

/** Updates in flight, or updates per second. */
export type Pace = { readonly window: number } | { readonly rate: number };

/** What the load program is to do, in the form in which it reads it. */
export class LoadSpec {
  readonly #parts: Buffer[] = [];

  constructor(mode: "fanout" | "queries" | "idle", port: number, connections: number) {
    this.#line(`mode ${mode}`);
    this.#line(`port ${port}`);
    this.#line(`connections ${connections}`);
  }

  #line(text: string): void {
    this.#parts.push(Buffer.from(`${text}\n`));
  }

  #bytes(name: string, bytes: Buffer): void {
    this.#parts.push(Buffer.from(`${name} ${bytes.length}\n`), bytes, Buffer.from("\n"));
  }

  /** The connections' scripts, used in turn. */
  scripts(scripts: Iterable<Script>): this {
    for (const { parts, topics = [] } of scripts) {
      this.#line(`client ${topics.join(" ")}`);
      for (const part of parts) this.#bytes("part", part);
    }
    return this;
  }

  /** How many connections may be under way at a time. */
  opening(atOnce: number): this {
    this.#line(`opening ${atOnce}`);
    return this;
  }

  times(milliseconds: { readonly warmup: number; readonly measured: number; readonly drain?: number }): this {
    for (const [name, ms] of Object.entries(milliseconds)) this.#line(`${name}-ms ${ms}`);
    return this;
  }

  /** The connection that writes: where, what opens it, and what it writes, one message after another or at random. */
  publisher(to: {
    readonly port: number;
    readonly greeting: readonly Buffer[];
    readonly messages: Iterable<Message>;
    readonly pace: Pace;
    readonly marker?: string;
  }): this {
    this.#line(`publisher-port ${to.port}`);
    for (const part of to.greeting) this.#bytes("greeting", part);
    this.#bytes("marker", Buffer.from(to.marker ?? marker));
    for (const { bytes, conflated } of to.messages) {
      this.#bytes("message", bytes);
      if (conflated) this.#line("conflated");
    }
    this.#line("window" in to.pace ? `window ${to.pace.window}` : `rate ${to.pace.rate}`);
    return this;
  }

  /** Publishing pauses while more deliveries than this are outstanding, so that no server must hold them all. */
  mostOutstanding(deliveries: number): this {
    this.#line(`most-outstanding ${deliveries}`);
    return this;
  }

  /** Whether messages and questions are chosen at random, the same way each time, instead of in turn. */
  random(): this {
    this.#line("random 1");
    return this;
  }

  /** The questions. `id` is what stands in them where the load program writes the id. */
  questions(asked: {
    readonly questions: Iterable<Buffer>;
    readonly id: string;
    readonly inFlight: number;
    readonly answers: "websocket" | "http";
    readonly right?: string;
  }): this {
    this.#bytes("id", Buffer.from(asked.id));
    for (const question of asked.questions) this.#bytes("question", question);
    this.#line(`in-flight ${asked.inFlight}`);
    this.#line(`http ${asked.answers === "http" ? 1 : 0}`);
    if (asked.right !== undefined) this.#bytes("needle", Buffer.from(asked.right));
    return this;
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
