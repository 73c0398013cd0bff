import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { Channel, type End } from "../src/cli/channel.ts";

interface Sums {
  add(numbers: readonly [number, number]): number;
  fail(): void;
  wait(): void;
}

/** Two ends that are connected within one process; what is sent arrives later, as between two. */
class Pipe extends EventEmitter implements End {
  other: Pipe | undefined;

  send(message: object, sent: (error: Error | null) => void): void {
    setImmediate(() => {
      sent(this.other ? null : new Error("nobody is there"));
      this.other?.emit("message", JSON.parse(JSON.stringify(message)));
    });
  }
}

function connected() {
  const [here, there] = [new Pipe(), new Pipe()];
  [here.other, there.other] = [there, here];
  const asking = new Channel<Sums, Record<never, never>>(here);
  const answering = new Channel<Record<never, never>, Sums>(there);
  answering.answer({
    add: ([a, b]) => a + b,
    fail: () => Promise.reject(new Error("it went wrong")),
    wait: () => new Promise(() => {}),
  });
  return { here, asking };
}

test("every question gets its own answer", async () => {
  const { asking } = connected();
  expect(await Promise.all([asking.ask("add", [1, 2]), asking.ask("add", [3, 4])])).toEqual([3, 7]);
});

test("a failure of the other process is told", async () => {
  await expect(connected().asking.ask("fail")).rejects.toThrow("it went wrong");
});

test("a question that nobody answers yet is refused", async () => {
  const { here } = connected();
  const silent = new Channel<Sums, Sums>(here.other as Pipe);
  await expect(silent.ask("wait")).rejects.toThrow("wait cannot be answered");
});

test("an answer that comes too late is not waited for", async () => {
  await expect(connected().asking.ask("wait", undefined, 5)).rejects.toThrow("wait was not answered within 5 ms");
});

test("a process that ends answers nothing any more", async () => {
  const { here, asking } = connected();
  const waiting = asking.ask("wait");
  here.emit("disconnect");
  await expect(waiting).rejects.toThrow("the other process has ended");
  here.other = undefined;
  await expect(asking.ask("wait")).rejects.toThrow("nobody is there");
});

test.each([null, "text", { type: "dependency" }, { to: 99, answer: 1 }])(
  "the message %j of others is ignored",
  async (message) => {
    const { here, asking } = connected();
    const answer = asking.ask("add", [1, 2]);
    here.emit("message", message);
    expect(await answer).toBe(3);
  },
);
