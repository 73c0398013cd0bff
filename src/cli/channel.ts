/** What can be asked: an interface of methods that take one value or none. */
type Questions<Q> = { readonly [N in keyof Q]: (given: never) => unknown };

type Given<Q extends Questions<Q>, N extends keyof Q> = Parameters<Q[N]>[0];

/** What answers questions, at once or later. */
type Answers<Q extends Questions<Q>> = {
  readonly [N in keyof Q]: (given: Given<Q, N>) => ReturnType<Q[N]> | Promise<ReturnType<Q[N]>>;
};

type Message =
  | { readonly ask: number; readonly question: string; readonly given?: unknown }
  | { readonly to: number; readonly answer?: unknown; readonly error?: string };

/** One end of what connects two processes: a worker of node:cluster, in its own process as in that of its primary. */
export interface End {
  on(event: "message" | "disconnect", listener: (message: unknown) => void): unknown;
  send(message: object, sent: (error: Error | null) => void): unknown;
}

interface Pending {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

/** A worker and its primary ask each other: between processes pass questions and answers, and nothing else. */
export class Channel<Theirs extends Questions<Theirs>, Ours extends Questions<Ours>> {
  readonly #end: End;
  readonly #pending = new Map<number, Pending>();
  #answers: Partial<Answers<Ours>> = {};
  #nextId = 1;

  constructor(end: End) {
    this.#end = end;
    // Others may speak on it, too: loaders do, to whoever watches files.
    end.on("message", (message) => this.#hear(Object(message)));
    end.on("disconnect", () => {
      for (const { reject } of this.#pending.values()) reject(new Error("the other process has ended"));
    });
  }

  /** Says how questions of the other process are answered from now on. */
  answer(answers: Answers<Ours>): void {
    this.#answers = answers;
  }

  /** Asks the other process. @throws Error it has ended, it failed, or it did not answer within `timeoutMs` */
  async ask<N extends keyof Theirs & string>(
    question: N,
    given?: Given<Theirs, N>,
    timeoutMs?: number,
  ): Promise<ReturnType<Theirs[N]>> {
    const ask = this.#nextId++;
    let timer: NodeJS.Timeout | undefined;
    try {
      return (await new Promise<unknown>((resolve, reject) => {
        this.#pending.set(ask, { resolve, reject });
        const late = () => reject(new Error(`${question} was not answered within ${timeoutMs} ms`));
        if (timeoutMs !== undefined) timer = setTimeout(late, timeoutMs);
        this.#end.send({ ask, question, given } satisfies Message, (error) => error && reject(error));
      })) as ReturnType<Theirs[N]>;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(ask);
    }
  }

  #hear(message: Message): void {
    if ("ask" in message) void this.#reply(message.ask, message.question as keyof Ours & string, message.given);
    else if ("to" in message) {
      const { to, answer, error } = message;
      if (error === undefined) this.#pending.get(to)?.resolve(answer);
      else this.#pending.get(to)?.reject(new Error(error));
    }
  }

  async #reply<N extends keyof Ours & string>(to: number, question: N, given: unknown): Promise<void> {
    let reply: Message;
    try {
      const answering = this.#answers[question];
      if (!answering) throw new Error(`${question} cannot be answered`);
      reply = { to, answer: await answering(given as Given<Ours, N>) };
    } catch (error) {
      reply = { to, error: (error as Error).message };
    }
    // Where nobody is left to hear it, nobody waits for it.
    this.#end.send(reply, () => {});
  }
}
