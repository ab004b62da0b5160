import { generateApiKey, hashApiKey } from "../domain/api-key.ts";
import { BatchJobError, wrongField } from "../domain/batch-job-error.ts";
import type { Caller, Role } from "../domain/caller.ts";
import { isUuid } from "../domain/jobs/job-id.ts";
import { isTimeMs, readPageToken, writePageToken } from "../domain/page-token.ts";
import { type CommandRequest, byOf, createCommandRunner } from "../jobs/commands/command.ts";
import { pageSizeOf } from "../domain/page-size.ts";
import { invalidApiKey } from "./api-keys.ts";
import {
  type ApiKey,
  countValidKeys,
  findKey,
  findValidKeys,
  insertKey,
  listKeysOf,
  revokeKey,
} from "../postgres/api-keys.ts";
import type { Trx } from "../postgres/jobs/batch-jobs.ts";
import type { Shares } from "../postgres/connections/connections.ts";
import { type LockedOrganization, lockOrganization } from "../postgres/jobs/locks.ts";
import {
  type Organization,
  type SettingChanges,
  findOrganization,
  updateOrganization,
} from "../postgres/organizations.ts";

export type { ApiKey, Organization, SettingChanges };
export { settingNames } from "../postgres/organizations.ts";

export type NewKey = { readonly name: string; readonly role: Role; readonly expiresAtMs: number | null };

/** An organization has at most so many keys that are neither revoked nor expired. */
const mostValidKeys = 1_000;

/** What is kept of an answer is JSON, in which a time is a text. */
type Kept<T> = { [P in keyof T]: T[P] extends Date | null ? Exclude<T[P], Date> | string | Date : T[P] };

const dateOf = (kept: Date | string | null): Date | null => (kept === null ? null : new Date(kept));

const keyIn = (kept: Kept<ApiKey>): ApiKey => ({
  ...kept,
  createdAt: new Date(kept.createdAt),
  expiresAt: dateOf(kept.expiresAt),
  revokedAt: dateOf(kept.revokedAt),
  lastUsedAt: dateOf(kept.lastUsedAt),
});

const redisHalf = () => ({});

const isKeyCursor = (keys: readonly unknown[]): keys is [number, string] =>
  isTimeMs(keys[0]) && isUuid(String(keys[1]));

const keyNotFound = (id: string) =>
  new BatchJobError(
    "api_key_not_found",
    "There is no such API key in this organization; ListApiKeys shows its ids.",
    {
      apiKeyId: id.slice(0, 64),
    },
  );

/**
 * Locks the caller's organization, if the caller's key is valid still. A replica takes a key for some seconds after
 * another one has revoked it: in these it must make nothing that outlives it.
 */
export async function lockForAdmin(trx: Trx, caller: Caller): Promise<LockedOrganization> {
  const locked = await lockOrganization(trx, caller.organizationId);
  if ((await findValidKeys(trx, [caller])).size === 0) throw invalidApiKey();
  return locked;
}

/**
 * The keys and the settings of an organization. What changes them locks the organization's row first: so keys are
 * counted exactly, and the last one stays, however many ask at once.
 */
