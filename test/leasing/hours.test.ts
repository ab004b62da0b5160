import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createLeasing } from "../../src/leasing/leasing.ts";
import { openLeases } from "../../src/postgres/leasing/leases.ts";
import { createLeaseRound } from "../../src/leasing/lease-round.ts";
import { purgeDeletedContacts } from "../../src/postgres/contacts/purging.ts";
import { runSchedulerPass } from "../../src/starting/scheduler.ts";
import { type NewJob, createBatchJobs } from "../../src/jobs/batch-jobs.ts";
import { always, moveOpening, notNow, openingOf } from "../support/hours.ts";
import { eventually } from "../support/eventually.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { inNewOrganizations } from "../support/replicas.ts";
import {
  lease,
  leaseOne,
  makeRetriesDue,
  release,
  report,
  reportAll,
  reportAndLease,
  runJob,
} from "./leases.ts";

let parts: Parts;
inNewOrganizations((own) => (parts = own));

/** A job that runs, as it is once its replica has reckoned its hours. */
async function runWithHours(fields: Partial<NewJob> = {}): Promise<string> {
  const jobId = await runJob(parts, { callingHours: always, ...fields });
  await eventually(async () => expect((await openingOf(parts, jobId)).next_look_at).not.toBeNull());
  return jobId;
}

const statusOf = async (jobId: string, number = 1) =>
  (await parts.jobs.getContact(parts.caller, jobId, number)).contact;

const hour = 3_600_000;

describe("within its hours a job", () => {
  test("gives its contacts, each with the end of the hours", async () => {
    const jobId = await runWithHours();
    await moveOpening(parts, jobId, { fromMs: -hour, untilMs: hour });
    const { call_before: callBefore } = await openingOf(parts, jobId);
    const leases = await lease(parts, { maxContacts: 10 });
    expect(leases.map((given) => [given.number, given.callBefore])).toEqual([
      [1, callBefore],
      [2, callBefore],
      [3, callBefore],
    ]);
  });

  test("gives a repeat of the call the same end of the hours", async () => {
    const jobId = await runWithHours();
    const requestId = randomUUID();
    const first = await leaseOne(parts, { requestId });
    await moveOpening(parts, jobId, { fromMs: hour, untilMs: 2 * hour });
    const again = await leaseOne(parts, { requestId });
    expect(again).toEqual({
      ...first,
      leaseId: again.leaseId,
      nonce: again.nonce,
      expiresAt: again.expiresAt,
    });
    expect(again.leaseId).not.toBe(first.leaseId);
    expect(again.callBefore).toBeInstanceOf(Date);
  });

  test("gives contacts without an end where there are no hours", async () => {
    await runJob(parts);
    expect((await leaseOne(parts)).callBefore).toBeNull();
  });
});

