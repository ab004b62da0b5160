import { type SqlBool, sql } from "kysely";
import type { Caller, Role } from "../domain/caller.ts";
import { type RateClass, type Rates, rateClasses } from "../domain/rates.ts";
import type { Database } from "./database.ts";

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
  db: Database,
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
export async function ensureOrganization(db: Database, name: string): Promise<number> {
  await db
    .insertInto("organizations")
    .values({ name })
    .onConflict((conflict) => conflict.column("name").doNothing())
    .execute();
  const { id } = await db
    .selectFrom("organizations")
    .select("id")
    .where("name", "=", name)
    .executeTakeFirstOrThrow();
  return id;
}

/** Stores a key's hash. A hash that is stored already is left as it is. */
export async function insertApiKey(
  db: Database,
  key: { organizationId: number; name: string; role: Role; hash: Buffer; expiresAt: Date | null },
): Promise<void> {
  await db
    .insertInto("api_keys")
    .values({
      organization_id: key.organizationId,
      name: key.name,
      role: key.role,
      hash: key.hash,
      expires_at: key.expiresAt,
      revoked_at: null,
    })
    .onConflict((conflict) => conflict.column("hash").doNothing())
    .execute();
}

export type ApiKeySummary = {
  id: string;
  organization: string;
  name: string;
  role: Role;
  createdAt: Date;
  expiresAt: Date | null;
  revokedAt: Date | null;
};

/** Every key, oldest first, without its secret. */
export async function listApiKeys(db: Database): Promise<ApiKeySummary[]> {
  return await db
    .selectFrom("api_keys")
    .innerJoin("organizations", "organizations.id", "api_keys.organization_id")
    .select([
      "api_keys.id",
      "organizations.name as organization",
      "api_keys.name",
      "api_keys.role",
      "api_keys.created_at as createdAt",
      "api_keys.expires_at as expiresAt",
      "api_keys.revoked_at as revokedAt",
    ])
    .orderBy("api_keys.created_at")
    .orderBy("api_keys.id")
    .execute();
}

/** Revokes a key; false if there is none of this id or it is revoked already. */
export async function revokeApiKey(db: Database, id: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("api_keys")
    .set({ revoked_at: sql<Date>`clock_timestamp()` })
    .where("id", "=", id)
    .where("revoked_at", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}
