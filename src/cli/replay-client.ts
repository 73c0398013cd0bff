import type { WebSocket } from "ws";
import type { LiveQuery } from "../operations/operation.ts";
import type { IdentitySummary, ServerInfo, StreamSummary } from "../operations/server-info.ts";
import { CacheError } from "../protocol/errors.ts";
import type { RequestId, StreamOpened } from "../protocol/frames.ts";
import { type Answer, failure, success } from "../server/answers.ts";
import type { Asked, AskedStream, Requests } from "../server/requests.ts";
import { noStream } from "../server/streams.ts";
import { isStatus, type RecordedFrame, type RecordedUpdate } from "./recording.ts";
import { type Follower, itemOf, type ReplayTopic } from "./replay-topic.ts";

/** A recording as a client can ask for it. */
export interface Replayed {
  readonly info: ServerInfo;
  /** The topics of a stream. @throws CacheError it was not recorded */
  topicsOf(stream: AskedStream): readonly ReplayTopic[];
  /** Somebody follows: the recording can begin. */
  begin(): void;
}

/** A stream of a client. */
interface Open extends StreamSummary {
  readonly followers: ReadonlyMap<ReplayTopic, Paced>;
}

/** The frames of one topic on their way to one client, at the pace of the fastest of its streams. */
class Paced implements Follower {
  readonly #live: LiveQuery;
  readonly #send: (frame: RecordedFrame) => void;
  /** The interval that each of its streams asked for, in milliseconds. */
  readonly #intervals = new Map<string, number>();
  /** The last update of each item that waits, in order. */
  readonly #held = new Map<string, RecordedUpdate>();
  #timer: NodeJS.Timeout | undefined;
  #sentId: number | undefined;

  constructor(live: LiveQuery, send: (frame: RecordedFrame) => void) {
    this.#live = live;
    this.#send = send;
  }

  join(stream: string, intervalMs: number): void {
    this.#intervals.set(stream, intervalMs);
  }

  /** Whether nobody is left. */
  leave(stream: string): boolean {
    this.#intervals.delete(stream);
    if (this.#intervals.size > 0) return false;
    clearTimeout(this.#timer);
    return true;
  }

  /** Shows where the topic stands: what waits is part of it. */
  welcome(frames: readonly RecordedFrame[]): void {
    this.#drop();
    for (const frame of frames) this.#pass(frame);
  }

  take(frame: RecordedFrame): void {
    const intervalMs = Math.min(...this.#intervals.values());
    if (isStatus(frame) || frame.snapshot) {
      if (!isStatus(frame) || frame.update_id !== undefined) this.#drop();
      else this.#flush();
      this.#pass(frame);
    } else if (intervalMs === 0) {
      this.#flush();
      this.#pass(frame);
    } else {
      const key = itemOf(this.#live, frame) ?? String(frame.update_id);
      // Taken out first, so that the order is that of the ids.
      this.#held.delete(key);
      this.#held.set(key, frame);
      this.#timer ??= setTimeout(() => this.#flush(), intervalMs);
    }
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#held.clear();
  }

  #flush(): void {
    const held = [...this.#held.values()];
    this.#drop();
    for (const { skipped: _skipped, ...frame } of held) {
      const skipped = this.#sentId === undefined ? 0 : frame.update_id - this.#sentId - 1;
      this.#pass({ ...frame, ...(skipped > 0 && { skipped }) } as RecordedUpdate);
    }
  }

  #pass(frame: RecordedFrame): void {
    if (frame.update_id !== undefined) this.#sentId = frame.update_id;
    this.#send(frame);
  }
}

/** One client of a recording that is played. */
export class ReplayClient {
  readonly #socket: WebSocket;
  readonly #replayed: Replayed;
  readonly #requests: Requests;
  readonly #streams = new Map<string, Open>();
  readonly #followers = new Map<ReplayTopic, Paced>();
  #nextStream = 1;
  #updatesSent = 0;

  constructor(socket: WebSocket, replayed: Replayed, requests: Requests) {
    this.#socket = socket;
    this.#replayed = replayed;
    this.#requests = requests;
    socket.on("message", (data, isBinary) => this.#hear(isBinary ? "" : String(data)));
    socket.on("close", () => {
      for (const stream of [...this.#streams.keys()]) this.#unsubscribe(stream);
    });
  }

  /** How much waits for it, in bytes. */
  get backlog(): number {
    return this.#socket.bufferedAmount;
  }

  /** Ends it. */
  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  #hear(text: string): void {
    const request = this.#requests.read(text);
    const { id } = request;
    try {
      if ("error" in request) throw request.error;
      if ("stream" in request) this.#subscribe(request.id, request.stream);
      else this.#answer(request.id, success(this.#result(request.asked)));
    } catch (error) {
      if (!(error instanceof CacheError)) throw error;
      this.#answer(id, failure(error));
    }
  }

  /** What is answered to a question: of the connection, and nothing of what was not recorded. */
  #result({ name, params }: Asked): unknown {
    switch (name) {
      case "ping":
        return { server_time: Date.now() / 1000, updates_sent: this.#updatesSent };
      case "get_server_info":
        return this.#replayed.info;
      case "list_streams":
        return [...this.#streams.values()].map(({ followers: _followers, ...summary }) => summary);
      case "unsubscribe":
        return this.#unsubscribe(String(params["stream"]));
      case "authenticate":
        // A recording asks nobody who he is.
        return { user_id: null, scopes: [], expires_at: null } satisfies IdentitySummary;
      default:
        throw new CacheError("INVALID_OPERATION", `a recording holds streams: ${name} cannot be answered from it`);
    }
  }

  #subscribe(id: RequestId, asked: AskedStream): void {
    const { name: operation, params, operation: live } = asked;
    const topics = this.#replayed.topicsOf(asked);
    const stream = `s${this.#nextStream++}`;
    const followers = new Map(
      topics.map((topic) => [topic, this.#followers.get(topic) ?? new Paced(live, (frame) => this.#send(frame))]),
    );
    const names = topics.map(({ name }) => name);
    this.#streams.set(stream, { stream, operation, params: { ...params }, topics: names, followers });
    const { epoch } = this.#replayed.info;
    this.#answer(id, success({ stream, topics: names, epoch } satisfies StreamOpened));
    for (const [topic, follower] of followers) {
      this.#followers.set(topic, follower);
      follower.join(stream, Number(params["interval_ms"] ?? 0));
      follower.welcome(topic.welcome());
      topic.follow(follower);
    }
    this.#replayed.begin();
  }

  #unsubscribe(stream: string): { readonly stream: string } {
    const open = this.#streams.get(stream);
    if (!open) throw noStream(stream);
    this.#streams.delete(stream);
    for (const [topic, follower] of open.followers)
      if (follower.leave(stream)) {
        topic.leave(follower);
        this.#followers.delete(topic);
      }
    return { stream };
  }

  #answer(id: RequestId | null, answer: Answer): void {
    this.#socket.send(`{"request_id":${JSON.stringify(id)}${answer}`);
  }

  #send(frame: RecordedFrame): void {
    if (!isStatus(frame)) this.#updatesSent++;
    this.#socket.send(JSON.stringify(frame));
  }
}
