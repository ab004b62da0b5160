import { expect } from "vitest";
import { storedContactStatuses } from "../../src/domain/contacts/contact.ts";
import { writeLeaseId } from "../../src/domain/contacts/lease-id.ts";
import { currentContacts } from "../../src/postgres/contacts/current-contacts.ts";
import type { Parts } from "../support/parts.ts";
import { differencesFromLog } from "../support/log-fold.ts";
import { overlaps } from "./history.ts";
import type { Model } from "./model.ts";

async function read({ db, caller }: Pick<Parts, "db" | "caller">) {
  const jobs = await db
    .selectFrom("batch_jobs")
    .selectAll()
    .where("organization_id", "=", caller.organizationId)
    .execute();
  const ids = ["00000000-0000-0000-0000-000000000000", ...jobs.map(({ id }) => id)];
  const inJobs = {
    contacts: db.selectFrom(currentContacts.as("contacts")),
    attempts: db.selectFrom("all_attempts"),
  };
  const [contacts, attempts, retries, organization] = await Promise.all([
    inJobs.contacts.selectAll().where("job_id", "in", ids).orderBy("number").execute(),
    inJobs.attempts.selectAll().where("job_id", "in", ids).orderBy("number").orderBy("attempt").execute(),
    db.selectFrom("retries").selectAll().where("job_id", "in", ids).orderBy("number").execute(),
    db
      .selectFrom("organizations")
      .selectAll()
      .where("id", "=", caller.organizationId)
      .executeTakeFirstOrThrow(),
  ]);
  return { jobs, contacts, attempts, retries, organization };
}

/** What the model says that Postgres holds, in the form of `asStored`. */
const asModelled = (model: Model) =>
  new Map(
    [...model.jobs.values()].map((job) => {
      const counted = storedContactStatuses.map((status) => {
        const count = job.contacts.filter((contact) => contact.status === status).length;
        return [status, { onRow: count, inTable: count }] as const;
      });
      const { status, failureReason, revision } = job;
      const hasEnded = ["completed", "failed", "cancelled"].includes(status);
      const contacts = job.contacts.map((contact) => ({
        status: contact.status,
        retryRows: contact.status === "waiting_retry" ? 1 : 0,
        attempts: contact.attempts.map(({ leaseId, outcome, isReported }, i) => ({
          attempt: i + 1,
          leaseId,
          outcome,
          isReported,
        })),
      }));
      const counts = Object.fromEntries(counted);
      return [job.id, { status, failureReason, revision, hasEnded, counts, contacts }] as const;
    }),
  );

const asStored = ({ jobs, contacts, attempts, retries }: Awaited<ReturnType<typeof read>>) =>
  new Map(
    jobs.map((job) => {
      const own = contacts.filter((contact) => contact.job_id === job.id);
      const counted = storedContactStatuses.map((status) => {
        const inTable = own.filter((contact) => contact.status === status).length;
        return [status, { onRow: job[`${status}_contacts`], inTable }] as const;
      });
      const ownContacts = own.map(({ number, status }) => {
        const isOwn = (row: { job_id: string; number: number }) =>
          row.job_id === job.id && row.number === number;
        return {
          status,
          retryRows: retries.filter(isOwn).length,
          attempts: attempts.filter(isOwn).map(({ job_id: jobId, attempt, nonce, outcome, reported_at }) => ({
            attempt,
            leaseId: writeLeaseId({ jobId, number, attempt, nonce }),
            outcome,
            isReported: reported_at !== null,
          })),
        };
      });
      const { status, failure_reason: failureReason, revision } = job;
      const hasEnded = job.finished_at !== null;
      const counts = Object.fromEntries(counted);
      return [job.id, { status, failureReason, revision, hasEnded, counts, contacts: ownContacts }] as const;
    }),
  );

/** Asserts that Postgres holds what the model says, and what holds whatever happens. */
export async function expectAsModelled(parts: Pick<Parts, "db" | "caller">, model: Model): Promise<void> {
  const stored = await read(parts);
  expect(asStored(stored)).toEqual(asModelled(model));

  const live = stored.attempts.filter(({ ended_at }) => ended_at === null);
  expect(stored.organization.dialing).toBe(live.length);
  expect(live.length).toBeLessThanOrEqual(model.organizationLimit);
  for (const { id, concurrent_call_limit, ended_attempts } of stored.jobs) {
    const ended = stored.attempts.filter((one) => one.job_id === id && one.ended_at !== null);
    expect(ended_attempts).toBe(ended.length);
    expect(live.filter(({ job_id }) => job_id === id).length).toBeLessThanOrEqual(concurrent_call_limit);
  }
  const keys = live.map(({ job_id, number }) => `${job_id} ${number}`);
  expect(new Set(keys).size).toBe(keys.length);
  expect(overlaps(stored.attempts)).toEqual([]);
  expect(await differencesFromLog(parts.db, parts.caller.organizationId)).toEqual([]);
}
