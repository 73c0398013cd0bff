/** A WebSocket text frame, unmasked as a server sends it; the same bytes serve every subscriber. */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(header + length);
  frame[0] = 0x81;
  if (header === 2) frame[1] = length;
  else if (header === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  // Where every character is one byte they need no encoding, only copying.
  frame.write(text, header, length === text.length ? "latin1" : "utf8");
  return frame;
}
