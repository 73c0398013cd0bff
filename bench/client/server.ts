// A server that says what a gateway says, from frames made beforehand, as fast as the other end takes them. A process of
// its own, so that it can have its own core.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { firstId, openingOf, type Topic, topicsOf, updateOf } from "./frames.ts";

const idDigits = String(firstId).length;
const blockFrames = 256;
const minBlocks = 8;

/** Frames that are sent again and again, each time with later ids. */
interface Block {
  readonly bytes: Buffer;
  readonly frames: readonly { readonly topic: Topic; readonly idAt: number }[];
}

function frame(text: string): Buffer {
  const payload = Buffer.from(text);
  const { length } = payload;
  const head = length < 126 ? [0x81, length] : [0x81, 126, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), payload]);
}

/** Frames of the topics in turn, beginning with the given one. */
function blockOf(topics: readonly Topic[], first: number): Block {
  const turn = Array.from({ length: blockFrames }, (_, n) => topics[(first + n) % topics.length] as Topic);
  const parts = turn.map((topic) => frame(updateOf(topic)));
  let end = 0;
  const frames = turn.map((topic, n) => {
    end += parts[n]?.length ?? 0;
    return { topic, idAt: end - "}".length - idDigits };
  });
  return { bytes: Buffer.concat(parts), frames };
}

function count({ bytes, frames }: Block): void {
  for (const { topic, idAt } of frames) {
    let id = ++topic.id;
    for (let at = idAt + idDigits - 1; at >= idAt; at--) {
      bytes[at] = 48 + (id % 10);
      id = Math.floor(id / 10);
    }
  }
}

/** Sends updates of the topics in turn until there were enough. */
function blast(socket: Duplex, topics: readonly Topic[], updates: number): void {
  let left = updates;
  const send = (block: Block): void => {
    if (left <= 0 || socket.destroyed) return;
    left -= blockFrames;
    count(block);
    // The bytes may be written over when this one has left, and not before.
    socket.write(block.bytes, () => send(block));
  };
  // As many as it takes to come back to the first topic.
  const blocks = Math.max(minBlocks, topics.length);
  for (let n = 0; n < blocks; n++) send(blockOf(topics, n * blockFrames));
}

/** The query of the URL says how many updates are wanted, and how many streams are open before the first of them. */
function serve(client: WebSocket, socket: Duplex, query: URLSearchParams): void {
  const topics: Topic[] = [];
  let open = 0;
  client.on("error", () => {});
  client.on("message", (data) => {
    const { request_id: id, ...opening } = JSON.parse(String(data));
    if (!opening.operation.startsWith("stream_")) return;
    const own = topicsOf(opening);
    topics.push(...own);
    for (const text of openingOf(id, `s${++open}`, own)) client.send(text);
    if (open === Number(query.get("streams"))) blast(socket, topics, Number(query.get("updates")));
  });
}

const server = new WebSocketServer({ noServer: true, perMessageDeflate: false });
const http = createServer();
http.on("upgrade", (request, socket, head) => {
  const { searchParams } = new URL(request.url ?? "/", "ws://localhost");
  server.handleUpgrade(request, socket, head, (client) => serve(client, socket, searchParams));
});
http.listen(0, "127.0.0.1", () => process.stdout.write(`${(http.address() as AddressInfo).port}\n`));
// It goes with whoever started it.
process.stdin.on("end", () => process.exit()).resume();
