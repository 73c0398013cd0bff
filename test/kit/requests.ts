/** One request of a Redis client: its words, and the bytes they came as. */
export interface Request {
  readonly words: readonly string[];
  readonly bytes: Buffer;
}

/** Cuts the bytes that a Redis client sends into requests, wherever the network broke them. */
export class Requests {
  #rest: Buffer = Buffer.alloc(0);

  /** Takes bytes in and gives the requests that they complete. */
  push(chunk: Buffer): Request[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const requests: Request[] = [];
    for (let request = this.#next(); request !== undefined; request = this.#next()) {
      requests.push(request);
      this.#rest = this.#rest.subarray(request.bytes.length);
    }
    return requests;
  }

  #next(): Request | undefined {
    const head = this.#line(0);
    if (head === undefined) return undefined;
    // Anything but an array is an inline command: one line.
    if (!head.text.startsWith("*")) return { words: head.text.split(" "), bytes: this.#rest.subarray(0, head.end) };
    const words: string[] = [];
    let at = head.end;
    for (let left = Number(head.text.slice(1)); left > 0; left--) {
      const size = this.#line(at);
      if (size === undefined) return undefined;
      const end = size.end + Number(size.text.slice(1));
      if (this.#rest.length < end + 2) return undefined;
      words.push(this.#rest.toString("utf8", size.end, end));
      at = end + 2;
    }
    return { words, bytes: this.#rest.subarray(0, at) };
  }

  #line(from: number): { text: string; end: number } | undefined {
    const end = this.#rest.indexOf("\r\n", from);
    return end === -1 ? undefined : { text: this.#rest.toString("utf8", from, end), end: end + 2 };
  }
}
