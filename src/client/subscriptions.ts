import { backoffMs } from "../protocol/backoff.ts";
import { CacheError, errorCodes, isErrorCode } from "../protocol/errors.ts";
import type { StreamOpened, StreamStatus } from "../protocol/frames.ts";
import type { Calls } from "./calls.ts";
import type { StreamFeed, StreamHost } from "./feed.ts";
import type { AnyUpdate } from "./position.ts";
import { timerMs } from "./timer.ts";

interface Subscription {
  /** The id under which the gateway knows it on this connection. */
  id?: string;
  /** Set while it waits for its answer, or to ask once more. */
  retry?: ReturnType<typeof setTimeout> | undefined;
  /** The id under which its picture was due when the last sign of life came. */
  dueAs?: string;
}

/** Those who follow a topic on this connection. */
interface Route {
  readonly feeds: Set<StreamFeed>;
  /** The shortest interval that one of them asked for. */
  readonly fastestMs: number;
}

const firstRetryMs = 200;
const maxRetryMs = 10_000;

/** The streams that somebody reads, and which of them a frame is for. After a break all of them are opened anew. */
export class Subscriptions implements StreamHost {
  readonly #calls: Calls;
  readonly #timeoutMs: number;
  readonly #subscriptions = new Map<StreamFeed, Subscription>();
  readonly #routes = new Map<string, Route>();
  #isConnected = false;
  #closed: CacheError | undefined;

  /** @param timeoutMs how long to wait for the answer to a stream before it is asked for once more */
  constructor(calls: Calls, timeoutMs: number) {
    this.#calls = calls;
    this.#timeoutMs = timeoutMs;
  }

  opens(feed: StreamFeed): void {
    if (this.#closed) {
      feed.end(this.#closed);
      return;
    }
    const subscription = this.#subscriptions.get(feed) ?? {};
    this.#subscriptions.set(feed, subscription);
    // First, so that a connection that has all the streams it may have can open this one again.
    this.#unsubscribe(subscription);
    if (this.#isConnected) this.#subscribe(feed, subscription);
  }

  leaves(feed: StreamFeed): void {
    const subscription = this.#subscriptions.get(feed);
    if (!subscription) return;
    this.#subscriptions.delete(feed);
    clearTimeout(subscription.retry);
    this.#unroute(feed);
    this.#unsubscribe(subscription);
  }

  /** There is a new connection: the gateway knows nothing of us any more. */
  resume(): void {
    this.#isConnected = true;
    for (const [feed, subscription] of this.#subscriptions) this.#subscribe(feed, subscription);
  }

  /** The connection broke. */
  interrupt(reason: CacheError): void {
    this.#isConnected = false;
    this.#routes.clear();
    for (const [feed, subscription] of this.#subscriptions) {
      clearTimeout(subscription.retry);
      this.#subscriptions.set(feed, {});
      feed.interrupted(reason);
    }
  }

  /** There will be no connection any more. Without a reason streams just end. */
  close(reason: CacheError | undefined): void {
    this.#isConnected = false;
    this.#closed = reason ?? new CacheError("CONNECTION_CLOSED", "the connection has been closed");
    for (const feed of [...this.#subscriptions.keys()]) feed.end(reason);
  }

  /** An update was lost, nobody knows of which topic. */
  lost(): void {
    for (const feed of this.#subscriptions.keys()) feed.lost();
  }

  /** A sign of life came. A picture that was due at the one before, too, has been lost on the way, or its end has. */
  alive(): void {
    for (const [feed, subscription] of this.#subscriptions) {
      const { id, dueAs } = subscription;
      if (id === undefined || feed.isWhole) delete subscription.dueAs;
      else if (id === dueAs) feed.lost();
      else subscription.dueAs = id;
    }
  }

  /** An update came. */
  take(update: AnyUpdate): void {
    const route = this.#routes.get(update.topic);
    if (route) for (const feed of route.feeds) feed.take(update, route.fastestMs);
  }

  /** A stream_status came. */
  tell(status: StreamStatus): void {
    for (const feed of [...(this.#routes.get(status.topic)?.feeds ?? [])]) {
      if (status.state !== "ended") feed.tell(status);
      else if (status.error_code === undefined) feed.end();
      // With these the connection ends next, and the stream goes on with the next one.
      else if (status.error_code !== "DRAINING" && status.error_code !== "SLOW_CONSUMER") feed.end(endedBy(status));
    }
  }

  #subscribe(feed: StreamFeed, subscription: Subscription, attempt = 0): void {
    const { operation, params } = feed.request;
    const again = (delayMs: number, error: CacheError) => {
      clearTimeout(subscription.retry);
      feed.interrupted(error);
      subscription.retry = setTimeout(() => this.#subscribe(feed, subscription, attempt + 1), delayMs);
    };
    this.#calls.ask(operation, params, {
      settle: (result) => {
        const { stream, topics } = result as StreamOpened;
        // Nobody wants it any more; or it was asked for twice, because the first answer was late.
        if (feed.ended || subscription.id !== undefined) return this.#unsubscribe({ id: stream });
        clearTimeout(subscription.retry);
        subscription.id = stream;
        this.#unroute(feed);
        feed.opened(topics);
        for (const topic of topics) this.#reroute(topic, (feeds) => feeds.add(feed));
      },
      fail: (error) => {
        if (feed.ended || subscription.id !== undefined) return;
        if (!(error instanceof CacheError) || !error.retryable) return feed.end(error);
        again(backoffMs(attempt, firstRetryMs, maxRetryMs), error);
      },
    });
    // The answer may have been lost on the way.
    const waitMs = timerMs(this.#timeoutMs * 2 ** attempt);
    const late = () => again(0, new CacheError("REQUEST_TIMEOUT", `${operation}: no answer within ${waitMs} ms`));
    subscription.retry = setTimeout(late, waitMs);
  }

  #unsubscribe(subscription: Subscription): void {
    const { id: stream } = subscription;
    delete subscription.id;
    if (stream !== undefined && this.#isConnected) this.#calls.ask("unsubscribe", { stream });
  }

  #unroute(feed: StreamFeed): void {
    for (const topic of feed.topics) this.#reroute(topic, (feeds) => feeds.delete(feed));
  }

  #reroute(topic: string, change: (feeds: Set<StreamFeed>) => void): void {
    const feeds = this.#routes.get(topic)?.feeds ?? new Set();
    change(feeds);
    const fastestMs = Math.min(...[...feeds].map(({ intervalMs }) => intervalMs));
    if (feeds.size > 0) this.#routes.set(topic, { feeds, fastestMs });
    else this.#routes.delete(topic);
  }
}

function endedBy({ topic, error_code: code }: StreamStatus): CacheError {
  const known = isErrorCode(code) ? code : "INTERNAL_ERROR";
  return new CacheError(known, `${topic} was ended by the gateway: ${errorCodes[known].about}`);
}
