/** The HTTP request that opens a WebSocket, at a path and with a subprotocol if one is needed. */
export function upgrade(path = "/", subprotocol?: string): Buffer {
  const lines = [
    `GET ${path} HTTP/1.1`,
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: YmVuY2htYXJrIG9mIGZ1bA==",
    ...(subprotocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${subprotocol}`]),
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`);
}

/** One frame as clients send them: text frames for text, binary ones for bytes. */
export function frame(payload: string | Buffer): Buffer {
  const body = Buffer.from(payload);
  const length =
    body.length < 126
      ? [0x80 | body.length]
      : body.length < 0x10000
        ? [0x80 | 126, body.length >> 8, body.length & 0xff]
        : [0x80 | 127, 0, 0, 0, 0, ...uint32(body.length)];
  const opcode = typeof payload === "string" ? 1 : 2;
  // The mask is zero, which is as good as any other: the load program overwrites ids where they stand.
  return Buffer.concat([Buffer.from([0x80 | opcode, ...length, 0, 0, 0, 0]), body]);
}

const uint32 = (value: number) => [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
