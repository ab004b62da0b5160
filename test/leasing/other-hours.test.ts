import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import type { CallingHours } from "../../src/domain/time/hours.ts";
import { beforeAllJobs } from "../../src/domain/jobs/job-id.ts";
import { runResumePass } from "../../src/jobs/commands/resuming.ts";
import { openLeases } from "../../src/postgres/leasing/leases.ts";
import { lockOrganization } from "../../src/postgres/jobs/locks.ts";
import { telling } from "../../src/postgres/events/events.ts";
import { updateOrganization } from "../../src/postgres/organizations.ts";
import { always, notNow, openingOf } from "../support/hours.ts";
import { eventually } from "../support/eventually.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { forNewOrganization, inNewOrganizations } from "../support/replicas.ts";
import { lease, runJob } from "./leases.ts";

/*
 * Hours that change while jobs run: those of a job, and those of an organization, beyond which none of its jobs calls.
 */

let parts: Parts;
inNewOrganizations((own) => (parts = own));

/** Gives the organization these hours, and has no job reckoned. */
async function setFloor(callingHours: CallingHours | null): Promise<void> {
  const { organizationId } = parts.caller;
  await parts.db.transaction().execute(async (trx) => {
    await lockOrganization(trx, organizationId);
    const by = { actor: "command_line", requestId: "" } as const;
    await telling(trx, organizationId, (tell) =>
      updateOrganization(trx, organizationId, { callingHours }, by, tell),
    );
  });
}

const moveFloor = async (callingHours: CallingHours | null): Promise<void> => {
  await setFloor(callingHours);
  await parts.openings.moveFloor(parts.caller.organizationId);
};

const manyContacts = { contacts: makeContacts(50), concurrentCallLimit: 50 };

/** Pauses a job, and lets the time come at which it goes on by itself. */
async function pauseUntilNow(jobId: string): Promise<void> {
  await parts.jobs.pauseUntil(onJob(parts, jobId), new Date(Date.now() + 3_600_000));
  await parts.db
    .updateTable("batch_jobs")
    .set({ resume_at: sql<Date>`clock_timestamp() - interval '1 second'` })
    .where("id", "=", jobId)
    .execute();
}

