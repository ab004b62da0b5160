import type { Interceptor } from "@connectrpc/connect";
import { generateApiKey, hashApiKey } from "../../src/domain/api-key.ts";
import type { Role } from "../../src/domain/caller.ts";
import { ensureOrganization, insertApiKey } from "../../src/postgres/api-keys.ts";
import type { Database } from "../../src/postgres/connections/database.ts";

export type MadeApiKey = { key: string; id: string; organizationId: number };

/** Sends this key with each call. */
export const withKey =
  (key: string): Interceptor =>
  (next) =>
  (request) => {
    request.header.set("authorization", `Bearer ${key}`);
    return next(request);
  };

/** A key in the database; of the organization `default`, which is the one of the test service's own key. */
export async function makeApiKey(
  db: Database,
  fields: { role: Role; organization?: string; expiresAt?: Date },
): Promise<MadeApiKey> {
  const key = generateApiKey();
  const organizationId = await ensureOrganization(db, fields.organization ?? "default");
  await insertApiKey(db, {
    organizationId,
    name: "made by a test",
    role: fields.role,
    hash: hashApiKey(key),
    expiresAt: fields.expiresAt ?? null,
  });
  const { id } = await db
    .selectFrom("api_keys")
    .select("id")
    .where("hash", "=", hashApiKey(key))
    .executeTakeFirstOrThrow();
  return { key, id, organizationId };
}
