import type { Logger } from "pino";
import { createAlarm } from "../timing/alarm.ts";
import { coalesce } from "../timing/coalesce.ts";
import { hashApiKey, isApiKey, keyIn } from "../domain/api-key.ts";
import { BatchJobError } from "../domain/batch-job-error.ts";
import type { Caller } from "../domain/caller.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import { createRecent } from "../timing/recent.ts";
import { findCallers, findValidKeys } from "../postgres/api-keys.ts";
import type { Database } from "../postgres/connections/database.ts";

/** A call under a key that was revoked begins for so long, and is looked at this often: together less than 5 s. */
const knownMs = 2_000;
const recheckMs = 2_000;

/** A key in use is looked up again once it has been known for so long, and its calls do not wait for that. */
const freshMs = 1_000;

/** Of the keys that are known, those that were used last. */
const mostKnown = 10_000;

/** One query looks up so many keys at most, and between two there is at least this time, however many come. */
const mostAsked = 1_000;
const askMs = 20;

/** One and the same for all keys that are none. */
export const invalidApiKey = (): BatchJobError =>
  new BatchJobError(
    "invalid_api_key",
    'The call needs a valid API key in its header "authorization: Bearer cs_…".',
  );

/** The caller that an authorization header names, or one and the same refusal for every header that names none. */
export type Authenticate = (authorization: string | null) => Promise<Caller>;

/** Calls back when the caller's key is not valid any more, unless the function that it returns was called before. */
export type WhileValid = (caller: Caller, end: (refusal: BatchJobError) => void) => () => void;

export type ApiKeys = AsyncDisposable & {
  readonly authenticate: Authenticate;
  /** Whether the header names a key that was valid when it was last looked up, which costs no query. */
  readonly isFamiliar: (authorization: string) => boolean;
  /** Whether the header names a valid key; one that does is familiar then. */
  readonly isValid: (authorization: string) => Promise<boolean>;
  readonly whileValid: WhileValid;
};

type Known = { readonly caller: Caller; readonly foundMs: number; isLookedUp: boolean };

export function createApiKeys({ db, logger }: { db: Database; logger: Logger }): ApiKeys {
  const find = createLookUp(db);
  /** By hash, the one that was used last at the end. Only good news is kept: a new key works at once. */
  const known = createRecent<string, Known>(mostKnown);

  async function lookUp(name: string, hash: Buffer): Promise<Caller | undefined> {
    const { caller } = await find(hash);
    if (caller === undefined) known.delete(name);
    else known.set(name, { caller, foundMs: performance.now(), isLookedUp: false });
    return caller;
  }

  /** What comes of it is for the calls after this one; where it fails, they find out by themselves. */
  function renew(found: Known, name: string, hash: Buffer): void {
    if (found.isLookedUp) return;
    found.isLookedUp = true;
    lookUp(name, hash).catch(() => (found.isLookedUp = false));
  }

  async function callerOf(key: string): Promise<Caller | undefined> {
    const hash = hashApiKey(key);
    const name = hash.toString("base64");
    const found = known.get(name);
    const knownForMs = found === undefined ? Infinity : performance.now() - found.foundMs;
    if (found === undefined || knownForMs >= knownMs) return await lookUp(name, hash);
    known.set(name, found);
    if (knownForMs >= freshMs) renew(found, name, hash);
    return found.caller;
  }

  const checks = startRechecks(db, logger, (apiKeyId) => {
    for (const [name, { caller }] of known.entries()) if (caller.apiKeyId === apiKeyId) known.delete(name);
  });

  async function callerNamedBy(authorization: string | undefined): Promise<Caller | undefined> {
    const key = keyIn(authorization);
    return key !== undefined && isApiKey(key) ? await callerOf(key) : undefined;
  }

  return {
    async authenticate(authorization) {
      const caller = await callerNamedBy(authorization ?? undefined);
      if (caller === undefined) throw invalidApiKey();
      return caller;
    },
    isValid: async (authorization) => (await callerNamedBy(authorization)) !== undefined,
    isFamiliar(authorization) {
      const key = keyIn(authorization);
      return key !== undefined && known.get(hashApiKey(key).toString("base64")) !== undefined;
    },
    whileValid: checks.whileValid,
    [Symbol.asyncDispose]: () => checks[Symbol.asyncDispose](),
  };
}

/** Looks keys up by their hashes, all that have come meanwhile in one query. */
function createLookUp(db: Database): (hash: Buffer) => Promise<{ caller: Caller | undefined }> {
  return coalesce(
    async (hashes) => {
      const callers = await findCallers(db, hashes);
      return hashes.map((hash) => ({ caller: callers.get(hash.toString("base64")) }));
    },
    mostAsked,
    // One that hangs leaves the rest of them their way.
    { atOnce: 4, everyMs: askMs },
  );
}

/**
 * Looks from time to time whether the keys under which something is open are valid: one query for all, none for none.
 */
function startRechecks(
  db: Database,
  logger: Logger,
  onInvalid: (apiKeyId: string) => void,
): AsyncDisposable & { whileValid: WhileValid } {
  const open = new Map<string, { caller: Caller; ends: Set<(refusal: BatchJobError) => void> }>();
  const alarm = createAlarm();
  let isIdle = false;
  let dueMs = -Infinity;

  async function check(): Promise<void> {
    const callers = [...open.values()].map(({ caller }) => caller);
    const valid = await findValidKeys(db, callers);
    for (const { apiKeyId } of callers) {
      if (valid.has(apiKeyId)) continue;
      onInvalid(apiKeyId);
      for (const end of open.get(apiKeyId)?.ends ?? []) end(invalidApiKey());
    }
  }

  const checking = startServiceLoop("the check of API keys in use", {
    async pass() {
      isIdle = open.size === 0;
      if (isIdle) return Infinity;
      const waitMs = dueMs - performance.now();
      if (waitMs > 0) return waitMs;
      dueMs = performance.now() + recheckMs;
      // It may fail: while Postgres is away nothing is known to have been revoked.
      await check();
      return dueMs - performance.now();
    },
    alarm,
    retryMs: recheckMs,
    logger,
  });

  return {
    whileValid(caller, end) {
      const key = open.get(caller.apiKeyId) ?? { caller, ends: new Set() };
      open.set(caller.apiKeyId, key);
      key.ends.add(end);
      if (isIdle) alarm.ring();
      return () => {
        key.ends.delete(end);
        if (key.ends.size === 0 && open.get(caller.apiKeyId) === key) open.delete(caller.apiKeyId);
      };
    },
    [Symbol.asyncDispose]: () => checking[Symbol.asyncDispose](),
  };
}
