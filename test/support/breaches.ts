import { sql } from "kysely";
import { invariants } from "../../src/postgres/schema/invariants.ts";
import type { Parts } from "./parts.ts";

/** What of these jobs' rows breaks an invariant, by rule; nothing of a rule that holds. */
export async function breaches(
  { db }: Pick<Parts, "db">,
  jobIds: readonly string[],
): Promise<Record<string, unknown[]>> {
  const found = await Promise.all(
    Object.entries(invariants(sql<boolean>`job_id = any(${jobIds}::uuid[])`)).map(
      async ([rule, query]) => [rule, (await query.execute(db)).rows] as const,
    ),
  );
  return Object.fromEntries(found.filter(([, rows]) => rows.length > 0));
}
