import { type RawBuilder, type SqlBool, sql } from "kysely";
import { isGoingOn } from "../../domain/contacts/attempt.ts";
import { type BatchJob, openContacts } from "../../domain/jobs/batch-job.ts";
import type { Outcome } from "../../domain/contacts/contact.ts";
import type { By, Tell } from "../../domain/event.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import { type Trx, finishJob, findJob } from "../jobs/batch-jobs.ts";
import { type CountChanges, moveCounts } from "../contacts/contact-counts.ts";
import type { Database } from "../connections/database.ts";
import { attemptData, keepAttempts } from "../events/events.ts";
import { isOwnedAs } from "../owned.ts";

/** Beyond all times. */
export const never = sql`timestamptz '9999-01-01'`;

/*
 * A retry of a contact in set 0 is due at due_at. One of another set is due at zone_due_at, and its due_at lies beyond
 * all times: who looks for what is due of one set does not come by those of the others, which may be closed for long.
 */

/** The columns that say of a retry when it is due. */
export const retryColumns = sql`due_at, zone_set, zone_due_at`;

/** Their values. */
export const retryValues = (dueAt: RawBuilder<unknown>, zoneSet: RawBuilder<unknown>) => sql`
  case when ${zoneSet} = 0 then ${dueAt} else ${never} end, ${zoneSet}, case when ${zoneSet} > 0 then ${dueAt} end`;

/** So many contacts of a job are judged in one transaction: some 50 ms. */
const usualChunk = 5_000;

/** Has those judged anew who wait for a retry of these jobs, which the transaction has locked. */
export async function haveRetriesJudged(
  trx: Trx,
  organizationId: number,
  jobIds: readonly string[],
): Promise<void> {
  if (jobIds.length === 0) return;
  await trx
    .updateTable("batch_jobs")
    .set({ retries_judged_to: 0 })
    .where("organization_id", "=", organizationId)
    .where(sql<SqlBool>`id = any(${jobIds}::uuid[])`)
    .execute();
}

/** Jobs whose contacts that wait for a retry are to be judged anew. */
export async function jobsWithRetriesToJudge(db: Database, limit: number): Promise<JobKey[]> {
  return await db
    .selectFrom("batch_jobs")
    .select(["organization_id as organizationId", "id"])
    .where("retries_judged_to", "is not", null)
    .orderBy("organization_id")
    .orderBy("id")
    .limit(limit)
    .execute();
}

/**
 * Ends the retries of the next contacts of a job that its settings no longer allow: they are final with their last
 * outcome, and with the last of them a running job ends. The transaction has locked the job. What its attempts are then
 * is told. Answers how the job is, and whether there may be more of them.
 */
export async function judgeRetries(
  trx: Trx,
  job: BatchJob,
  by: By,
  tell: Tell,
  chunkSize = usualChunk,
): Promise<{ job: BatchJob; isMore: boolean }> {
  const { organizationId, id } = job;
  const judgedTo = (to: RawBuilder<unknown>) =>
    sql`update batch_jobs set retries_judged_to = ${to} where organization_id = ${organizationId} and id = ${id}`;
  if (!isGoingOn(job.status)) {
    await judgedTo(sql`null`).execute(trx);
    return { job, isMore: false };
  }
  // Each row is looked up by its key: without statistics of a table that has just grown the whole of it would be read.
  await sql`
    select set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
  `.execute(trx);
  const { rows } = await sql<{
    looked: number;
    last: number | null;
    given_up: [Outcome, number][] | null;
    told: { number: number; data: object }[] | null;
  }>`
    with asked as (
      select organization_id, id, max_attempts, retry_on, retries_judged_to from batch_jobs
      where organization_id = ${organizationId} and id = ${id} and retries_judged_to is not null
    ), looked as materialized (
      select j.organization_id, j.id as job_id, r.number, a.attempt, a.outcome,
        a.attempt < j.max_attempts and a.outcome = any (j.retry_on) as is_allowed
      from asked j
      cross join lateral (
        select number from retries
        where organization_id = j.organization_id and job_id = j.id and number > j.retries_judged_to
        order by number limit ${chunkSize}
      ) as r
      cross join lateral (
        select attempt, outcome from attempts
        where organization_id = j.organization_id and job_id = j.id and number = r.number
        order by attempt desc limit 1
      ) as a
    ), kept as (
      ${keepAttempts(sql`
        looked l join attempts a on ${isOwnedAs("a", "l")} and a.job_id = l.job_id
          and a.number = l.number and a.attempt = l.attempt and not l.is_allowed`)}
    ), ended as (
      update attempts a set next_attempt_at = null, sequence = null from looked l
      where not l.is_allowed and ${isOwnedAs("a", "l")} and a.job_id = l.job_id
        and a.number = l.number and a.attempt = l.attempt
      returning a.number, ${attemptData("a")} as data
    ), removed as (
      delete from retries r using looked l
      where not l.is_allowed and ${isOwnedAs("r", "l")} and r.job_id = l.job_id
        and r.number = l.number
    )
    select (select count(*)::int from looked) as looked, (select max(number) from looked) as last,
      (select json_agg(json_build_array(outcome, contacts)) from (
        select outcome, count(*) as contacts from looked where not is_allowed group by outcome
      ) as o) as given_up,
      (select json_agg(json_build_object('number', number, 'data', data) order by number) from ended) as told
  `.execute(trx);
  const [{ looked, last, given_up: givenUp, told } = { looked: 0, last: null, given_up: null, told: null }] =
    rows;
  const isMore = looked === chunkSize;
  await judgedTo(isMore ? sql`${last}::int` : sql`null`).execute(trx);
  if (givenUp === null) return { job, isMore };
  for (const one of told ?? []) tell({ type: "contact.attempt_ended", ...by, batchJobId: id, ...one });
  const ended = givenUp.reduce((sum, [, contacts]) => sum + contacts, 0);
  const changes: CountChanges = new Map([[id, { ...Object.fromEntries(givenUp), waiting_retry: -ended }]]);
  await moveCounts(trx, organizationId, changes);
  if (job.status === "running" && openContacts(job) === ended)
    await finishJob(trx, organizationId, id, by, tell);
  return { job: await findJob(trx, organizationId, id), isMore };
}