export function createAccess(deps: {
  shares: Shares;
  reads: Shares;
  /** Told of an organization that has other hours now. */
  onOtherHours: (organizationId: number) => void;
}) {
  const { shares, reads, onOtherHours } = deps;
  // Nothing of it is in Redis.
  const run = createCommandRunner({ shares, doRedisHalves: () => [] });

  return {
    async whoAmI({ organizationId, apiKeyId }: Caller): Promise<{ key: ApiKey; organization: Organization }> {
      const db = reads.of(organizationId);
      const key = await findKey(db, organizationId, apiKeyId);
      if (key === undefined) throw keyNotFound(apiKeyId);
      return { key, organization: await findOrganization(db, organizationId) };
    },

    /** The secret is empty in the answer to a repetition: it is stored nowhere. */
    async createKey(request: CommandRequest, asked: NewKey): Promise<{ key: ApiKey; secret: string }> {
      const { organizationId } = request.caller;
      let secret = "";
      const key = await run<Kept<ApiKey>>(request, {
        rpc: "CreateApiKey",
        redisHalf,
        async decide(trx, tell) {
          const { now } = await lockForAdmin(trx, request.caller);
          if (asked.expiresAtMs !== null && asked.expiresAtMs <= now.getTime()) {
            throw wrongField(
              "expires_at",
              "it must be in the future, or be left out for a key that does not expire",
              { now: now.toISOString() },
            );
          }
          const { all } = await countValidKeys(trx, organizationId);
          if (all >= mostValidKeys) {
            throw new BatchJobError(
              "limit_exceeded",
              `The organization has ${all} API keys that are valid, which is as many as it may have; revoke one that is no longer used.`,
              { limit: String(mostValidKeys) },
            );
          }
          const made = generateApiKey();
          const { name, role, expiresAtMs } = asked;
          const expiresAt = expiresAtMs === null ? null : new Date(expiresAtMs);
          const stored = await insertKey(
            trx,
            { organizationId, name, role, hash: hashApiKey(made), expiresAt },
            byOf(request),
            tell,
          );
          if (stored === undefined) throw new Error("256 random bits came twice");
          secret = made;
          return stored;
        },
      });
      return { key: keyIn(key), secret };
    },

    async listKeys(
      { organizationId }: Caller,
      page: { size: number; token: string },
    ): Promise<{ keys: ApiKey[]; nextPageToken: string }> {
      const scope = ["api keys", organizationId];
      const cursor = readPageToken(page.token, scope, isKeyCursor);
      const after = cursor && { createdAt: new Date(cursor[0]), id: cursor[1] };
      const size = pageSizeOf(page.size);
      const found = await listKeysOf(reads.of(organizationId), organizationId, { after, size: size + 1 });
      const keys = found.slice(0, size);
      const last = found.length > size ? keys.at(-1) : undefined;
      return { keys, nextPageToken: last ? writePageToken(scope, [last.createdAt.getTime(), last.id]) : "" };
    },

    async revokeKey(request: CommandRequest, id: string): Promise<ApiKey> {
      const { organizationId } = request.caller;
      const key = await run<Kept<ApiKey>>(request, {
        rpc: "RevokeApiKey",
        redisHalf,
        async decide(trx, tell) {
          const { now } = await lockForAdmin(trx, request.caller);
          const found = isUuid(id) ? await findKey(trx, organizationId, id) : undefined;
          if (found === undefined) throw keyNotFound(id);
          if (found.revokedAt !== null) return found;
          const isValidAdmin = found.role === "admin" && (found.expiresAt === null || found.expiresAt > now);
          if (isValidAdmin && (await countValidKeys(trx, organizationId)).admins === 1) {
            throw new BatchJobError(
              "last_admin_key",
              "This is the organization's last valid key with the role admin; make another one first, or revoke it at the command line.",
              { apiKeyId: found.id },
            );
          }
          return (await revokeKey(trx, organizationId, found.id, byOf(request), tell)) ?? found;
        },
      });
      return keyIn(key);
    },

    async getOrganization({ organizationId }: Caller): Promise<Organization> {
      return await findOrganization(reads.of(organizationId), organizationId);
    },

    /** Its hours hold from the answer on: its jobs give nothing until `onOtherHours` has had them reckoned. */
    async updateOrganization(request: CommandRequest, changes: SettingChanges): Promise<Organization> {
      const { organizationId } = request.caller;
      const { createdAt, ...updated } = await run<Kept<Organization>>(request, {
        rpc: "UpdateOrganization",
        redisHalf,
        async decide(trx, tell) {
          await lockForAdmin(trx, request.caller);
          return await updateOrganization(trx, organizationId, changes, byOf(request), tell);
        },
      });
      if (changes.callingHours !== undefined) onOtherHours(organizationId);
      return { ...updated, createdAt: new Date(createdAt) };
    },
  };
}

export type Access = ReturnType<typeof createAccess>;
