import { randomBytes, randomUUID } from "node:crypto";
import { sql } from "kysely";
import type { JobCommandRequest, NewJob } from "../../src/jobs/batch-jobs.ts";
import type { JobStatus } from "../../src/domain/jobs/batch-job.ts";
import { type ContactInput, judge, sortOut } from "../../src/domain/contacts/contact.ts";
import { insertContacts } from "../../src/postgres/contacts/inserting.ts";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import type { Parts } from "./parts.ts";
import { writeCalled } from "./contact-tables.ts";

/** `count` contacts with phones of their own. */
export const makeContacts = (count: number, first = 0): ContactInput[] =>
  Array.from({ length: count }, (_, i) => ({
    phone: `+1415${String(5_000_000 + first + i)}`,
    name: `Contact ${first + i + 1}`,
    fields: {},
  }));

export const aNewJob = (fields: Partial<NewJob> = {}): NewJob => ({
  name: "Spring campaign",
  description: "",
  labels: {},
  fromPhoneNumberId: "pn_1",
  contacts: makeContacts(3),
  concurrentCallLimit: 5,
  maxAttempts: 3,
  retryOn: ["no_answer", "busy", "timeout"],
  retryDelaysMs: [300_000, 1_800_000],
  callsPerSecond: null,
  rampUpMs: null,
  priority: 5,
  startWithinMs: null,
  pauseWhen: null,
  endAt: null,
  callingHours: null,
  requestedStartTime: "",
  timeZone: "",
  ...fields,
});

/** A command on a job by the test's caller, safe to repeat only if `requestId` is given. */
export const onJob = (
  parts: Pick<Parts, "caller">,
  batchJobId: string,
  fields: Partial<JobCommandRequest> = {},
): JobCommandRequest => ({
  caller: parts.caller,
  requestId: "",
  fingerprint: () => randomBytes(32),
  expectedRevision: undefined,
  batchJobId,
  ...fields,
});

/** A pending job with these contacts, each of which must be accepted. */
export async function createJobWith(parts: Parts, contacts: readonly ContactInput[]): Promise<string> {
  const { batchJobId, rejected } = await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts }));
  if (rejected.length > 0) throw new Error(`contacts were rejected: ${JSON.stringify(rejected)}`);
  return batchJobId;
}

type Making = { status?: JobStatus; contacts?: number; dueInMs?: number; dialing?: number; name?: string };

const finals: ReadonlySet<JobStatus> = new Set(["completed", "failed", "cancelled"]);
const started: ReadonlySet<JobStatus> = new Set(["running", "paused", "completed"]);

/**
 * A job in Postgres and nothing in Redis, with all that its status implies. A scheduled one is due in an hour unless
 * `dueInMs` says otherwise; of a completed one every contact is completed, of a failed one every contact is busy.
 */
export async function makeJob(
  parts: Pick<Parts, "db" | "caller">,
  making: Making = {},
): Promise<BatchJobRow> {
  const { status = "pending", contacts = 3, dueInMs = 3_600_000, dialing = 0, name = "A job" } = making;
  const isScheduled = status === "scheduled";
  const now = sql<Date>`date_trunc('milliseconds', clock_timestamp())`;
  return await parts.db.transaction().execute(async (trx) => {
    const row = await trx
      .insertInto("batch_jobs")
      .values({
        organization_id: parts.caller.organizationId,
        name,
        description: "",
        from_phone_number_id: "pn_1",
        status,
        timezone: "UTC",
        requested_start_time: isScheduled ? "2030-01-01T00:00:00" : null,
        scheduled_at: isScheduled
          ? sql<Date>`clock_timestamp() + ${`${dueInMs} milliseconds`}::interval`
          : null,
        scheduled_job_id: isScheduled ? randomUUID() : null,
        updated_at: sql<Date>`clock_timestamp() - interval '1 minute'`,
        started_at: started.has(status) || dialing > 0 ? now : null,
        finished_at: finals.has(status) ? now : null,
        failure_reason: status === "failed" ? "no_call_completed" : null,
        concurrent_call_limit: 5,
        max_attempts: 3,
        retry_on: ["no_answer", "busy", "timeout"],
        retry_delays_ms: [300_000, 1_800_000],
        total_contacts: contacts,
        dialing_contacts: dialing,
        completed_contacts: status === "completed" ? contacts - dialing : 0,
        busy_contacts: status === "failed" ? contacts - dialing : 0,
        pending_contacts: ["completed", "failed"].includes(status) ? 0 : contacts - dialing,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    for (let done = 0; done < contacts; done += 10_000) {
      const batch = makeContacts(Math.min(10_000, contacts - done), done);
      const { accepted } = sortOut(batch.map(judge));
      await insertContacts(trx, row.organization_id, row.id, done, { contacts: accepted, zoneSets: [] });
    }
    if (dialing > 0) {
      await sql`
        insert into leases (
          organization_id, job_id, number, attempt, nonce, worker_id, request_id, leased_at, expires_at)
        select ${row.organization_id}, ${row.id}, number, 1, number, 'worker-1', '', clock_timestamp(), clock_timestamp() + interval '1 hour'
        from generate_series(1, ${dialing}::int) as number
      `.execute(trx);
    }
    const ended = status === "completed" ? "completed" : status === "failed" ? "busy" : undefined;
    if (ended !== undefined) {
      const called = Array.from({ length: contacts - dialing }, (_, i) => dialing + i + 1);
      await writeCalled(trx, row, called, ended);
    }
    return row;
  });
}

/** The same, and in Redis what its status implies: the entry of a scheduled one, the whole list of a running one. */
export async function makeWholeJob(parts: Parts, making: Making = {}): Promise<BatchJobRow> {
  const job = await makeJob(parts, making);
  const key = { id: job.id, organizationId: job.organization_id };
  if (job.scheduled_job_id !== null && job.scheduled_at !== null) {
    await parts.schedule.add({
      scheduledJobId: job.scheduled_job_id,
      scheduledStartTimeMs: job.scheduled_at.getTime(),
    });
  }
  if (job.status === "running") {
    await parts.contactList.create(key, job.revision);
    await parts.fanOut.run(key);
  }
  return job;
}
