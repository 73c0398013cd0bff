import { WebSocket } from "ws";
import type { WebSocketClass } from "../client/link.ts";
import type { Stream } from "../client/stream.ts";
import type { CacheClient } from "../client/websocket-client.ts";
import { operationsByWireName } from "../operations/index.ts";
import { commandName, methodName } from "../protocol/names.ts";
import { type Command, given, UsageError } from "./command.ts";
import { countFlag, Ending, endFlags, mostUpdates } from "./ending.ts";
import { connectUntil, gatewayFlags } from "./gateway.ts";
import { call, operationCommands, parametersOf, updatesUntil } from "./operation-command.ts";
import { type RecordedStream, RecordingWriter } from "./recording.ts";

const between = "--";

/** Writes what comes of some streams into a file, for `replay`. */
export const record: Command = {
  about: "Writes what comes of some streams into a file, with the time at which it came, until Ctrl-C.",
  takes: `<file> <stream> [parameters…] [${between} <stream> [parameters…]]…`,
  endsFlags: 2,
  flags: { ...endFlags, ...countFlag(" of all streams"), ...gatewayFlags },
  notes: `Each stream is written as its command, its own flags included; ${between} stands between them, and the flags of the recording
before the first of them. The file must not be there yet; only you may read it, since it may hold what is nobody else's
business. Each of its lines is JSON.`,
  examples: () => [
    [`record out.ndjson stream-tickers binance ${between} stream-orders binance`],
    ["record out.ndjson --for 10m stream-tickers binance BTC/USDT --interval-ms 100"],
  ],
  async run(asked, terminal) {
    const [file = "", ...words] = asked.words;
    const streams = streamsIn(words);
    if (file === "") throw new UsageError("say into which file; record --help has an example");
    let left = mostUpdates(asked);
    using ending = new Ending(asked, terminal);
    const tap = new Tap();
    const cache = await connectUntil(ending.signal, asked, terminal, { WebSocket: tap.WebSocket });
    if (!cache) return;
    await using _cache = cache;
    await using writer = await RecordingWriter.begin(file, streams);
    tap.heard = {
      opened: (stream, topics) => writer.opened(stream, topics),
      frame(text, isUpdate) {
        if (left <= 0) return;
        writer.frame(text);
        if (isUpdate && --left === 0) ending.end();
      },
    };
    const flushing = setInterval(() => void writer.flush().catch(() => ending.end()), flushMs);
    try {
      await Promise.all(streams.map((stream) => follow(cache, stream, ending)));
    } finally {
      clearInterval(flushing);
      ending.end();
    }
  },
};

const flushMs = 200;

/** The streams that some words name. @throws UsageError */
function streamsIn(words: readonly string[]): RecordedStream[] {
  const groups: string[][] = [[]];
  for (const word of words)
    if (word === between) groups.push([]);
    else groups.at(-1)?.push(word);
  return groups.map(streamOf);
}

function streamOf([name = "", ...args]: readonly string[]): RecordedStream {
  const wire = name.replaceAll("-", "_");
  const [made, operation] = [operationCommands.get(name), operationsByWireName.get(wire)];
  if (!made || operation?.kind !== "live")
    throw new UsageError(
      `${JSON.stringify(name)} is no stream: ${streamNames().join(", ")}; record --help has an example`,
    );
  // What is no parameter belongs to the whole recording.
  const own = Object.keys(operation.params).map(commandName);
  const flags = Object.fromEntries(Object.entries(made.flags).filter(([flag]) => own.includes(flag)));
  const asked = given({ ...made, flags }, args);
  if (!asked) throw new UsageError(`${name} --help says what it takes`);
  return { operation: wire, params: parametersOf(name, operation, asked) };
}

function streamNames(): string[] {
  return [...operationCommands.keys()].filter((name) => name.startsWith("stream-"));
}

/** Takes from a stream until it is to end: what came has been heard on its way already. */
async function follow(cache: CacheClient, { operation, params }: RecordedStream, ending: Ending): Promise<void> {
  const method = methodName(operation) as keyof CacheClient & string;
  const stream = call(cache, { method, params }) as Stream<object>;
  for await (const _update of updatesUntil(ending.signal, stream));
}

/** What is heard on the way from the gateway to the client. */
interface Heard {
  opened(stream: RecordedStream, topics: readonly string[]): void;
  /** @param text JSON */
  frame(text: string, isUpdate: boolean): void;
}

/** Listens between the gateway and the client, which sees to it that nothing is missed. */
class Tap {
  /** The WebSocket that the client is to use. */
  readonly WebSocket: WebSocketClass;
  heard: Heard | undefined;
  /** The streams that were asked for and not answered yet, by the ids of their requests. */
  #asked = new Map<unknown, RecordedStream>();

  constructor() {
    const opened = () => this.#asked.clear();
    const sent = (text: string) => this.#sent(text);
    const received = (text: string) => this.#received(text);
    this.WebSocket = class extends WebSocket {
      constructor(url: string, protocols: string[] = []) {
        super(url, protocols, { perMessageDeflate: false });
        this.on("open", opened);
        this.on("message", (data) => received(String(data)));
      }

      override send(text: string): void {
        sent(text);
        super.send(text);
      }
    } as unknown as WebSocketClass;
  }

  #sent(text: string): void {
    const { request_id: id, operation, params = {} } = JSON.parse(text);
    if (operationsByWireName.get(operation)?.kind === "live") this.#asked.set(id, { operation, params });
  }

  #received(text: string): void {
    const { request_id: id, result, type, topic } = JSON.parse(text);
    const stream = this.#asked.get(id);
    this.#asked.delete(id);
    if (stream && result) this.heard?.opened(stream, result.topics);
    else if (id === undefined && topic !== undefined) this.heard?.frame(text, type !== "stream_status");
  }
}
