/** What can be done at the end of a turn. */
interface Task {
  flush(): void;
}

/** Collects what is due, and does each once when this turn of the event loop ends: there is no timer. */
export class EndOfTurn<T extends Task> {
  readonly #done: (() => void) | undefined;
  #due: T[] = [];

  /** @param done called after the last of them */
  constructor(done?: () => void) {
    this.#done = done;
  }

  /** Its `flush` is called at the end of this turn. Whoever has been added already does not add itself again. */
  add(task: T): void {
    if (this.#due.length === 0) process.nextTick(this.#run);
    this.#due.push(task);
  }

  readonly #run = (): void => {
    const due = this.#due;
    this.#due = [];
    for (const task of due) task.flush();
    this.#done?.();
  };
}
