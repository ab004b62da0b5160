import { type SqlBool, sql } from "kysely";
import type { Caller, Role } from "../domain/caller.ts";
import type { Actor, By, Tell } from "../domain/event.ts";
import type { Trx } from "./jobs/batch-jobs.ts";
import { type RateClass, type Rates, rateClasses } from "../domain/rates.ts";
import type { Database } from "./connections/database.ts";
import { telling } from "./events/events.ts";
import { insertOrganization } from "./organizations.ts";
import { isOwnedAs } from "./owned.ts";

const isValid = sql<SqlBool>`revoked_at is null and (expires_at is null or expires_at > clock_timestamp())`;

type RateColumns = { [C in RateClass as `rate_${C}`]: number | null };

/** The rates that an organization has of its own. */
const readRates = (columns: RateColumns): Partial<Rates> =>
  Object.fromEntries(
    rateClasses.flatMap((rateClass) => {
      const rate = columns[`rate_${rateClass}`];
      return rate === null ? [] : [[rateClass, rate]];
    }),
  );

/** The callers behind the hashes of keys, by hash in base64; without those that are unknown, expired or revoked. */
export async function findCallers(db: Database, hashes: readonly Buffer[]): Promise<Map<string, Caller>> {
  const rows = await db
    .selectFrom("api_keys")
    .innerJoin("organizations", "organizations.id", "api_keys.organization_id")
    .select(["hash", "api_keys.id as apiKeyId", "organization_id as organizationId", "role"])
    .select(rateClasses.map((rateClass) => `rate_${rateClass}` as const))
    .where(sql<SqlBool>`hash = any(${hashes}::bytea[])`)
    .where(isValid)
    .execute();
  return new Map(
    rows.map(({ hash, apiKeyId, organizationId, role, ...columns }) => [
      hash.toString("base64"),
      { apiKeyId, organizationId, role, rates: readRates(columns) },
    ]),
  );
}

/** The ids of those of the callers' keys that are neither expired nor revoked. */
export async function findValidKeys(
  db: Database | Trx,
  callers: readonly Pick<Caller, "organizationId" | "apiKeyId">[],
): Promise<Set<string>> {
  const { rows } = await sql<{ id: string }>`
    select k.id
    from unnest(
      ${callers.map((c) => c.organizationId)}::int[], ${callers.map((c) => c.apiKeyId)}::uuid[]
    ) as asked (organization_id, id)
    join api_keys k on k.organization_id = asked.organization_id and k.id = asked.id
    where ${isValid}
  `.execute(db);
  return new Set(rows.map(({ id }) => id));
}

/** The organization of this name, made if there is none. */
export async function ensureOrganization(
  db: Database,
  name: string,
  actor: Actor = "service",
): Promise<number> {
  const find = () => db.selectFrom("organizations").select("id").where("name", "=", name);
  const found = await find().executeTakeFirst();
  if (found !== undefined) return found.id;
  const by = { actor, requestId: "" };
  const made = await db.transaction().execute((trx) => insertOrganization(trx, name, by));
  return made ?? (await find().executeTakeFirstOrThrow()).id;
}

export type NewApiKey = {
  readonly organizationId: number;
  readonly name: string;
  readonly role: Role;
  readonly hash: Buffer;
  readonly expiresAt: Date | null;
};

/** Stores a key's hash. A hash that is stored already is left as it is, and answered with undefined. */
export async function insertKey(trx: Trx, key: NewApiKey, by: By, tell: Tell): Promise<ApiKey | undefined> {
  const made = await trx
    .insertInto("api_keys")
    .values({
      organization_id: key.organizationId,
      name: key.name,
      role: key.role,
      hash: key.hash,
      expires_at: key.expiresAt,
      revoked_at: null,
      last_used_at: null,
    })
    .onConflict((conflict) => conflict.column("hash").doNothing())
    .returning(shownColumns)
    .executeTakeFirst();
  if (made === undefined) return undefined;
  const data = { apiKeyId: made.id, role: made.role, expiresAt: made.expiresAt };
  tell({ type: "api_key.created", ...by, data });
  return made;
}

/** The same in a transaction of its own, for those who have none. */
export async function insertApiKey(db: Database, key: NewApiKey, actor: Actor = "service"): Promise<void> {
  const by = { actor, requestId: "" };
  await db
    .transaction()
    .execute((trx) => telling(trx, key.organizationId, (tell) => insertKey(trx, key, by, tell)));
}

/** An API key without its secret. */
export type ApiKey = {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  /** May lie behind by a minute or two. */
  readonly lastUsedAt: Date | null;
};

const shownColumns = [
  "api_keys.id",
  "api_keys.name",
  "api_keys.role",
  "api_keys.created_at as createdAt",
  "api_keys.expires_at as expiresAt",
  "api_keys.revoked_at as revokedAt",
  "api_keys.last_used_at as lastUsedAt",
] as const;

