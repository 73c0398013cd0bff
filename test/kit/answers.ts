import { Errors } from "typebox/value";
import { operationsByWireName } from "../../src/operations/index.ts";
import { reservedMembers } from "../../src/protocol/frames.ts";
import type { Frame, Wire } from "./gateway.ts";

/** The picture that a stream begins with: the data of its snapshot, and the frames that brought it. */
export interface Snapshot {
  readonly topics: readonly string[];
  readonly items: readonly Frame[];
  readonly frames: readonly Frame[];
}

/** @throws Error the value is not what the operation declares */
function mustFit(operation: string, value: unknown): void {
  const declared = operationsByWireName.get(operation);
  if (!declared) throw new Error(`there is no operation ${operation}`);
  const schema = declared.kind === "live" ? declared.update : declared.result;
  const [error] = Errors(schema, value);
  if (error) throw new Error(`${operation}${error.instancePath} ${error.message}: ${JSON.stringify(value)}`);
}

/** Asks, and gives the result once it fits what the operation declares. @throws Error it does not, or is an error */
export async function answer(wire: Wire, operation: string, params?: object): Promise<unknown> {
  const result = await wire.ask(operation, params);
  mustFit(operation, result);
  return result;
}

/** The data of an update, without what the protocol adds to it. */
export function dataOf(frame: Frame): Frame {
  return Object.fromEntries(
    Object.entries(frame).filter(([name]) => !(reservedMembers as readonly string[]).includes(name)),
  );
}

/** Opens a stream, gives its picture once every topic is live, and ends it. @throws Error it is not as declared */
export async function snapshot(wire: Wire, operation: string, params: object): Promise<Snapshot> {
  const from = wire.frames.length;
  const opened = (await wire.ask(operation, params)) as { stream: string; topics: string[]; epoch: string };
  const frames: Frame[] = [];
  for (const topic of opened.topics) {
    const ofTopic = (all: readonly Frame[]) => all.slice(from).filter((frame) => frame["topic"] === topic);
    const live = await wire.until((all) => ofTopic(all).find(({ type }) => type === "stream_status"));
    const items = ofTopic(wire.frames).slice(0, ofTopic(wire.frames).indexOf(live));
    const { state, count, epoch } = live;
    if (state !== "live" || count !== items.length || epoch !== opened.epoch)
      throw new Error(`${items.length} items of ${opened.epoch}, then ${JSON.stringify(live)}`);
    for (const item of items) {
      mustFit(operation, dataOf(item));
      if (item["snapshot"] !== true || item["epoch"] !== epoch || typeof item["update_id"] !== "number")
        throw new Error(`not part of a snapshot: ${JSON.stringify(item)}`);
    }
    frames.push(...items);
  }
  await wire.ask("unsubscribe", { stream: opened.stream });
  return { topics: opened.topics, frames, items: frames.map(dataOf) };
}
