import { sql } from "kysely";
import type { Outcome, StoredContactStatus } from "../domain/contact.ts";
import type { Trx } from "./batch-jobs.ts";
import type { Database } from "./database.ts";

/** An attempt and its contact, as they stand while their organization is locked. */
export type AttemptInHand = {
  leaseId: string;
  jobId: string;
  number: number;
  attempt: number;
  expiresAt: Date;
  endedAt: Date | null;
  outcome: Outcome | null;
  reportedAt: Date | null;
  /** The same object for all attempts at one contact. */
  contact: ContactInHand;
};

export type ContactInHand = { status: StoredContactStatus; attempts: number; nextAttemptAt: Date | null };

/**
 * Reads these attempts with their contacts, whosever they are. Attempts begin and end only under the lock of their
 * organization, which the transaction has; only `isExpiring` needs their own locks, against being extended meanwhile.
 */
export async function readAttempts(
  trx: Trx,
  leaseIds: readonly string[],
  { isExpiring }: { isExpiring: boolean },
): Promise<Map<string, AttemptInHand>> {
  if (leaseIds.length === 0) return new Map();
  // While an attempt has not ended its contact is dialing in it, so that the contact need not be read.
  const { rows } = await sql<Omit<AttemptInHand, "contact"> & ContactInHand>`
    select a.lease_id as "leaseId", a.job_id as "jobId", a.number, a.attempt, a.expires_at as "expiresAt",
      a.ended_at as "endedAt", a.outcome, a.reported_at as "reportedAt", coalesce(c.status, 'dialing') as status,
      coalesce(c.attempts, a.attempt) as attempts, c.next_attempt_at as "nextAttemptAt"
    from attempts a
    left join lateral (
      select status, attempts, next_attempt_at from contacts
      where a.ended_at is not null and job_id = a.job_id and number = a.number
    ) as c on true
    where a.lease_id = any(${leaseIds}::uuid[])
    ${isExpiring ? sql`order by a.lease_id for no key update of a` : sql``}
  `.execute(trx);
  const contacts = new Map<string, ContactInHand>();
  return new Map(
    rows.map(({ status, attempts, nextAttemptAt, ...attempt }) => {
      const key = `${attempt.jobId} ${attempt.number}`;
      const contact = contacts.get(key) ?? { status, attempts, nextAttemptAt };
      contacts.set(key, contact);
      return [attempt.leaseId, { ...attempt, contact }];
    }),
  );
}

/** What a worker tells of a call, beside its outcome. */
export type CallDetails = {
  errorCode: string;
  failureReason: string;
  callDurationMs: number | null;
  providerCallId: string;
};

/** How an attempt ended, and what becomes of its contact. */
export type Ending = {
  leaseId: string;
  jobId: string;
  number: number;
  outcome: Outcome;
  status: StoredContactStatus;
  nextAttemptAt: Date | null;
  /** Undefined if the lease ran out. */
  details: CallDetails | undefined;
};

