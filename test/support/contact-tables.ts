import { sql } from "kysely";
import type { Outcome } from "../../src/domain/contacts/contact.ts";
import type { Database } from "../../src/postgres/connections/database.ts";

/** Writes contacts `from` to `to` of these jobs, with the phones +14155000000 and up, and nothing else of them. */
export async function writeContacts(
  db: Database,
  jobIds: readonly string[],
  { from = 1, to }: { from?: number; to: number },
): Promise<void> {
  await sql`
    insert into contact_blocks (organization_id, job_id, first_number, contacts)
    select organization_id, id, min(number), string_agg('+1415' || (5000000 + number - 1) || E'\\t\\t{}', E'\\n' order by number)
    from batch_jobs, generate_series(${from}::int, ${to}::int) as number
    where id = any(${jobIds}::uuid[])
    group by organization_id, id, (number - 1) / 50
  `.execute(db);
}

/** Has these contacts of a job called, once and with this outcome, as far as their attempts say. */
export async function writeCalled(
  db: Database,
  job: { organization_id: number; id: string },
  numbers: readonly number[],
  outcome: Outcome,
  nextAttemptAt: Date | null = null,
): Promise<void> {
  const now = new Date();
  await db
    .insertInto("attempts")
    .values(
      numbers.map((number) => ({
        organization_id: job.organization_id,
        job_id: job.id,
        number,
        attempt: 1,
        nonce: 0,
        worker_id: "worker-1",
        leased_at: now,
        expires_at: now,
        ended_at: now,
        outcome,
        next_attempt_at: nextAttemptAt,
      })),
    )
    .execute();
}
