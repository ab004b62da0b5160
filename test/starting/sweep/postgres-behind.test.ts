import { pino } from "pino";
import { describe, expect, test } from "vitest";
import type { BatchJobRow } from "../../../src/postgres/schema/tables.ts";
import { createSweep } from "../../../src/starting/sweep.ts";
import { lease, reportAll } from "../../leasing/leases.ts";
import { eventually } from "../../support/eventually.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { lookAt, numbersTo } from "../../support/look.ts";
import { makeContacts, makeWholeJob, onJob } from "../../support/make.ts";
import { keyOf } from "../../support/make-many.ts";
import type { Parts } from "../../support/parts.ts";
import { expectQuiet, settle, sweep } from "./passes.ts";

/*
 * Postgres fails over to a standby that had not heard of the last commits, while Redis, which is written after each of
 * them, knows what they did. Here rows are put back to what they were.
 */

const freshParts = useFreshParts();

async function putBack({ db }: Parts, { id, ...row }: BatchJobRow): Promise<void> {
  await db.updateTable("batch_jobs").set(row).where("id", "=", id).execute();
  await db
    .deleteFrom("contact_blocks")
    .where("job_id", "=", id)
    .where("first_number", ">", row.total_contacts)
    .execute();
}

const lostCommits = async ({ metrics }: Parts): Promise<number | undefined> =>
  (await metrics.postgresBehindRedis.get()).values[0]?.value;

/** A running job to which two contacts were added, which Postgres has forgotten. */
async function makeAhead(parts: Parts): Promise<BatchJobRow> {
  await parts.schedule.markFilled();
  const job = await makeWholeJob(parts, { status: "running" });
  await parts.jobs.addContacts(onJob(parts, job.id), makeContacts(2, 100));
  await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(5)));
  await putBack(parts, job);
  return job;
}

describe("a list that is longer than Postgres knows", () => {
  test("stops no fan-out, and is started over by the sweep", async () => {
    await using parts = await freshParts();
    const job = await makeAhead(parts);
    await parts.fanOut.run(keyOf(job));
    expect((await parts.metrics.fanOutFailures.get()).values[0]?.value).toBe(0);
    expect(await sweep(parts, 1)).toEqual({ position_ahead: 1 });
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3));
    expect(await lostCommits(parts)).toBe(1);
    await expectQuiet(parts);
  });

  test("holds up no contact that is added later, under a number that was given before", async () => {
    await using parts = await freshParts();
    const job = await makeAhead(parts);
    await parts.jobs.addContacts(onJob(parts, job.id), makeContacts(4, 200));
    await settle(parts);
    await sweep(parts, 2);
    const list = (await lookAt(parts, job.id)).list.toSorted();
    expect([...new Set(list)]).toEqual(numbersTo(7));
  });
});

test("a run that Postgres has forgotten leaves no keys, and the next run has its whole list", async () => {
  await using parts = await freshParts();
  await parts.schedule.markFilled();
  const job = await makeWholeJob(parts, { status: "scheduled" });
  await parts.jobs.start(onJob(parts, job.id));
  await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3)));
  await putBack(parts, job);
  await eventually(async () => expect(await sweep(parts, 1)).toEqual({ keys_left: 1 }));
  expect(await lookAt(parts, job.id)).toMatchObject({ list: [], position: null });
  expect(await lostCommits(parts)).toBe(1);
  await expectQuiet(parts);

  await parts.jobs.start(onJob(parts, job.id));
  await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3)));
});

test("a pause and a resume that Postgres has forgotten: the list is started over, and is whole", async () => {
  await using parts = await freshParts();
  await parts.schedule.markFilled();
  const job = await makeWholeJob(parts, { status: "running" });
  await parts.jobs.pause(onJob(parts, job.id));
  await parts.jobs.resume(onJob(parts, job.id));
  await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3)));
  await parts.redis.ltrim(parts.keys.contacts(keyOf(job)), "1", "1");
  await putBack(parts, job);
  expect(await sweep(parts, 1)).toEqual({ position_ahead: 1 });
  expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3));
  await parts.jobs.pause(onJob(parts, job.id));
  expect(await lookAt(parts, job.id)).toMatchObject({ list: [], position: null });
});

test("that Postgres has lost commits is told once, as an error, and counted for each job", async () => {
  await using parts = await freshParts();
  const errors: string[] = [];
  const logger = pino({ level: "error" }, { write: (line) => void errors.push(line) });
  const telling = createSweep({ ...parts, logger });
  await makeAhead(parts);
  await makeAhead(parts);
  for (let passes = 0; passes < 3; passes += 1) await telling.pass();
  expect(errors).toEqual([expect.stringContaining("Postgres has lost commits")]);
  expect(await lostCommits(parts)).toBe(2);
});

test("nobody is told of lost commits where lists are worked as they should be", async () => {
  await using parts = await freshParts();
  await parts.schedule.markFilled();
  const job = await makeWholeJob(parts, { status: "running" });
  const leases = await lease(parts, { maxContacts: 3 });
  await parts.jobs.pause(onJob(parts, job.id));
  await parts.sweep.pass();
  await parts.jobs.resume(onJob(parts, job.id));
  await parts.sweep.pass();
  await reportAll(parts, leases, "completed");
  for (let passes = 0; passes < 3; passes += 1) await parts.sweep.pass();
  expect(await lostCommits(parts)).toBe(0);
});
