import { vi } from "vitest";
import type { TestGateway, Wire } from "./gateway.ts";
import { Picture } from "./picture.ts";
import type { TestRedis } from "./redis.ts";
import { follow, isTrue, streamKinds } from "./streams.ts";

const timeout = 15_000;

function eventually(check: () => boolean | Promise<boolean>, otherwise: string): Promise<void> {
  return vi.waitFor(
    async () => {
      if (!(await check())) throw new Error(otherwise);
    },
    { timeout, interval: 20 },
  );
}

/** One connection that follows a stream of every kind, and what it knows of each. */
export class FollowAll {
  readonly wire: Wire;
  readonly #kinds = streamKinds("all");
  readonly #pictures: ReadonlyMap<string, Picture>;

  private constructor(wire: Wire) {
    this.wire = wire;
    this.#pictures = new Map(this.#kinds.map(({ topic }) => [topic, new Picture(wire, topic)]));
  }

  /** Opens them; `followAll` is its everyday name. */
  static async start(gateway: TestGateway): Promise<FollowAll> {
    const all = new FollowAll(await gateway.wire());
    for (const { operation, params } of all.#kinds) await follow(all.wire, operation, params);
    return all;
  }

  /** The topics, one of each kind of stream. */
  get topics(): readonly string[] {
    return this.#kinds.map(({ topic }) => topic);
  }

  /** Writes to all of them; resolves when every one has told of it. */
  async write(redis: TestRedis, n: number): Promise<void> {
    const told = this.#kinds.map((kind) =>
      this.wire.frame((frame) => frame["topic"] === kind.topic && !("state" in frame) && kind.tells(frame, n)),
    );
    await this.writeOnly(redis, n);
    await Promise.all(told);
  }

  /** Writes to all of them. */
  async writeOnly(redis: TestRedis, n: number): Promise<void> {
    for (const kind of this.#kinds) await kind.write(redis, n);
  }

  /** Resolves when every picture is what the queries say. */
  async converge(): Promise<void> {
    for (const kind of this.#kinds) {
      const picture = this.#pictures.get(kind.topic) as Picture;
      await eventually(() => isTrue(kind, picture, this.wire), `${kind.name} is not what the query says`);
    }
  }

  /** Resolves when all of them have said it at some time since then, be it only for a moment. */
  async told(state: string, from: number): Promise<void> {
    const { frames } = this.wire;
    for (const { topic, name } of this.#kinds) {
      const isTold = () => frames.slice(from).some((frame) => frame["topic"] === topic && frame["state"] === state);
      await eventually(isTold, `${name} was not ${state}`);
    }
  }

  /** Resolves when all of them say that they are in that state. */
  async all(state: string): Promise<void> {
    for (const { topic, name } of this.#kinds)
      await eventually(() => this.#pictures.get(topic)?.state === state, `${name} is not ${state}`);
  }
}

/** Follows a stream of every kind over one connection. */
export function followAll(gateway: TestGateway): Promise<FollowAll> {
  return FollowAll.start(gateway);
}