describe("outside its hours a job", () => {
  test("gives nothing, and its contacts stay as they were", async () => {
    const jobId = await runWithHours({ callingHours: notNow() });
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    expect(await statusOf(jobId)).toMatchObject({ status: "pending", attempts: 0 });
  });

  test("gives nothing once they are over, whether or not the next ones are reckoned", async () => {
    const jobId = await runWithHours();
    await moveOpening(parts, jobId, { fromMs: -hour, untilMs: 0 });
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
  });

  test("keeps none from the other jobs of its organization", async () => {
    await runWithHours({ callingHours: notNow() });
    const other = await runJob(parts);
    const leases = await lease(parts, { maxContacts: 10 });
    expect(new Set(leases.map(({ jobId }) => jobId))).toEqual(new Set([other]));
    expect(leases).toHaveLength(3);
  });

  test("gives nothing of what was reserved while it was open, and keeps it on its list", async () => {
    const jobId = await runWithHours();
    const { organizationId } = parts.caller;
    const demand = { workerId: "worker-1", requestId: "", ticket: 0, maxContacts: 3, durationMs: 60_000 };
    const choice = { onlyJobIds: [], afterJobId: "00000000-0000-0000-0000-000000000000", ending: new Map() };
    const prepared = await parts.round.prepare(organizationId, [demand], choice);
    await moveOpening(parts, jobId, { fromMs: -hour, untilMs: 0 });
    const opened = await openLeases(parts.db, organizationId, prepared.offers, prepared.takersOf([demand]));
    expect(opened).toEqual({ leases: [[]], left: [[1, 2, 3]], repeated: [], suppressed: [] });
    prepared.conclude(opened);
    await eventually(async () =>
      expect(await parts.redis.lrange(parts.keys.contacts({ id: jobId, organizationId }), 0, -1)).toEqual([
        "1",
        "2",
        "3",
      ]),
    );
  });

  test("lets calls in progress end, and what they end with waits for its hours", async () => {
    const jobId = await runWithHours();
    const given = await leaseOne(parts);
    await moveOpening(parts, jobId, { fromMs: hour, untilMs: 2 * hour });
    const { results, leases } = await reportAndLease(parts, [{ leaseId: given.leaseId, outcome: "busy" }]);
    expect(results).toMatchObject([{ kind: "recorded", contactStatus: "waiting_retry" }]);
    expect(leases).toEqual([]);
    await makeRetriesDue(parts, jobId);
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    await moveOpening(parts, jobId, { fromMs: -1, untilMs: hour });
    const again = await lease(parts, { maxContacts: 10 });
    expect(again.map(({ number, attempt }) => [number, attempt])).toEqual([
      [1, 2],
      [2, 1],
      [3, 1],
    ]);
  });

  test("asks nothing of Redis for those who wait", async () => {
    const jobId = await runWithHours({ callingHours: notNow() });
    let taken = 0;
    const reservations = {
      ...parts.reservations,
      take: (...given: Parameters<Parts["reservations"]["take"]>) => {
        taken += given[0].length;
        return parts.reservations.take(...given);
      },
    };
    await using round = createLeaseRound({ ...parts, reservations });
    await using leasing = createLeasing({ ...parts, round, longestSleepMs: 20 });
    expect(await lease({ ...parts, leasing }, { waitMs: 300 })).toEqual([]);
    expect(taken).toBe(0);
    await moveOpening(parts, jobId, { fromMs: -1, untilMs: hour });
    expect(await lease({ ...parts, leasing })).toHaveLength(1);
    expect(taken).toBe(1);
  });
});