describe("hours of an organization", () => {
  test("are reckoned for a job that was paused meanwhile, and goes on by itself", async () => {
    const jobId = await runJob(parts, manyContacts);
    await pauseUntilNow(jobId);
    await moveFloor(always);
    await runResumePass(parts);
    await eventually(async () => expect(await lease(parts)).toHaveLength(1));
  });

  test("hold for a running job without hours from the answer on", async () => {
    await runJob(parts, manyContacts);
    expect(await lease(parts)).toHaveLength(1);
    await setFloor(always);
    expect(await lease(parts)).toEqual([]);
    await parts.openings.moveFloor(parts.caller.organizationId);
    const [given] = await lease(parts);
    expect(given?.callBefore).toBeInstanceOf(Date);
    await moveFloor(notNow());
    expect(await lease(parts)).toEqual([]);
    await moveFloor(null);
    expect(await lease(parts)).toMatchObject([{ callBefore: null }]);
  });

  test("give nothing of what was reserved before they changed", async () => {
    await runJob(parts);
    const { organizationId } = parts.caller;
    const demand = { workerId: "worker-1", requestId: "", ticket: 0, maxContacts: 3, durationMs: 60_000 };
    const choice = { onlyJobIds: [], afterJobId: beforeAllJobs, ending: new Map() };
    const { offers, takersOf } = await parts.round.prepare(organizationId, [demand], choice);
    await setFloor(always);
    const opened = await openLeases(parts.db, organizationId, offers, takersOf([demand]));
    expect(opened).toEqual({ leases: [[]], left: [[1, 2, 3]], repeated: [], suppressed: [] });
  });

  test("are not widened by those of a job, nor do they widen them", async () => {
    await runJob(parts, { ...manyContacts, callingHours: always });
    await eventually(async () => expect(await lease(parts)).toHaveLength(1));
    await moveFloor(notNow());
    expect(await lease(parts)).toEqual([]);
    parts = await forNewOrganization(parts);
    await moveFloor(always);
    await runJob(parts, { callingHours: notNow() });
    await parts.sweep.pass();
    expect(await lease(parts)).toEqual([]);
  });

  test("hold for a job that starts later, whenever it was created", async () => {
    const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob());
    await moveFloor(always);
    await parts.jobs.start(onJob(parts, batchJobId));
    await eventually(async () =>
      expect(await lease(parts)).toMatchObject([{ callBefore: expect.any(Date) }]),
    );
    await moveFloor(notNow());
    const later = await runJob(parts);
    await parts.sweep.pass();
    // The fan-out may have had the job locked, which is waited for aside.
    await eventually(async () =>
      expect((await openingOf(parts, later)).open_from?.getTime()).toBeGreaterThan(Date.now()),
    );
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
  });

  test("are reckoned by the sweep where nobody else has done so, and not again", async () => {
    const jobId = await runJob(parts, manyContacts);
    await setFloor(always);
    await parts.sweep.pass();
    await eventually(async () => expect(await lease(parts)).toHaveLength(1));
    const reckoned = await openingOf(parts, jobId);
    await parts.sweep.pass();
    expect(await openingOf(parts, jobId)).toEqual(reckoned);
  });

  test("are those of one organization alone", async () => {
    const job = await runJob(await forNewOrganization(parts));
    await moveFloor(notNow());
    const untouched = await parts.db
      .selectFrom("batch_jobs")
      .select("zone_sets")
      .where("id", "=", job)
      .executeTakeFirstOrThrow();
    expect(untouched).toEqual({ zone_sets: 0 });
  });
});

const update = (jobId: string, callingHours: CallingHours | null) =>
  parts.jobs.update(onJob(parts, jobId), { callingHours });

describe("other hours of a job", () => {
  test("hold from the answer on while it runs", async () => {
    const jobId = await runJob(parts, manyContacts);
    await update(jobId, notNow());
    expect(await lease(parts)).toEqual([]);
    await update(jobId, always);
    expect(await lease(parts)).toMatchObject([{ callBefore: expect.any(Date) }]);
    await update(jobId, null);
    expect(await lease(parts)).toMatchObject([{ callBefore: null }]);
    expect(await parts.jobs.callingHours(await parts.jobs.get(parts.caller, jobId))).toBeUndefined();
  });

  test("give those who wait their contacts", async () => {
    const jobId = await runJob(parts, { callingHours: notNow() });
    const waiting = lease(parts, { waitMs: 30_000 });
    await update(jobId, always);
    expect(await waiting).toHaveLength(1);
  });

  test("are kept of a job that does not run yet, and are recorded", async () => {
    const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob());
    const hours = notNow();
    await update(batchJobId, hours);
    expect((await openingOf(parts, batchJobId)).next_look_at).toBeNull();
    expect(await parts.jobs.callingHours(await parts.jobs.get(parts.caller, batchJobId))).toEqual(hours);
    const { data } = await parts.db
      .selectFrom("events")
      .select("data")
      .where("batch_job_id", "=", batchJobId)
      .where("type", "=", "batch_job.updated")
      .executeTakeFirstOrThrow();
    expect(data).toEqual({
      changed: ["callingHours"],
      before: { callingHours: null },
      after: { callingHours: hours },
    });
  });

  test("are left as they are where others are changed", async () => {
    const jobId = await runJob(parts, { callingHours: notNow() });
    await parts.jobs.update(onJob(parts, jobId), { concurrentCallLimit: 9 });
    expect(await parts.jobs.callingHours(await parts.jobs.get(parts.caller, jobId))).toEqual(notNow());
    expect(await lease(parts)).toEqual([]);
  });
});
