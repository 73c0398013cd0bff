import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocketServer } from "ws";
import { identityAccounts } from "../operations/account-map.ts";
import { operationsByWireName } from "../operations/index.ts";
import type { Reading } from "../operations/reading.ts";
import type { ServerInfo } from "../operations/server-info.ts";
import { CacheError } from "../protocol/errors.ts";
import { protocolVersion, subprotocol } from "../protocol/frames.ts";
import { type AskedStream, Requests } from "../server/requests.ts";
import { isLoopback } from "../server/settings.ts";
import type { RecordedStream, Recording } from "./recording.ts";
import { ReplayClient, type Replayed } from "./replay-client.ts";
import { ReplayTopic } from "./replay-topic.ts";

/** More than this waits for nobody: the recording waits until it is read. */
const mostWaiting = 1_048_576;
const lookMs = 10;
const goingAway = 1012;
// So many frames as fast as possible, then others have their turn.
const burst = 100;

/** What a recording holds, for people. */
export interface RecordingSize {
  readonly frames: number;
  /** Seconds. */
  readonly duration: number;
}

/** What makes two streams the same, whatever their pace and however their ids were written. */
function keyOf(operation: string, { interval_ms: _pace, ...params }: Readonly<Record<string, unknown>>): string {
  const plain = (value: unknown): unknown => (Array.isArray(value) ? value.map(plain).toSorted() : String(value));
  const entries = Object.entries(params).map(([name, value]) => [name, plain(value)] as const);
  return JSON.stringify([operation, entries.toSorted(([one], [other]) => (one < other ? -1 : 1))]);
}

/** Whether a web page comes from this machine; programs say nothing of where they come from. */
function isOurs(origin: string | undefined): boolean {
  return origin === undefined || (URL.canParse(origin) && isLoopback(new URL(origin).hostname));
}

/**
 * Plays a recording to clients that need not know it is one. It sends the recorded frames themselves: written into a Redis
 * behind a gateway, they would come with other ids, without the times at which they were stale, and what a gateway works
 * out (queues, health) could not be written there at all.
 */
export class ReplayServer implements Replayed, AsyncDisposable {
  readonly info: ServerInfo;
  /** Resolves when all of it has been played. */
  readonly played: Promise<void>;
  readonly #recording: Recording;
  readonly #speed: number;
  readonly #topics = new Map<string, ReplayTopic>();
  /** The topics of each stream that was recorded. */
  readonly #streams = new Map<string, readonly string[]>();
  readonly #clients = new Set<ReplayClient>();
  readonly #requests = new Requests();
  readonly #end = new AbortController();
  #server: WebSocketServer | undefined;
  #playing: Promise<void> | undefined;
  #finished: { readonly resolve: () => void; readonly reject: (error: unknown) => void };

  /** @param speed 2: in half the time; 0: as fast as it is taken */
  constructor(recording: Recording, speed: number, version: string) {
    this.#recording = recording;
    this.#speed = speed;
    const epoch = "replay";
    const redis = { connected: true, change_detection: "tracking", read_only: true } as const;
    this.info = { name: "fullon-cache-api", version, protocol: protocolVersion, epoch, limits: {}, redis };
    let finished = { resolve: () => {}, reject: (_error: unknown) => {} };
    this.played = new Promise((resolve, reject) => {
      finished = { resolve, reject };
    });
    this.#finished = finished;
  }

  /** Reads the recording through, to know its streams. @throws Error it cannot be read, or is none */
  async load(): Promise<RecordingSize> {
    let [frames, duration] = [0, 0];
    for await (const event of this.#recording.events()) {
      if ("opened" in event) this.#learn(event.opened);
      else frames++;
      duration = event.at;
    }
    return { frames, duration };
  }

  /** Listens, for this machine and its own web pages only: whoever is let in may see everything. @throws Error the port is taken */
  async listen(port: number): Promise<string> {
    const server = new WebSocketServer({
      host: "127.0.0.1",
      port,
      perMessageDeflate: false,
      // Any page of the web can have a browser connect to this machine.
      verifyClient: ({ req }: { req: IncomingMessage }) => isOurs(req.headers.origin),
      handleProtocols: (offered) => offered.has(subprotocol) && subprotocol,
    });
    this.#server = server;
    server.on("connection", (socket) => {
      const client = new ReplayClient(socket, this, this.#requests);
      this.#clients.add(client);
      socket.on("error", () => {});
      socket.on("close", () => this.#clients.delete(client));
    });
    await once(server, "listening");
    return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  topicsOf({ name, operation, params }: AskedStream): readonly ReplayTopic[] {
    // What has the same topics is the same, even where it was recorded as part of another stream.
    const reading = { accounts: identityAccounts } as Reading;
    const named = operation.topics(reading, params).map((topic) => topic.name);
    const names = this.#streams.get(keyOf(name, params)) ?? named;
    const topics = names.flatMap((topic) => this.#topics.get(topic) ?? []);
    if (topics.length === names.length) return topics;
    const recorded = [...this.#topics.keys()];
    throw new CacheError("INVALID_PARAMS", `the recording has no such stream; it has ${recorded.join(", ")}`, {
      details: { path: "params", topics: recorded },
    });
  }

  begin(): void {
    this.#playing ??= this.#play().then(this.#finished.resolve, this.#finished.reject);
  }

  /** Ends every stream; resolves when the last client has gone. */
  async finish(): Promise<void> {
    for (const topic of this.#topics.values()) topic.end();
    while (this.#clients.size > 0 && !this.#end.signal.aborted) await delay(lookMs);
  }

  #learn({ operation, params, topics }: RecordedStream & { readonly topics: readonly string[] }): void {
    const live = operationsByWireName.get(operation);
    if (live?.kind !== "live") throw new Error(`${this.#recording.path}: there is no stream ${operation}`);
    this.#streams.set(keyOf(operation, params), topics);
    for (const topic of topics) if (!this.#topics.has(topic)) this.#topics.set(topic, new ReplayTopic(topic, live));
  }

  async #play(): Promise<void> {
    const { signal } = this.#end;
    const beganAt = performance.now();
    let sent = 0;
    for await (const event of this.#recording.events()) {
      if (signal.aborted) return;
      if (!("frame" in event)) continue;
      const dueMs = this.#speed === 0 ? 0 : (event.at * 1000) / this.#speed - (performance.now() - beganAt);
      if (dueMs > 1) await delay(dueMs, undefined, { signal }).catch(() => {});
      if (++sent % burst === 0) await this.#room();
      if (signal.aborted) return;
      this.#topics.get(event.frame.topic)?.apply(event.frame);
    }
  }

  /** Waits for whoever reads slowly, or stands still in a debugger: nobody is to miss anything. */
  async #room(): Promise<void> {
    const { signal } = this.#end;
    await delay(0);
    for (const client of this.#clients)
      while (client.backlog > mostWaiting && this.#clients.has(client) && !signal.aborted) await delay(lookMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#playing;
    for (const client of this.#clients) client.close(goingAway, "DRAINING");
    const server = this.#server;
    if (!server) return;
    const closed = new Promise((resolve) => server.close(resolve));
    // Who does not say goodbye is not waited for.
    const deadline = setTimeout(() => {
      for (const socket of server.clients) socket.terminate();
    }, 1_000);
    await closed;
    clearTimeout(deadline);
  }
}
