import { type RawBuilder, sql } from "kysely";
import type { Outcome, RestingContactStatus } from "../../domain/contacts/contact.ts";
import type { By, Tell } from "../../domain/event.ts";
import type { LeaseKey } from "../../domain/contacts/lease-id.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { contactStatus, endedAttempts } from "../contacts/current-contacts.ts";
import { attemptData, keepAttempts } from "../events/events.ts";
import type { CallDetails } from "./lease-ends.ts";
import { asRows } from "./lease-rows.ts";
import { isErasedLine, lineOf, zoneSetOf } from "../contacts/contact-blocks.ts";
import { retryColumns, retryValues } from "./retries.ts";

/** An attempt that has ended. */
export type EndedAttempt = LeaseKey & {
  outcome: Outcome;
  isReported: boolean;
  /** The same object for all attempts at one contact. */
  contact: ContactInHand;
};

export type ContactInHand = {
  status: RestingContactStatus;
  /** How many of them have ended. */
  attempts: number;
  nextAttemptAt: Date | null;
  isLeased: boolean;
};

/**
 * Reads the ended attempts of these leases, each in its place, with their contacts. They change only under the lock of
 * their organization, which the transaction has.
 */
export async function readEndedAttempts(
  trx: Trx,
  organizationId: number,
  keys: readonly LeaseKey[],
): Promise<(EndedAttempt | undefined)[]> {
  const { rows } = await sql<Omit<EndedAttempt, "contact"> & ContactInHand & { place: number }>`
    select g.place, a.job_id as "jobId", a.number, a.attempt, a.nonce, a.outcome,
      a.reported_at is not null as "isReported",
      ${endedAttempts({ attempt: sql`last.attempt`, outcome: sql`last.outcome` })} as attempts,
      ${contactStatus({ isLeased: sql`false`, outcome: sql`last.outcome`, nextAttemptAt: sql`last.next_attempt_at` })} as status,
      last.next_attempt_at as "nextAttemptAt",
      exists (
        select from leases
        where organization_id = a.organization_id and job_id = a.job_id and number = a.number
      ) as "isLeased"
    from ${asRows(organizationId, keys)}
    cross join lateral (
      select * from attempts
      where organization_id = g.organization_id and job_id = g.job_id and number = g.number and attempt = g.attempt
        and nonce = g.nonce and outcome <> 'suppressed'
      limit 1
    ) as a
    cross join lateral (
      select attempt, outcome, next_attempt_at from attempts
      where organization_id = a.organization_id and job_id = a.job_id and number = a.number
      order by attempt desc limit 1
    ) as last
  `.execute(trx);
  const attempts = new Map<string, EndedAttempt>();
  const contacts = new Map<string, ContactInHand>();
  const found = new Map<number, EndedAttempt>();
  for (const { place, status, attempts: ended, nextAttemptAt, isLeased, ...attempt } of rows) {
    const ofContact = `${attempt.jobId} ${attempt.number}`;
    const contact = contacts.get(ofContact) ?? { status, attempts: ended, nextAttemptAt, isLeased };
    contacts.set(ofContact, contact);
    const ofAttempt = `${ofContact} ${attempt.attempt}`;
    const hand = attempts.get(ofAttempt) ?? { ...attempt, contact };
    attempts.set(ofAttempt, hand);
    found.set(place, hand);
  }
  return keys.map((_, i) => found.get(i + 1));
}

/** What a late report says, and when its contact is to be called again. */
export type LateReport = LeaseKey & {
  outcome: Outcome;
  details: CallDetails;
  nextAttemptAt: Date | null;
  /** The contact has ended as suppressed since: it is not called again, but how its call ended is how it ended. */
  wasSuppressed: boolean;
};

/** The places, from 1, of the reports on contacts that were erased since: nothing is kept of what they say in words. */
async function placesOfErased(
  trx: Trx,
  organizationId: number,
  reports: readonly LateReport[],
): Promise<ReadonlySet<number>> {
  const line = lineOf({
    organizationId: sql`g.organization_id`,
    jobId: sql`g.job_id`,
    number: sql`g.number`,
  });
  const { rows } = await sql<{ place: number }>`
    select g.place::int as place from ${asRows(organizationId, reports)} where ${isErasedLine(line)}
  `.execute(trx);
  return new Set(rows.map(({ place }) => place));
}

/** Records late reports, and tells of them. The transaction has locked the organization and the jobs. */
export async function recordLateReports(
  trx: Trx,
  organizationId: number,
  now: Date,
  reports: readonly LateReport[],
  by: By,
  tell: Tell,
): Promise<void> {
  const erased = await placesOfErased(trx, organizationId, reports);
  for (const [i, report] of reports.entries()) {
    const { jobId, number, attempt, outcome, nextAttemptAt, wasSuppressed } = report;
    const { callDurationMs, ...said } = report.details;
    const words = erased.has(i + 1) ? { errorCode: null, failureReason: null, providerCallId: null } : said;
    const key = sql`a.organization_id = ${organizationId} and a.job_id = ${jobId} and a.number = ${number}`;
    const keep = (which: RawBuilder<unknown>) =>
      keepAttempts(sql`(select * from attempts a where ${key} and ${which}) as a`).execute(trx);
    await keep(sql`attempt = ${attempt}`);
    const { data } = await trx
      .updateTable("attempts")
      .set({
        outcome,
        next_attempt_at: nextAttemptAt,
        reported_at: now,
        error_code: words.errorCode,
        failure_reason: words.failureReason,
        call_duration_ms: callDurationMs,
        provider_call_id: words.providerCallId,
        sequence: null,
      })
      .where("organization_id", "=", organizationId)
      .where("job_id", "=", jobId)
      .where("number", "=", number)
      .where("attempt", "=", attempt)
      .returning(attemptData("attempts").as("data"))
      .executeTakeFirstOrThrow();
    const told = wasSuppressed && nextAttemptAt !== null ? { ...data, status: "suppressed" } : data;
    tell({ type: "contact.attempt_ended", ...by, batchJobId: jobId, number, data: told });
    if (wasSuppressed) {
      if (nextAttemptAt !== null) continue;
      await keep(sql`outcome = 'suppressed'`);
      await trx
        .deleteFrom("attempts")
        .where("organization_id", "=", organizationId)
        .where("job_id", "=", jobId)
        .where("number", "=", number)
        .where("outcome", "=", "suppressed")
        .execute();
    }
    await trx
      .deleteFrom("retries")
      .where("organization_id", "=", organizationId)
      .where("job_id", "=", jobId)
      .where("number", "=", number)
      .execute();
    if (nextAttemptAt === null) continue;
    const of = { organizationId: sql`${organizationId}`, jobId: sql`${jobId}`, number: sql`${number}::int` };
    await sql`
      insert into retries (organization_id, job_id, number, ${retryColumns})
      select ${organizationId}, ${jobId}, ${number}, ${retryValues(sql`${nextAttemptAt}::timestamptz`, sql`s.zone_set`)}
      from ${zoneSetOf(of)} as s
    `.execute(trx);
  }
}
