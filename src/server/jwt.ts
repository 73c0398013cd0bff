import { createPublicKey, createSecretKey, type KeyObject } from "node:crypto";
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeProtectedHeader,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from "jose";
import { Compile } from "typebox/compile";
import { CacheError } from "../protocol/errors.ts";
import { claimsOf, Holder } from "./claims.ts";
import { readTextFile } from "./files.ts";
import type { Claims } from "./identity.ts";
import { SettingError, type Settings } from "./settings.ts";

type JwtSettings = Pick<
  Settings,
  "jwtSecret" | "jwksUrl" | "jwtKeyFile" | "jwtIssuer" | "jwtAudience" | "jwtClockToleranceS" | "defaultScope"
>;
type PublicKeys = JWTVerifyGetKey | KeyObject;

const shared = ["HS256"];
const asymmetric = ["RS256", "ES256", "EdDSA", "Ed25519"];
const holder = Compile(Holder);

/**
 * Reads JSON Web Tokens. Whether a token is signed with the shared secret or with a private key decides which key it is
 * held against, and each key goes with its own algorithms only: a public key never serves as a secret.
 */
export class Jwt {
  readonly #settings: JwtSettings;
  readonly #secret: KeyObject | undefined;
  readonly #publicKeys: PublicKeys | undefined;

  /** @throws SettingError a key file is wrong */
  constructor(settings: JwtSettings) {
    const { jwtSecret, jwtKeyFile, jwksUrl } = settings;
    this.#settings = settings;
    this.#secret = jwtSecret === undefined ? undefined : createSecretKey(jwtSecret, "utf8");
    if (jwtKeyFile !== undefined && jwksUrl !== undefined)
      throw new SettingError("JWT_KEY_FILE and JWKS_URL both say where the keys are: choose one");
    if (jwtKeyFile !== undefined) this.#publicKeys = keysIn(jwtKeyFile);
    else if (jwksUrl !== undefined) this.#publicKeys = keysAt(jwksUrl);
  }

  /**
   * What a token says of its holder.
   * @param now unix seconds
   * @throws CacheError UNAUTHORIZED, TOKEN_EXPIRED, AUTH_UNAVAILABLE
   */
  async read(token: string, now: number): Promise<Claims> {
    const { jwtIssuer: issuer, jwtAudience: audience, jwtClockToleranceS, defaultScope } = this.#settings;
    const options = {
      ...(issuer !== undefined && { issuer }),
      ...(audience !== undefined && { audience }),
      clockTolerance: jwtClockToleranceS,
      requiredClaims: ["exp"],
      currentDate: new Date(now * 1000),
    };
    try {
      const isShared = shared.includes(algorithmOf(token));
      const key = isShared ? this.#secret : this.#publicKeys;
      if (!key) throw new errors.JOSEAlgNotAllowed("no key");
      const checked = { ...options, algorithms: isShared ? shared : asymmetric };
      // The two forms of a key have an overload each.
      const verified = typeof key === "function" ? jwtVerify(token, key, checked) : jwtVerify(token, key, checked);
      const { payload } = await verified;
      if (!holder.Check(payload)) throw new CacheError("UNAUTHORIZED", "the token's claims cannot be read");
      const { exp = 0, sub, username }: JWTPayload = payload;
      const userId = payload.user_id ?? sub ?? null;
      const name = typeof username === "string" ? username : String(userId ?? "?");
      const claims = claimsOf(name.slice(0, 100), { ...payload, user_id: userId }, defaultScope);
      return { ...claims, expiresAt: exp + jwtClockToleranceS };
    } catch (error) {
      throw refusalOf(error);
    }
  }
}

function algorithmOf(token: string): string {
  try {
    return decodeProtectedHeader(token).alg ?? "";
  } catch {
    throw new CacheError("UNAUTHORIZED", "the token cannot be read");
  }
}

/** The keys at a URL, fetched when one is wanted that is not known, but not more often than twice a minute. */
function keysAt(url: string): PublicKeys {
  const keys = createRemoteJWKSet(new URL(url));
  return async (...asked: Parameters<typeof keys>) => {
    try {
      return await keys(...asked);
    } catch (cause) {
      if (cause instanceof errors.JWKSNoMatchingKey || cause instanceof errors.JWKSMultipleMatchingKeys) throw cause;
      throw new CacheError("AUTH_UNAVAILABLE", "tokens cannot be checked now: their keys cannot be fetched", { cause });
    }
  };
}

/** A public key or a certificate in PEM, or a JSON Web Key Set. @throws SettingError */
function keysIn(path: string): PublicKeys {
  const text = readTextFile("JWT_KEY_FILE", path);
  const wrong = (what: string) => new SettingError(`JWT_KEY_FILE: ${JSON.stringify(path)} ${what}`);
  if (text.includes("PRIVATE KEY")) throw wrong("holds a private key: give the public one, nothing else is needed");
  try {
    return text.trimStart().startsWith("{")
      ? createLocalJWKSet(JSON.parse(text) as JSONWebKeySet)
      : createPublicKey(text);
  } catch {
    throw wrong("must hold a public key in PEM or a JSON Web Key Set");
  }
}

const sayings: Readonly<Record<string, string>> = {
  ERR_JOSE_ALG_NOT_ALLOWED: "the token is signed in a way that is not accepted here",
  ERR_JOSE_NOT_SUPPORTED: "the token is signed in a way that is not accepted here",
  ERR_JWKS_NO_MATCHING_KEY: "the token is signed with a key that is not known here",
  ERR_JWKS_MULTIPLE_MATCHING_KEYS: "the token does not say which key it is signed with",
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: "the token's signature is wrong",
};

/** What is wrong with a token, as far as its bearer may know. */
function refusalOf(error: unknown): CacheError {
  if (error instanceof CacheError) return error;
  if (error instanceof errors.JWTExpired) return new CacheError("TOKEN_EXPIRED", "the token has expired");
  if (error instanceof errors.JWTClaimValidationFailed) {
    const what = error.reason === "missing" ? "missing" : "not accepted here";
    return new CacheError("UNAUTHORIZED", `the token's ${error.claim} is ${what}`);
  }
  const { code } = error as { readonly code?: string };
  return new CacheError("UNAUTHORIZED", sayings[code ?? ""] ?? "the token cannot be read", { cause: error });
}
