import { createHash, createSecretKey, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import { onTestFinished } from "vitest";

/** The secret that test gateways and test tokens share. */
export const secret = "a secret of more than thirty-two characters";

/** How a token is signed. */
export interface Signing {
  readonly alg?: string;
  readonly key?: KeyObject;
  readonly kid?: string;
  /** Seconds until it expires; null: never. */
  readonly expiresIn?: number | null;
}

/** A token that says so much of its holder. */
export function token(claims: Readonly<Record<string, unknown>>, signing: Signing = {}): Promise<string> {
  const { alg = "HS256", key = createSecretKey(secret, "utf8"), kid, expiresIn = 600 } = signing;
  const jwt = new SignJWT(claims).setProtectedHeader({ alg, ...(kid !== undefined && { kid }) });
  if (expiresIn !== null) jwt.setExpirationTime(Math.floor(Date.now() / 1000) + expiresIn);
  return jwt.sign(key);
}

/** The hash under which a key stands in the file of keys. */
export function sha256(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

/** A file that is there until the test ends, and can be written anew. */
export class TestFile {
  readonly path: string;

  constructor(name: string, content: string | object) {
    const folder = mkdtempSync(join(tmpdir(), "fullon-cache-api-"));
    this.path = join(folder, name);
    this.write(content);
    onTestFinished(() => rmSync(folder, { recursive: true }));
  }

  write(content: string | object): void {
    writeFileSync(this.path, typeof content === "string" ? content : JSON.stringify(content));
  }
}