/** Ends attempts, and sets their contacts to what follows. The transaction has locked the attempts and their jobs. */
export async function endAttempts(trx: Trx, now: Date, endings: readonly Ending[]): Promise<void> {
  if (endings.length === 0) return;
  await sql`
    with given as (
      select * from unnest(
        ${endings.map((e) => e.leaseId)}::uuid[], ${endings.map((e) => e.jobId)}::uuid[],
        ${endings.map((e) => e.number)}::int[], ${endings.map((e) => e.outcome)}::text[],
        ${endings.map((e) => e.status)}::text[], ${endings.map((e) => e.nextAttemptAt)}::timestamptz[],
        ${endings.map((e) => e.details !== undefined)}::boolean[], ${endings.map((e) => e.details?.errorCode ?? null)}::text[],
        ${endings.map((e) => e.details?.failureReason ?? null)}::text[],
        ${endings.map((e) => e.details?.callDurationMs ?? null)}::bigint[],
        ${endings.map((e) => e.details?.providerCallId ?? null)}::text[]
      ) as g (lease_id, job_id, number, outcome, status, next_attempt_at, is_reported, error_code, failure_reason,
              call_duration_ms, provider_call_id)
    ), ended as (
      update attempts a
      set ended_at = coalesce(a.ended_at, ${now}), outcome = g.outcome,
        reported_at = case when g.is_reported then ${now}::timestamptz end, error_code = g.error_code,
        failure_reason = g.failure_reason, call_duration_ms = g.call_duration_ms, provider_call_id = g.provider_call_id
      from given g
      where a.lease_id = g.lease_id
    ), changed as (
      update contacts c
      set status = g.status, last_outcome = g.outcome, next_attempt_at = g.next_attempt_at
      from given g
      where c.job_id = g.job_id and c.number = g.number
    ), forgotten as (
      delete from retries r using given g
      where g.next_attempt_at is null and r.job_id = g.job_id and r.number = g.number
    )
    insert into retries (job_id, number, due_at)
    select job_id, number, next_attempt_at from given where next_attempt_at is not null
    on conflict (job_id, number) do update set due_at = excluded.due_at
  `.execute(trx);
}

/** Takes attempts back as if they had not been opened; their contacts can be leased at once. */
export async function removeAttempts(trx: Trx, now: Date, attempts: readonly AttemptInHand[]): Promise<void> {
  if (attempts.length === 0) return;
  await sql`
    with given as (
      select * from unnest(
        ${attempts.map((a) => a.leaseId)}::uuid[], ${attempts.map((a) => a.jobId)}::uuid[],
        ${attempts.map((a) => a.number)}::int[], ${attempts.map((a) => a.attempt)}::int[]
      ) as g (lease_id, job_id, number, attempt)
    ), removed as (
      delete from attempts a using given g where a.lease_id = g.lease_id
    ), changed as (
      update contacts c
      set status = case when g.attempt = 1 then 'pending' else 'waiting_retry' end, attempts = g.attempt - 1,
        next_attempt_at = case when g.attempt > 1 then ${now}::timestamptz end
      from given g
      where c.job_id = g.job_id and c.number = g.number
    )
    insert into retries (job_id, number, due_at)
    select job_id, number, ${now} from given where attempt > 1
  `.execute(trx);
}

/** The live leases that have run out, and whose they are; the longest past first. */
export async function findExpired(
  db: Database,
  limit: number,
): Promise<{ leaseId: string; organizationId: string }[]> {
  return await db
    .selectFrom("attempts as a")
    .innerJoin("batch_jobs as j", "j.id", "a.job_id")
    .select(["a.lease_id as leaseId", "j.organization_id as organizationId"])
    .where("a.ended_at", "is", null)
    .where("a.expires_at", "<=", sql<Date>`(select clock_timestamp())`)
    .orderBy("a.expires_at")
    .limit(limit)
    .execute();
}

/** Ends a running job of which nothing is open. The transaction has locked it. */
export async function finishJob(
  trx: Trx,
  id: string,
): Promise<{ revision: number; status: "completed" | "failed" }> {
  return await trx
    .updateTable("batch_jobs")
    .set({
      status: sql<
        "completed" | "failed"
      >`case when completed_contacts > 0 then 'completed' else 'failed' end`,
      failure_reason: sql<string | null>`case when completed_contacts = 0 then 'no_call_completed' end`,
      finished_at: sql<Date>`date_trunc('milliseconds', clock_timestamp())`,
      updated_at: sql<Date>`date_trunc('milliseconds', clock_timestamp())`,
      revision: sql<number>`revision + 1`,
    })
    .where("id", "=", id)
    .where("status", "in", ["running", "paused"])
    .returning(["revision", "status"])
    .$narrowType<{ status: "completed" | "failed" }>()
    .executeTakeFirstOrThrow();
}
