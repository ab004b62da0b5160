import { randomBytes } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { jobStatuses } from "../../src/domain/jobs/batch-job.ts";
import { lockJob } from "../../src/postgres/jobs/batch-jobs.ts";
import { purgeDeletedContacts } from "../../src/postgres/contacts/purging.ts";
import { deleteOldJobs } from "../../src/postgres/jobs/sweep.ts";
import { startSweep } from "../../src/starting/sweep.ts";
import { eventually } from "../support/eventually.ts";
import { claimRequest, purgeRequests } from "../../src/postgres/jobs/requests.ts";
import { useFreshParts } from "../support/fresh.ts";
import { lookAt } from "../support/look.ts";
import { makeContacts, makeJob, makeWholeJob, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";

const freshParts = useFreshParts();

/** A job that was deleted; each of its contacts is in a block of its own. */
async function makeDeleted(parts: Parts, contacts: number): Promise<string> {
  const { id } = await makeWholeJob(parts, { contacts: 0 });
  for (let i = 0; i < contacts; i += 1) await parts.jobs.addContacts(onJob(parts, id), makeContacts(1, i));
  await parts.jobs.delete(onJob(parts, id));
  return id;
}

const contactsOf = async (parts: Parts, jobId: string): Promise<number> =>
  (await lookAt(parts, jobId)).contacts.length;

const notes = ({ db }: Parts) => db.selectFrom("deleted_jobs").selectAll().execute();

/** Ids that were first used so many hours ago. */
async function makeRequests(parts: Parts, count: number, hoursAgo: number): Promise<void> {
  const { organizationId } = parts.caller;
  await sql`
    insert into requests (organization_id, rpc, request_id, fingerprint, created_at)
    select ${organizationId}, 'StartBatchJob', ${`${hoursAgo} `} || n, '\\x00',
      clock_timestamp() - ${`${hoursAgo} hours`}::interval
    from generate_series(1, ${count}::int) as n`.execute(parts.db);
}

const idsLeft = async ({ db }: Parts): Promise<string[]> =>
  (await db.selectFrom("requests").select("request_id").orderBy("request_id").execute()).map(
    (row) => row.request_id,
  );

async function endedAgo(parts: Parts, making: Parameters<typeof makeJob>[1], days: number): Promise<string> {
  const job = await makeJob(parts, making);
  await sql`update batch_jobs set finished_at = finished_at - make_interval(days => ${days}::int) where id = ${job.id}`.execute(
    parts.db,
  );
  return job.id;
}

const jobsLeft = async ({ db }: Parts) =>
  (await db.selectFrom("batch_jobs").select("id").execute()).map(({ id }) => id).toSorted();

describe("jobs that ended long ago", () => {
  test("are deleted, some at a time, and no others", async () => {
    await using parts = await freshParts();
    const kept = [
      ...(await Promise.all(jobStatuses.map(async (status) => (await makeJob(parts, { status })).id))),
      await endedAgo(parts, { status: "completed" }, 29),
      await endedAgo(parts, { status: "cancelled", dialing: 1 }, 31),
    ];
    const old = await Promise.all(
      (["completed", "failed", "cancelled"] as const).map((status) => endedAgo(parts, { status }, 31)),
    );
    expect(await deleteOldJobs(parts.db, parts.caller.organizationId, 30, 2)).toBe(2);
    expect(await deleteOldJobs(parts.db, parts.caller.organizationId, 30, 2)).toBe(1);
    expect(await deleteOldJobs(parts.db, parts.caller.organizationId, 30, 2)).toBe(0);
    expect(await jobsLeft(parts)).toEqual(kept.toSorted());
    while (await purgeDeletedContacts(parts.db, 10));
    expect(await Promise.all(old.map((id) => contactsOf(parts, id)))).toEqual([0, 0, 0]);
    const phones = await parts.db.selectFrom("contact_phones").select("job_id").distinct().execute();
    expect(phones.map((row) => row.job_id).toSorted()).toEqual(kept.toSorted());
  });

  test("are left alone while a command has them locked", async () => {
    await using parts = await freshParts();
    const id = await endedAgo(parts, { status: "completed" }, 2);
    await parts.db.transaction().execute(async (trx) => {
      await lockJob(trx, parts.caller.organizationId, id);
      expect(await deleteOldJobs(parts.db, parts.caller.organizationId, 1, 10)).toBe(0);
    });
    expect(await deleteOldJobs(parts.db, parts.caller.organizationId, 1, 10)).toBe(1);
  });

  test("are deleted by the sweep only where a retention is set", async () => {
    await using parts = await freshParts();
    const id = await endedAgo(parts, { status: "completed" }, 2);
    await using sweeps = new AsyncDisposableStack();
    sweeps.use(startSweep(parts));
    await eventually(async () => expect(await parts.schedule.isFilled()).toBe(true));
    expect(await jobsLeft(parts)).toEqual([id]);
    sweeps.use(startSweep({ ...parts, retentionDays: 1 }));
    await eventually(async () => expect(await contactsOf(parts, id)).toBe(0));
    expect(await jobsLeft(parts)).toEqual([]);
  });
});

describe("contacts of a deleted job", () => {
  for (const [contacts, left] of [
    [25, [15, 5, 0]],
    [20, [10, 0]],
    [1, [0]],
    [0, [0]],
  ] as const) {
    test(`${contacts} of them go ten at a time, from the last one on, and the note goes with the first`, async () => {
      await using parts = await freshParts();
      const bystander = await makeWholeJob(parts, { contacts: 3 });
      const jobId = await makeDeleted(parts, contacts);
      const seen: number[] = [];
      while (await purgeDeletedContacts(parts.db, 10)) seen.push(await contactsOf(parts, jobId));
      expect(seen).toEqual(left);
      expect(await notes(parts)).toEqual([]);
      expect(await contactsOf(parts, bystander.id)).toBe(3);
    });
  }

  test("of one job are removed by one replica at a time, and the other finds nothing to do", async () => {
    await using parts = await freshParts();
    await using other = await startParts({ beside: parts });
    const jobId = await makeDeleted(parts, 25);
    await parts.db.transaction().execute(async (trx) => {
      await trx.selectFrom("deleted_jobs").selectAll().forUpdate().execute();
      expect(await purgeDeletedContacts(other.db, 10)).toBe(false);
    });
    expect(await contactsOf(parts, jobId)).toBe(25);
  });

  test("of many jobs are all removed by two replicas at once", async () => {
    await using parts = await freshParts();
    await using other = await startParts({ beside: parts });
    const jobIds = await Promise.all(Array.from({ length: 8 }, () => makeDeleted(parts, 25)));
    const bystander = await makeWholeJob(parts, { contacts: 3 });
    const removeAll = async ({ db }: Parts) => {
      while ((await notes(parts)).length > 0) await purgeDeletedContacts(db, 10);
    };
    await Promise.all([removeAll(parts), removeAll(other)]);
    expect(await Promise.all(jobIds.map((jobId) => contactsOf(parts, jobId)))).toEqual(jobIds.map(() => 0));
    expect(await contactsOf(parts, bystander.id)).toBe(3);
  });
});

describe("request ids", () => {
  test("go in chunks when they are older than 24 hours, and no others do", async () => {
    await using parts = await freshParts();
    await makeRequests(parts, 25, 25);
    await makeRequests(parts, 2, 23);
    const removed: number[] = [];
    for (let times = 0; times < 4; times += 1)
      removed.push(await purgeRequests(parts.db, parts.caller.organizationId, 10));
    expect(removed).toEqual([10, 10, 5, 0]);
    expect(await idsLeft(parts)).toEqual(["23 1", "23 2"]);
  });

  test("go once each where two replicas remove them at the same time", async () => {
    await using parts = await freshParts();
    await using other = await startParts({ beside: parts });
    await makeRequests(parts, 400, 25);
    await makeRequests(parts, 1, 1);
    const removed = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        purgeRequests(i % 2 === 0 ? parts.db : other.db, parts.caller.organizationId, 30),
      ),
    );
    const rest = await purgeRequests(parts.db, parts.caller.organizationId, 1_000);
    expect(removed.reduce((sum, count) => sum + count) + rest).toBe(400);
    expect(await idsLeft(parts)).toEqual(["1 1"]);
  });

  test("that are just being used again stay", async () => {
    await using parts = await freshParts();
    await using other = await startParts({ beside: parts });
    await makeRequests(parts, 1, 25);
    await parts.db.transaction().execute(async (trx) => {
      const { organizationId } = parts.caller;
      const key = { organizationId, rpc: "StartBatchJob", requestId: "25 1", fingerprint: randomBytes(32) };
      expect(await claimRequest(trx, key)).toBeUndefined();
      expect(await purgeRequests(other.db, parts.caller.organizationId, 10)).toBe(0);
    });
    expect(await purgeRequests(other.db, parts.caller.organizationId, 10)).toBe(0);
    expect(await idsLeft(parts)).toEqual(["25 1"]);
  });
});
