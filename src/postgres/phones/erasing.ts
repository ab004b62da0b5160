import { sql } from "kysely";
import type { Trx } from "../jobs/batch-jobs.ts";
import { hasPhone, phoneNumber, withErased } from "../contacts/contact-blocks.ts";
import type { Database } from "../connections/database.ts";
import { functions } from "../functions/functions.ts";
import { removeSorted } from "./sorted-phones.ts";
import { eraseFromDeliveries, holdOffKeeping } from "../events/webhook-deliveries.ts";

/** A contact whose person is to be erased. */
export type ErasedContact = {
  readonly organizationId: number;
  readonly jobId: string;
  readonly number: number;
  readonly phone: string;
};

/** Locks a job until the transaction ends; false if it is gone. */
export async function lockIfThere(trx: Trx, organizationId: number, jobId: string): Promise<boolean> {
  const { rows } = await sql`
    select from batch_jobs where organization_id = ${organizationId} and id = ${jobId} for no key update
  `.execute(trx);
  return rows.length > 0;
}

/**
 * Takes everything out of a contact that tells who it is: phone, name and fields, and what was reported of its calls in
 * words, which it answers. How they ended, and when, stays. Of a call that goes on as little will be kept. Undefined if
 * it has another phone, or none any more. The transaction has locked the job, if it is there, and keeps others from
 * adding to it.
 */
export async function eraseContact(trx: Trx, contact: ErasedContact): Promise<string[] | undefined> {
  const { organizationId, jobId, number, phone } = contact;
  const ofJob = sql`organization_id = ${organizationId} and job_id = ${jobId}`;
  const ofContact = sql`${ofJob} and number = ${number}::int`;
  const place = sql`(${number}::int - b.first_number + 1)`;
  const { numAffectedRows } = await sql`
    update contact_blocks b set contacts = ${withErased(sql`b.contacts`, place)}
    where ${ofJob} and ${hasPhone(sql`${sql.id(functions.contactLine.name)}(b.contacts, ${place})`, phone)}
      and first_number = (
        select max(first_number) from contact_blocks where ${ofJob} and first_number <= ${number}::int)
  `.execute(trx);
  if (numAffectedRows !== 1n) return undefined;
  await sql`update leases set is_erased = true where ${ofContact}`.execute(trx);
  const { rows } = await sql<{ word: string }>`
    select distinct word from attempts cross join unnest(array[error_code, failure_reason, provider_call_id]) as word
    where ${ofContact} and word is not null
  `.execute(trx);
  await sql`
    update attempts set error_code = null, failure_reason = null, provider_call_id = null where ${ofContact}
  `.execute(trx);
  await sql`
    update events set data = data || '{"errorCode": null, "providerCallId": null}'
    where organization_id = ${organizationId} and batch_job_id = ${jobId} and number = ${number}::int
      and type = 'contact.attempt_ended'
  `.execute(trx);
  await holdOffKeeping(trx, organizationId);
  await eraseFromDeliveries(trx, contact);
  await removePhone(trx, contact);
  await removeSorted(trx, contact);
  return rows.map(({ word }) => word);
}

/** Takes the phone of a contact out of those of its job. */
export async function removePhone(
  trx: Trx,
  { organizationId, jobId, phone }: Omit<ErasedContact, "number">,
): Promise<void> {
  await sql`
    delete from contact_phones
    where organization_id = ${organizationId} and job_id = ${jobId} and phone = ${phoneNumber(phone)}
  `.execute(trx);
}

/** The jobs whose rows are being removed. */
export async function deletedJobs(db: Database, organizationId: number): Promise<string[]> {
  const rows = await db
    .selectFrom("deleted_jobs")
    .select("job_id")
    .where("organization_id", "=", organizationId)
    .execute();
  return rows.map((row) => row.job_id);
}

/** The commands whose kept answers show phones that were rejected. */
const rpcsWithPhones = [
  "CreateBatchJob",
  "AddContacts",
  "ImportContacts",
  "AddSuppressedPhones",
  "ImportSuppressedPhones",
];

/** Takes a phone out of the answers that are kept for repetitions. */
export async function eraseFromAnswers(db: Database, organizationId: number, phone: string): Promise<void> {
  const asJson = JSON.stringify(phone);
  await sql`
    update requests set answer = replace(answer::text, ${asJson}, '""')::jsonb
    where organization_id = ${organizationId} and rpc = any(${rpcsWithPhones}::text[])
      and strpos(answer::text, ${asJson}) > 0
  `.execute(db);
}

/** Removes the files of rejected rows: nobody can say in which way the phone is written there. */
export async function removeRejectedRows(db: Database, organizationId: number): Promise<void> {
  await sql`delete from rejected_rows where organization_id = ${organizationId}`.execute(db);
}

/** Where any of this may be, for which Postgres has samples of what is in its tables, by which it plans. */
const sampledTables = [
  "contact_blocks",
  "contact_phones",
  "sorted_phones",
  "suppressed_phones",
  "attempts",
  "events",
  "requests",
  "webhook_deliveries",
  "rejected_rows",
];

/** Has Postgres draw new samples of those tables in whose samples one of the texts is; of all, if it is not known. */
export async function eraseFromSamples(db: Database, texts: readonly string[] | "not known"): Promise<void> {
  const { rows } = await sql<{ table: string }>`
    select t."table" from unnest(${sampledTables}::text[]) as t ("table")
    where exists (
      select from pg_stats s
      cross join unnest(
        s.most_common_vals::text::text[] || s.histogram_bounds::text::text[] || s.most_common_elems::text::text[]
      ) as sample (value)
      where s.schemaname = current_schema() and s.tablename = t."table"
        and ${texts === "not known" ? sql`true` : sql`exists (select from unnest(${texts}::text[]) as text where strpos(sample.value, text) > 0)`}
    )
  `.execute(db);
  for (const { table } of rows) await sql`analyze ${sql.id(table)}`.execute(db);
}
