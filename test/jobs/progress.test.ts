import { sql } from "kysely";
import { expect, test } from "vitest";
import { createEstimates, runProgressPass } from "../../src/jobs/progress.ts";
import { purgeDeletedContacts } from "../../src/postgres/contacts/purging.ts";
import { readProgress } from "../../src/postgres/jobs/progress.ts";
import { writeJobKey } from "../../src/domain/jobs/job-id.ts";
import { lease, reportAll, runJob } from "../leasing/leases.ts";
import { eventually } from "../support/eventually.ts";
import { always, moveOpening, openingOf } from "../support/hours.ts";
import { makeContacts, makeWholeJob, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { onTwoReplicasInNewOrganizations } from "../support/replicas.ts";
import { startTestService } from "../support/service.ts";

/* How far running jobs are, minute by minute, and when they end. */

let parts: Parts;
let there: Parts;
onTwoReplicasInNewOrganizations((here, beside) => {
  parts = here;
  there = beside;
});

const keyOf = (id: string) => ({ id, organizationId: parts.caller.organizationId });

async function pointsOf(id: string) {
  const noted = await readProgress(parts.db, [keyOf(id)]);
  return noted.get(writeJobKey(keyOf(id)))?.points ?? [];
}

/** As if what was noted had been noted a minute sooner. */
const letAMinutePass = (db: Parts["db"], id: string) =>
  sql`
  update progress set noted_at = array(select at - interval '1 minute' from unnest(noted_at) as at order by at)
  where job_id = ${id}`.execute(db);

const finals = async (id: string) => (await pointsOf(id)).map(({ final }) => final);

test("a running job's final contacts are noted once a minute, whoever looks", async () => {
  const id = await runJob(parts);
  await Promise.all([parts, there, parts, there].map(({ db }) => runProgressPass(db)));
  expect(await finals(id)).toEqual([0]);
  await reportAll(parts, await lease(parts, { maxContacts: 2 }), "completed");
  await letAMinutePass(parts.db, id);
  await Promise.all([parts, there, parts, there].map(({ db }) => runProgressPass(db)));
  expect(await finals(id)).toEqual([0, 2]);
});

test("ten minutes are kept, and the point at which they begin", async () => {
  const id = await runJob(parts);
  for (let minute = 0; minute < 13; minute += 1) {
    await runProgressPass(parts.db);
    await letAMinutePass(parts.db, id);
  }
  const points = await pointsOf(id);
  expect(points).toHaveLength(11);
  expect(points.map(({ atMs }) => atMs)).toEqual(points.map(({ atMs }) => atMs).toSorted((a, b) => a - b));
});

test("nothing is noted of a job that does not run, or whose hours are closed", async () => {
  const { id: paused } = await makeWholeJob(parts, { status: "paused" });
  const closed = await runJob(parts, { callingHours: always });
  await eventually(async () => expect((await openingOf(parts, closed)).next_look_at).not.toBeNull());
  await moveOpening(parts, closed, { fromMs: -7_200_000, untilMs: -3_600_000 });
  await runProgressPass(parts.db);
  expect(await pointsOf(paused)).toEqual([]);
  expect(await pointsOf(closed)).toEqual([]);
  await moveOpening(parts, closed, { fromMs: -3_600_000, untilMs: 3_600_000 });
  await runProgressPass(parts.db);
  expect(await finals(closed)).toEqual([0]);
});

test("what was noted goes with its job", async () => {
  const id = await runJob(parts);
  await runProgressPass(parts.db);
  await parts.jobs.cancel(onJob(parts, id));
  await parts.jobs.delete(onJob(parts, id));
  while (await purgeDeletedContacts(parts.db, 1_000));
  const left = await parts.db.selectFrom("progress").select("job_id").where("job_id", "=", id).execute();
  expect(left).toEqual([]);
});

test("the end of a running job is estimated, and that of no other", async () => {
  const id = await runJob(parts, { contacts: makeContacts(10), concurrentCallLimit: 10 });
  const estimate = createEstimates(parts.reads);
  const estimated = async () => await estimate(await parts.jobs.get(parts.caller, id), undefined);
  await runProgressPass(parts.db);
  expect(await estimated()).toBeUndefined();
  await reportAll(parts, await lease(parts, { maxContacts: 4 }), "completed");
  await letAMinutePass(parts.db, id);
  // Four in a minute, and six to go: a minute and a half, and what this test takes.
  const leftMs = ((await estimated())?.getTime() ?? 0) - parts.clock.now();
  expect(leftMs).toBeGreaterThan(89_000);
  expect(leftMs).toBeLessThan(200_000);
  await parts.jobs.pause(onJob(parts, id));
  expect(await estimated()).toBeUndefined();
});

test("the end is estimated no later than the job ends", async () => {
  const endAt = new Date(Date.now() + 65_000);
  const id = await runJob(parts, { contacts: makeContacts(10), concurrentCallLimit: 10, endAt });
  await runProgressPass(parts.db);
  await reportAll(parts, await lease(parts, { maxContacts: 1 }), "completed");
  await letAMinutePass(parts.db, id);
  const estimate = createEstimates(parts.reads);
  expect(await estimate(await parts.jobs.get(parts.caller, id), undefined)).toEqual(endAt);
});

test("GetBatchJob tells it", async () => {
  await using service = await startTestService();
  const { db } = service;
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "A job",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(3),
  });
  await client.startBatchJob({ batchJobId });
  expect((await client.getBatchJob({ batchJobId })).batchJob?.estimatedFinishAt).toBeUndefined();
  await runProgressPass(db);
  await letAMinutePass(db, batchJobId);
  // As if one of the contacts had become final since.
  await db
    .updateTable("batch_jobs")
    .set({ pending_contacts: 2, completed_contacts: 1 })
    .where("id", "=", batchJobId)
    .execute();
  const { batchJob } = await client.getBatchJob({ batchJobId });
  expect(Number(batchJob?.estimatedFinishAt?.seconds)).toBeGreaterThan(Date.now() / 1_000 + 60);
});
