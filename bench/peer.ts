import type { Cores } from "./machine.ts";

/** A server that can be measured: ours, or what somebody might pick instead. */
export interface Peer {
  readonly name: string;
  /** What of it is measured, in a few words, for the table. */
  readonly about: string;
  /** Why it cannot be measured on this machine; undefined where it can. */
  missing(): Promise<string | undefined>;
  /** Starts it on the given core, against the given Redis where it uses one; resolves when it takes connections. */
  start(place: Place): Promise<RunningPeer>;
}

/** Where a peer runs. */
export interface Place {
  /** The core that it is pinned to, or several. */
  readonly core: Cores;
  /** The port of the Redis of this run, on 127.0.0.1. */
  readonly redisPort: number;
  /** An empty directory of its own. */
  readonly directory: string;
  /** Settings of ours that this run differs in, as flags: `["--near-cache-bytes", "0"]`. */
  readonly flags?: readonly string[];
}

/** A peer at work. */
export interface RunningPeer extends AsyncDisposable {
  /** The processes whose CPU time and memory count. */
  readonly pids: readonly number[];
  /** The port that clients connect to, on 127.0.0.1. */
  readonly port: number;
  /** How clients follow topics, and how updates get in; undefined where it has no publish and subscribe. */
  readonly fanout?: Fanout;
  /** How clients ask; undefined where it answers no questions. */
  readonly queries?: Queries;
}

/** One ticker. */
export interface Topic {
  readonly exchange: string;
  readonly symbol: string;
}

/** The bytes of publish and subscribe. The load program knows no protocol but WebSocket's headers: it sends these. */
export interface Fanout {
  /** Everything that one client sends, the HTTP upgrade first; each next part after something came in answer to the last. */
  client(topics: readonly Topic[]): readonly Buffer[];
  /** Where updates are published: Redis, or the peer itself. */
  readonly publisher: {
    readonly port: number;
    /** What opens the connection, if anything does. */
    readonly greeting: readonly Buffer[];
    /** One update. `payload` is JSON of about 160 bytes that holds the marker of the load program once. */
    message(topic: Topic, payload: string): Buffer;
  };
}

/** A question, as the benchmark means it. */
export type Question =
  | { readonly operation: "get_ticker"; readonly params: { readonly exchange: string; readonly symbol: string } }
  | { readonly operation: "get_all_tickers"; readonly params: { readonly exchange: string } }
  | {
      readonly operation: "get_latest_ohlcv_bars";
      readonly params: { readonly symbol: string; readonly timeframe: string; readonly count: number };
    };

/** The bytes of question and answer. */
export interface Queries {
  /** What one client sends first: the HTTP upgrade. Empty where questions are plain HTTP. */
  readonly greeting: readonly Buffer[];
  /** One question. `id` is ten digits, which the load program overwrites where they stand. Undefined: it cannot be asked so. */
  question(question: Question, id: string): Buffer | undefined;
  /** How an answer ends: a WebSocket frame, or an HTTP response with a Content-Length. */
  readonly answers: "websocket" | "http";
  /** What every right answer to a question holds; `"success":true` where it is not told. */
  right?(question: Question): string;
}