export type ApiKeySummary = ApiKey & { readonly organization: string };

/** Every key of every organization, oldest first. */
export async function listApiKeys(db: Database): Promise<ApiKeySummary[]> {
  return await db
    .selectFrom("api_keys")
    .innerJoin("organizations", "organizations.id", "api_keys.organization_id")
    .select([...shownColumns, "organizations.name as organization"])
    .orderBy("api_keys.created_at")
    .orderBy("api_keys.id")
    .execute();
}

export type KeyCursor = { readonly createdAt: Date; readonly id: string };

/** The first keys of an organization after this one, newest first. */
export async function listKeysOf(
  db: Database,
  organizationId: number,
  page: { after: KeyCursor | undefined; size: number },
): Promise<ApiKey[]> {
  const { after, size } = page;
  return await db
    .selectFrom("api_keys")
    .select(shownColumns)
    .where("organization_id", "=", organizationId)
    .$if(after !== undefined, (query) =>
      query.where(sql<SqlBool>`(created_at, id) < (${after?.createdAt}, ${after?.id}::uuid)`),
    )
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(size)
    .execute();
}

/** One key of an organization. */
export async function findKey(
  db: Database | Trx,
  organizationId: number,
  id: string,
): Promise<ApiKey | undefined> {
  return await db
    .selectFrom("api_keys")
    .select(shownColumns)
    .where("organization_id", "=", organizationId)
    .where("id", "=", id)
    .executeTakeFirst();
}

/**
 * How many keys of an organization, and how many of them an admin's, are neither revoked nor expired. It stays so while
 * the transaction holds the organization's lock, but for what expires.
 */
export async function countValidKeys(
  trx: Trx,
  organizationId: number,
): Promise<{ all: number; admins: number }> {
  const { rows } = await sql<{ all: number; admins: number }>`
    select count(*)::int as "all", (count(*) filter (where role = 'admin'))::int as admins
    from api_keys where organization_id = ${organizationId} and ${isValid}
  `.execute(trx);
  return rows[0] ?? { all: 0, admins: 0 };
}

/** Revokes a key; undefined if the organization has none of this id, or it is revoked already. */
export async function revokeKey(
  trx: Trx,
  organizationId: number,
  id: string,
  by: By,
  tell: Tell,
): Promise<ApiKey | undefined> {
  const revoked = await trx
    .updateTable("api_keys")
    .set({ revoked_at: sql<Date>`clock_timestamp()` })
    .where("organization_id", "=", organizationId)
    .where("id", "=", id)
    .where("revoked_at", "is", null)
    .returning(shownColumns)
    .executeTakeFirst();
  if (revoked === undefined) return undefined;
  const data = { apiKeyId: revoked.id, role: revoked.role };
  tell({ type: "api_key.revoked", ...by, data });
  return revoked;
}

/** Revokes a key of whichever organization; false if there is none of this id or it is revoked already. */
export async function revokeApiKey(db: Database, id: string, actor: Actor = "service"): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    const key = await trx
      .selectFrom("api_keys")
      .select("organization_id as organizationId")
      .where("id", "=", id)
      .executeTakeFirst();
    if (key === undefined) return false;
    const { organizationId } = key;
    const by = { actor, requestId: "" };
    const revoked = await telling(trx, organizationId, (tell) =>
      revokeKey(trx, organizationId, id, by, tell),
    );
    return revoked !== undefined;
  });
}

/** A call that was made with a key, so long ago. */
export type KeyUse = { readonly organizationId: number; readonly apiKeyId: string; readonly agoMs: number };

/**
 * Notes when keys were last used; answers the ids of those for which that is noted. It waits for nobody: a key that
 * somebody else has locked is left out.
 */
export async function noteKeyUses(db: Database, uses: readonly KeyUse[]): Promise<Set<string>> {
  const { rows } = await sql<{ id: string }>`
    with used as (
      select k.organization_id, k.id, clock_timestamp() - u.ago_ms * interval '1 millisecond' as used_at
      from unnest(
        ${uses.map((u) => u.organizationId)}::int[], ${uses.map((u) => u.apiKeyId)}::uuid[],
        ${uses.map((u) => u.agoMs)}::float8[]
      ) as u (organization_id, id, ago_ms)
      join api_keys k on k.organization_id = u.organization_id and k.id = u.id
      for no key update of k skip locked
    )
    update api_keys k set last_used_at = greatest(k.last_used_at, used.used_at)
    from used where ${isOwnedAs("k", "used")} and k.id = used.id
    returning k.id
  `.execute(db);
  return new Set(rows.map(({ id }) => id));
}
