import { createHash, randomBytes } from "node:crypto";
import { BatchJobError } from "./domain/batch-job-error.ts";
import type { Caller } from "./domain/caller.ts";
import { findCaller } from "./postgres/api-keys.ts";
import type { Database } from "./postgres/database.ts";

const keyPattern = /^cs_[A-Za-z0-9_-]{32,256}$/;
const authorizationPattern = /^Bearer +(\S+)$/i;

/** A key may still be accepted for this long after its revocation. */
const cacheMs = 5_000;
const cacheSize = 10_000;

/** True for what may be an API key: `cs_` and at least 32 letters, digits, `-` or `_`. */
export const isApiKey = (text: string): boolean => keyPattern.test(text);

/** A new API key of 256 random bits. */
export const generateApiKey = (): string => `cs_${randomBytes(32).toString("base64url")}`;

/** What is stored of a key. The key is random, so that a plain hash tells nothing of it. */
export const hashApiKey = (key: string): Buffer => createHash("sha256").update(key).digest();

const refusal = () =>
  new BatchJobError(
    "invalid_api_key",
    'The call needs a valid API key in its header "authorization: Bearer cs_…".',
  );

/** The caller that an authorization header names, or one and the same refusal for every header that names none. */
export type Authenticate = (authorization: string | null) => Promise<Caller>;

export function createAuthenticate(db: Database): Authenticate {
  const cache = new Map<string, { caller: Promise<Caller | undefined>; expiresMs: number }>();

  function find(key: string): Promise<Caller | undefined> {
    const hash = hashApiKey(key);
    const name = hash.toString("base64");
    const known = cache.get(name);
    if (known !== undefined && known.expiresMs > performance.now()) return known.caller;
    if (cache.size >= cacheSize) cache.clear();
    const caller = findCaller(db, hash);
    cache.set(name, { caller, expiresMs: performance.now() + cacheMs });
    // Only good news is kept: a new key works at once, and a failed query is tried again.
    caller.then(
      (found) => found === undefined && cache.delete(name),
      () => cache.delete(name),
    );
    return caller;
  }

  return async (authorization) => {
    const key = authorizationPattern.exec(authorization ?? "")?.[1];
    if (key === undefined || !isApiKey(key)) throw refusal();
    const caller = await find(key);
    if (caller === undefined) throw refusal();
    return caller;
  };
}
