import type { Database } from "../connections/database.ts";

/**
 * Records the prefix of the first replica that started on this database, and refuses any other: two replicas with
 * different prefixes would each keep a schedule and lists of their own. Answers the id of the installation.
 */
export async function keepRedisPrefix(db: Database, prefix: string): Promise<string> {
  await db
    .insertInto("installation")
    .values({ redis_prefix: prefix })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const kept = await db.selectFrom("installation").select(["redis_prefix", "id"]).executeTakeFirstOrThrow();
  if (kept.redis_prefix === prefix) return kept.id;
  throw new Error(
    `REDIS_PREFIX is ${prefix}, but the replicas of this database use ${kept.redis_prefix}; it must be ${kept.redis_prefix} here too.`,
  );
}