describe("when its hours begin", () => {
  test("those who wait have their contacts then, and none before", async () => {
    const jobId = await runWithHours({ callingHours: notNow() });
    const { from } = await moveOpening(parts, jobId, { fromMs: 400, untilMs: hour });
    // It looks again by itself after an hour at the earliest.
    await using leasing = createLeasing({ ...parts, longestSleepMs: 2 * hour });
    const [given] = await lease({ ...parts, leasing }, { waitMs: 30_000 });
    expect(given).toMatchObject({ jobId, number: 1 });
    const { attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    const leasedAt = attempts[0]?.leasedAt ?? new Date(0);
    expect(leasedAt.getTime()).toBeGreaterThanOrEqual(from.getTime());
    expect(leasedAt.getTime() - from.getTime()).toBeLessThan(5_000);
  });

  test("a retry that came due before is given then, and wakes nobody before", async () => {
    const jobId = await runWithHours({ contacts: makeContacts(1), retryDelaysMs: [0] });
    await reportAll(parts, [await leaseOne(parts)], "busy");
    const { from } = await moveOpening(parts, jobId, { fromMs: 400, untilMs: hour });
    await using leasing = createLeasing({ ...parts, longestSleepMs: 2 * hour });
    const [given] = await lease({ ...parts, leasing }, { waitMs: 30_000 });
    expect(given).toMatchObject({ attempt: 2 });
    expect((await parts.clock.now()) >= from.getTime()).toBe(true);
  });
});

describe("the hours of a job", () => {
  test("are reckoned when it is started, in its own time zone", async () => {
    const { batchJobId } = await parts.jobs.create(
      onJob(parts, ""),
      aNewJob({ callingHours: notNow(), timeZone: "America/New_York" }),
    );
    expect(await openingOf(parts, batchJobId)).toEqual({
      open_from: null,
      open_until: null,
      call_before: null,
      next_look_at: null,
    });
    await parts.jobs.start(onJob(parts, batchJobId));
    await eventually(async () => {
      const { open_from: from, open_until: until, call_before: before } = await openingOf(parts, batchJobId);
      expect(until).toEqual(before);
      const local = new Intl.DateTimeFormat("en-GB", { timeZone: "America/New_York", timeStyle: "short" });
      expect([from, until].map((at) => local.format(at ?? undefined))).toEqual(["10:00", "12:00"]);
    });
  });

  test("are reckoned when its time comes", async () => {
    const start = new Date(Date.now() + hour).toISOString();
    const { batchJobId } = await parts.jobs.create(
      onJob(parts, ""),
      aNewJob({ callingHours: always, requestedStartTime: start }),
    );
    const { scheduled_job_id: scheduledJobId } = await parts.db
      .updateTable("batch_jobs")
      .set({ scheduled_at: new Date(Date.now() - 60_000) })
      .where("id", "=", batchJobId)
      .returning("scheduled_job_id")
      .executeTakeFirstOrThrow();
    await parts.schedule.add({
      scheduledJobId: scheduledJobId ?? "",
      scheduledStartTimeMs: Date.now() - 60_000,
    });
    await runSchedulerPass(parts);
    await eventually(async () => expect(await lease(parts)).toHaveLength(1));
  });

  test("are reckoned anew once they are over, and not while the job does not run", async () => {
    const running = await runWithHours();
    const paused = await runWithHours();
    await parts.jobs.pause(onJob(parts, paused));
    for (const id of [running, paused]) await moveOpening(parts, id, { fromMs: -hour, untilMs: 0 });
    await parts.openings.pass();
    expect((await openingOf(parts, running)).open_until?.getTime()).toBeGreaterThan(Date.now());
    expect((await openingOf(parts, paused)).next_look_at).toBeNull();
    expect(await lease(parts, { maxContacts: 10 })).toHaveLength(3);
    await parts.jobs.resume(onJob(parts, paused));
    await eventually(async () => expect(await lease(parts, { maxContacts: 10 })).toHaveLength(3));
  });

  test("are left alone while somebody else has the job", async () => {
    const jobId = await runWithHours();
    const { until } = await moveOpening(parts, jobId, { fromMs: -hour, untilMs: 0 });
    await parts.db.transaction().execute(async (trx) => {
      await trx.selectFrom("batch_jobs").select("id").where("id", "=", jobId).forUpdate().execute();
      await parts.openings.pass();
      expect((await openingOf(parts, jobId)).open_until).toEqual(until);
    });
    await parts.openings.pass();
    expect((await openingOf(parts, jobId)).open_until).not.toEqual(until);
  });

  test("are reckoned though another job that comes to run with it is held", async () => {
    const openings = { wake: async () => {} };
    const asleep = createBatchJobs({ ...parts, openings });
    const ids: string[] = [];
    for (let i = 0; i < 2; i += 1) {
      const { batchJobId } = await asleep.create(onJob(parts, ""), aNewJob({ callingHours: always }));
      await asleep.start(onJob(parts, batchJobId));
      ids.push(batchJobId);
    }
    const [held = "", free = ""] = ids.toSorted();
    const { organizationId } = parts.caller;
    await parts.db.transaction().execute(async (trx) => {
      await trx.selectFrom("batch_jobs").select("id").where("id", "=", held).forUpdate().execute();
      await parts.openings.wake(ids.map((id) => ({ key: { id, organizationId }, zoneSets: 1 })));
      expect((await openingOf(parts, free)).next_look_at).not.toBeNull();
      expect((await openingOf(parts, held)).next_look_at).toBeNull();
    });
    await eventually(async () => expect((await openingOf(parts, held)).next_look_at).not.toBeNull());
  });

  test("are reckoned by the sweep where the replica died that should have", async () => {
    const openings = { wake: async () => {} };
    const dying = createBatchJobs({ ...parts, openings });
    const { batchJobId } = await dying.create(onJob(parts, ""), aNewJob({ callingHours: always }));
    await dying.start(onJob(parts, batchJobId));
    expect(await lease(parts)).toEqual([]);
    await parts.sweep.pass();
    // The fan-out may have had the job locked, which is waited for aside.
    await eventually(async () => expect(await lease(parts)).toHaveLength(1));
  });

  test("go with the job that is deleted", async () => {
    const jobId = await runWithHours();
    await parts.jobs.cancel(onJob(parts, jobId));
    await parts.jobs.delete(onJob(parts, jobId));
    while (await purgeDeletedContacts(parts.db, 1_000));
    const left = await parts.db.selectFrom("zone_sets").selectAll().where("job_id", "=", jobId).execute();
    expect(left).toEqual([]);
  });

  test("hold over three replicas and a lost Redis", async () => {
    const jobId = await runWithHours({ contacts: makeContacts(2_000), concurrentCallLimit: 1_000 });
    await parts.db
      .updateTable("batch_jobs")
      .set({ updated_at: new Date(Date.now() - hour) })
      .where("id", "=", jobId)
      .execute();
    const key = { id: jobId, organizationId: parts.caller.organizationId };
    await parts.redis.del(parts.keys.position(key), parts.keys.contacts(key), parts.keys.reserved(key));
    const { from, until } = await moveOpening(parts, jobId, { fromMs: 1_000, untilMs: 2_500 });
    await parts.sweep.pass();
    await using stack = new AsyncDisposableStack();
    const replicas = Array.from({ length: 3 }, () => stack.use(createLeasing({ ...parts })));
    await Promise.all(
      replicas.map(async (leasing) => {
        while (parts.clock.now() < until.getTime() + 500) {
          await lease({ ...parts, leasing }, { waitMs: 250 });
        }
      }),
    );
    const leased = await parts.db
      .selectFrom("leases")
      .select("leased_at")
      .where("job_id", "=", jobId)
      .execute();
    expect(leased.filter(({ leased_at: at }) => at < from || at >= until)).toEqual([]);
    expect(leased.length).toBeGreaterThan(0);
  });
});

describe("a contact that was not dialed", () => {
  test("goes back without an attempt, and is given again", async () => {
    const jobId = await runWithHours({ contacts: makeContacts(1) });
    const given = await leaseOne(parts);
    const results = await report(parts, [{ leaseId: given.leaseId, outcome: "not_dialed" }]);
    expect(results).toEqual([
      { kind: "recorded", outcome: "not_dialed", contactStatus: "pending", nextAttemptAt: null },
    ]);
    expect(await statusOf(jobId)).toMatchObject({ status: "pending", attempts: 0, lastOutcome: null });
    await eventually(async () => expect(await leaseOne(parts)).toMatchObject({ number: 1, attempt: 1 }));
    expect(await report(parts, [{ leaseId: given.leaseId, outcome: "not_dialed" }])).toEqual([
      { kind: "gone" },
    ]);
  });

  test("waits for its retry again, at the time that it had", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    await reportAll(parts, [await leaseOne(parts)], "busy");
    await makeRetriesDue(parts, jobId);
    const { nextAttemptAt } = await statusOf(jobId);
    const given = await leaseOne(parts);
    expect(await report(parts, [{ leaseId: given.leaseId, outcome: "not_dialed" }])).toEqual([
      { kind: "recorded", outcome: "not_dialed", contactStatus: "waiting_retry", nextAttemptAt },
    ]);
    expect(await statusOf(jobId)).toMatchObject({
      status: "waiting_retry",
      attempts: 1,
      lastOutcome: "busy",
    });
  });

  test("is told beside calls that were placed, each by itself, and leases the next", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(4) });
    const given = await lease(parts, { maxContacts: 3 });
    const [first = "", second = "", third = ""] = given.map(({ leaseId }) => leaseId);
    await release(parts, [third]);
    const { results, leases } = await reportAndLease(parts, [
      { leaseId: first, outcome: "not_dialed" },
      { leaseId: second, outcome: "completed" },
      { leaseId: third, outcome: "not_dialed" },
      { leaseId: first, outcome: "not_dialed" },
      { leaseId: second, outcome: "not_dialed" },
    ]);
    expect(results.map((result) => [result.kind, "outcome" in result && result.contactStatus])).toEqual([
      ["recorded", "pending"],
      ["recorded", "completed"],
      ["gone", false],
      ["gone", false],
      ["gone", false],
    ]);
    expect(leases).toHaveLength(1);
    expect(await statusOf(jobId, 2)).toMatchObject({ status: "completed" });
  });

  test("is cancelled with its job", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    const given = await leaseOne(parts);
    await parts.jobs.cancel(onJob(parts, jobId));
    expect(await report(parts, [{ leaseId: given.leaseId, outcome: "not_dialed" }])).toEqual([
      { kind: "recorded", outcome: "not_dialed", contactStatus: "cancelled", nextAttemptAt: null },
    ]);
  });
});
