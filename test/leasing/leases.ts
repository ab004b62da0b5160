import { sql } from "kysely";
import { expect } from "vitest";
import type { NewJob } from "../../src/jobs/batch-jobs.ts";
import type { Outcome, ReportedOutcome } from "../../src/domain/contacts/contact.ts";
import { readLeaseId, writeLeaseId } from "../../src/domain/contacts/lease-id.ts";
import { runExpiryPass } from "../../src/leasing/expiry.ts";
import type { LeaseRequest } from "../../src/leasing/leasing.ts";
import type { Reported } from "../../src/leasing/recorder.ts";
import type { Lease } from "../../src/leasing/lease-round.ts";
import type { CallDetails } from "../../src/postgres/leasing/lease-ends.ts";
import { asRows } from "../../src/postgres/leasing/lease-rows.ts";
import { aNewJob, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";

export async function limitOrganization({ db, caller }: Parts, limit: number): Promise<void> {
  await db
    .updateTable("organizations")
    .set({ lease_limit: limit })
    .where("id", "=", caller.organizationId)
    .execute();
}

/** A job that runs, with its contacts on the list; answers its id. */
export async function runJob(parts: Parts, fields: Partial<NewJob> = {}): Promise<string> {
  const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob(fields));
  await parts.jobs.start(onJob(parts, batchJobId));
  await parts.fanOut.run({ id: batchJobId, organizationId: parts.caller.organizationId });
  return batchJobId;
}

/** Asks for one contact, without waiting, unless the fields say otherwise. */
export const lease = (parts: Parts, fields: Partial<LeaseRequest> = {}): Promise<readonly Lease[]> =>
  parts.leasing.lease({
    caller: parts.caller,
    workerId: "worker-1",
    requestId: "",
    maxContacts: 1,
    durationMs: 120_000,
    waitMs: 0,
    jobIds: [],
    signal: new AbortController().signal,
    ...fields,
  });

/** The only lease that there is to be had now. */
export async function leaseOne(parts: Parts, fields: Partial<LeaseRequest> = {}): Promise<Lease> {
  const [first] = await lease(parts, fields);
  if (first === undefined) throw new Error("no contact was leased");
  return first;
}

export const noDetails: CallDetails = {
  errorCode: "",
  failureReason: "",
  callDurationMs: null,
  providerCallId: "",
};

export type Report = { leaseId: string; outcome: ReportedOutcome; details?: CallDetails };

const withDetails = (reports: readonly Report[]) =>
  reports.map(({ leaseId, outcome, details = noDetails }) => ({ leaseId, outcome, details }));

export const report = async (parts: Parts, reports: readonly Report[]): Promise<Reported[]> =>
  (await parts.leasing.report(parts.caller, withDetails(reports))).results;

/** Reports, and asks for one contact in the same turn, unless the fields say otherwise. */
export const reportAndLease = (
  parts: Parts,
  reports: readonly Report[],
  fields: Partial<LeaseRequest> & { isLimited?: boolean } = {},
): Promise<{ results: Reported[]; leases: readonly Lease[] }> =>
  parts.leasing.report(parts.caller, withDetails(reports), {
    workerId: "worker-1",
    requestId: "",
    maxContacts: 1,
    durationMs: 120_000,
    jobIds: [],
    signal: new AbortController().signal,
    ...fields,
  });

/** Reports the same outcome for all of the leases. */
export const reportAll = (parts: Parts, leases: readonly Lease[], outcome: Outcome): Promise<Reported[]> =>
  report(
    parts,
    leases.map(({ leaseId }) => ({ leaseId, outcome })),
  );

export const release = (parts: Parts, leaseIds: readonly string[]): Promise<boolean[]> =>
  parts.recorder.release(parts.caller.organizationId, leaseIds);

/** Lets the time of these leases be over. */
export async function letRunOut(
  { db, caller }: Pick<Parts, "db" | "caller">,
  leaseIds: readonly string[],
): Promise<void> {
  await sql`
    update leases l set expires_at = clock_timestamp() - interval '1 second'
    from ${asRows(caller.organizationId, leaseIds.map(readLeaseId))}
    where l.organization_id = g.organization_id and l.job_id = g.job_id and l.number = g.number and l.nonce = g.nonce
  `.execute(db);
}

/** Lets the time of these leases be over, and the service end what is over. */
export async function runOut(parts: Parts, leases: readonly Lease[]): Promise<void> {
  await letRunOut(
    parts,
    leases.map(({ leaseId }) => leaseId),
  );
  await runExpiryPass(parts.db, parts.recorder);
}

/** Lets the time of every retry of a job come. */
export async function makeRetriesDue({ db }: Parts, jobId: string): Promise<void> {
  const past = sql<Date>`clock_timestamp() - interval '1 second'`;
  await sql`
    update retries set due_at = case when zone_set = 0 then ${past} else due_at end,
      zone_due_at = case when zone_set > 0 then ${past} end
    where job_id = ${jobId}
  `.execute(db);
  await db
    .updateTable("attempts")
    .set({ next_attempt_at: past })
    .where("job_id", "=", jobId)
    .where("next_attempt_at", "is not", null)
    .execute();
}

/** Asserts that these leases, and no others, are live in the caller's organization. */
export async function expectAllLive(
  { db, caller }: Parts,
  leases: readonly Pick<Lease, "leaseId">[],
): Promise<void> {
  const live = await db
    .selectFrom("leases as l")
    .innerJoin("batch_jobs as j", "j.id", "l.job_id")
    .select(["l.job_id as jobId", "l.number", "l.attempt", "l.nonce"])
    .where("j.organization_id", "=", caller.organizationId)
    .execute();
  const ids = leases.map(({ leaseId }) => leaseId);
  expect(live.map(writeLeaseId).toSorted()).toEqual(ids.toSorted());
}
