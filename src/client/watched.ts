import { Inbox } from "./inbox.ts";

const history = 100;

/** A state that changes, and those who watch it. */
export class Watched<State> {
  readonly #watchers = new Set<Inbox<State>>();
  #state: State;
  #ended = false;

  constructor(state: State) {
    this.#state = state;
  }

  /** What it is now. */
  get now(): State {
    return this.#state;
  }

  /** It is something else from now on. */
  set(state: State): void {
    this.#state = state;
    for (const watcher of this.#watchers) watcher.put(state);
  }

  /** It changes no more. */
  end(): void {
    this.#ended = true;
    for (const watcher of this.#watchers) watcher.end();
    this.#watchers.clear();
  }

  /** What it is now, then every change; the oldest are left out where nobody takes them. */
  watch(): AsyncIterableIterator<State, undefined> {
    const inbox = new Inbox<State>(history);
    inbox.put(this.#state);
    if (this.#ended) inbox.end();
    else this.#watchers.add(inbox);
    return {
      next: () => inbox.next(),
      return: () => {
        this.#watchers.delete(inbox);
        return inbox.return();
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}
