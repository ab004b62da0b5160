import { type RawBuilder, sql } from "kysely";
import type { Attempt } from "../../domain/contacts/attempt.ts";
import type { BatchJob, JobStatus } from "../../domain/jobs/batch-job.ts";
import type { StoredContact, StoredContactStatus } from "../../domain/contacts/contact.ts";
import { pendingNumbers } from "../contacts/chunks.ts";
import { attemptColumns, readContacts } from "../contacts/contacts.ts";
import type { Database } from "../connections/database.ts";
import { toBatchJob } from "./job-rows.ts";
import type { BatchJobRow } from "../schema/tables.ts";

/** Where a page begins, and how much of it is wanted. */
export type Offset = { readonly offset: number; readonly size: number };

/** Of an organization so many jobs are looked at, the newest ones, however few of them are asked for. */
const mostPagedJobs = 100_000;

/** The newest jobs of an organization; the limit within ends the walk along the index. */
const newestJobs = (organizationId: number, columns: RawBuilder<unknown>) => sql`
  select ${columns} from batch_jobs where organization_id = ${organizationId}
  order by created_at desc, id desc limit ${mostPagedJobs}`;

const hasStatus = (statuses: readonly JobStatus[]) =>
  statuses.length === 0 ? sql`true` : sql`status = any(${statuses}::text[])`;

/** How many of an organization's newest jobs are in one of these statuses. */
export async function countJobs(
  db: Database,
  organizationId: number,
  statuses: readonly JobStatus[],
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count
    from (${newestJobs(organizationId, sql`status`)}) as newest where ${hasStatus(statuses)}
  `.execute(db);
  return rows[0]?.count ?? 0;
}

/** One page of them, newest first. */
export async function pageOfJobs(
  db: Database,
  organizationId: number,
  statuses: readonly JobStatus[],
  { offset, size }: Offset,
): Promise<BatchJob[]> {
  const { rows } = await sql<BatchJobRow>`
    select * from (${newestJobs(organizationId, sql`*`)}) as newest where ${hasStatus(statuses)}
    order by created_at desc, id desc offset ${offset}::bigint limit ${size}
  `.execute(db);
  return rows.map(toBatchJob);
}

/** The numbers of a job's contacts in these statuses: of the first ones so many as end with the page. */
function numbersIn(
  job: BatchJob,
  statuses: readonly StoredContactStatus[],
  { offset, size }: Offset,
): RawBuilder<unknown> {
  const upTo = offset + size;
  const of = sql`organization_id = ${job.organizationId} and job_id = ${job.id}`;
  const final = statuses.filter((s) => s !== "pending" && s !== "dialing" && s !== "waiting_retry");
  const found: RawBuilder<unknown>[] = [sql`select null::int as number where false`];
  if (final.length > 0) {
    found.push(sql`
      select number from attempts where ${of} and next_attempt_at is null and outcome = any(${final}::text[])
      order by number limit ${upTo}`);
  }
  if (statuses.includes("waiting_retry"))
    found.push(sql`select number from retries where ${of} order by number limit ${upTo}`);
  if (statuses.includes("dialing"))
    found.push(sql`select number from leases where ${of} order by number limit ${upTo}`);
  if (statuses.includes("pending"))
    found.push(pendingNumbers(job.organizationId, job.id, 0, sql`${job.totalContacts}::int`, upTo));
  return sql.join(
    found.map((some) => sql`(${some})`),
    sql` union all `,
  );
}

/** One page of numbers. Without statuses they are the ones that follow the offset, as they have no gaps. */
async function pageOfNumbers(
  db: Database,
  job: BatchJob,
  statuses: readonly StoredContactStatus[] | undefined,
  page: Offset,
): Promise<number[]> {
  const { offset, size } = page;
  if (statuses === undefined) {
    const count = Math.max(0, Math.min(size, job.totalContacts - offset));
    return Array.from({ length: count }, (_, i) => offset + i + 1);
  }
  if (statuses.length === 0) return [];
  const { rows } = await sql<{ number: number }>`
    select number from (${numbersIn(job, statuses, page)}) as found
    order by number offset ${offset}::bigint limit ${size}
  `.execute(db);
  return rows.map((row) => row.number);
}

/** A contact with the last of its attempts, also the one that goes on. */
export type CalledContact = StoredContact & { readonly lastAttempt: Attempt | undefined };

async function lastAttempts(
  db: Database,
  job: BatchJob,
  numbers: readonly number[],
): Promise<Map<number, Attempt>> {
  if (numbers.length === 0) return new Map();
  const { rows } = await sql<Attempt>`
    select last.* from unnest(${numbers}::int[]) as wanted (number)
    cross join lateral (
      select ${attemptColumns} from all_attempts
      where organization_id = ${job.organizationId} and job_id = ${job.id} and number = wanted.number
      order by attempt desc limit 1
    ) as last
  `.execute(db);
  return new Map(rows.map((row) => [row.number, row]));
}

/** One page of a job's contacts in these statuses, by number; undefined for all of them. */
export async function pageOfContacts(
  db: Database,
  job: BatchJob,
  statuses: readonly StoredContactStatus[] | undefined,
  page: Offset,
): Promise<CalledContact[]> {
  let numbers = await pageOfNumbers(db, job, statuses, page);
  const attempts = await lastAttempts(db, job, numbers);
  const contacts: StoredContact[] = [];
  // Each time as many as fit into one answer of an RPC, of which this one holds a few.
  while (numbers.length > 0) {
    const some = await readContacts(db, job.organizationId, job.id, sql`select unnest(${numbers}::int[])`);
    contacts.push(...some.contacts);
    if (some.contacts.length === 0) break;
    numbers = numbers.slice(some.contacts.length);
  }
  return contacts.map((contact) => ({ ...contact, lastAttempt: attempts.get(contact.number) }));
}
