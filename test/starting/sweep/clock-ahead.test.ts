import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { lookAt, numbersTo } from "../../support/look.ts";
import { makeContacts, makeJob, makeWholeJob, onJob } from "../../support/make.ts";
import { keyOf } from "../../support/make-many.ts";
import type { Parts } from "../../support/parts.ts";
import { sweep } from "./passes.ts";

const freshParts = useFreshParts();

/** As if the database's clock had been an hour ahead when the last commands on all jobs were given. */
async function writtenAnHourAhead({ db }: Parts): Promise<void> {
  const ahead = sql<Date>`clock_timestamp() + interval '1 hour'`;
  await db.updateTable("batch_jobs").set({ updated_at: ahead }).execute();
  await db.updateTable("batch_jobs").set({ started_at: ahead }).where("status", "=", "running").execute();
}

describe("times that were stored while the database's clock was ahead keep nothing from being put right:", () => {
  test("a running job whose list was lost", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeJob(parts, { status: "running" });
    await writtenAnHourAhead(parts);
    // At first it may be a command that has just begun.
    expect(await sweep(parts, 2)).toEqual({});
    await eventually(async () => expect(await sweep(parts, 1)).toEqual({ position_lost: 1 }));
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3));
  });

  test("a fan-out that stands still", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeJob(parts, { status: "running" });
    await parts.contactList.create(keyOf(job), job.revision);
    await writtenAnHourAhead(parts);
    await eventually(async () => expect(await sweep(parts, 1)).toEqual({ fan_out_stopped: 1 }));
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3));
  });

  test("a scheduled job whose entry was lost", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeJob(parts, { status: "scheduled", dueInMs: 50_000 });
    await writtenAnHourAhead(parts);
    expect(await sweep(parts, 2)).toEqual({});
    await eventually(async () => expect(await sweep(parts, 1)).toEqual({ entry_missing: 1 }));
    expect((await lookAt(parts, job.id)).entry).toBe(String(job.scheduled_at?.getTime()));
  });

  test("numbers that a replica took and died with", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, { status: "running" });
    const hourAheadMs = parts.clock.now() + 3_600_000;
    await parts.reservations.take([{ list: { ...keyOf(job), zoneSet: 0 }, count: 2 }], hourAheadMs);
    expect((await lookAt(parts, job.id)).list).toEqual(["3"]);
    expect(await sweep(parts, 1)).toEqual({ reservation_lost: 2 });
    expect((await lookAt(parts, job.id)).list.toSorted()).toEqual(numbersTo(3));
  });
});

test("a lost list is made again while commands on its job go on and on", async () => {
  await using parts = await freshParts();
  await parts.schedule.markFilled();
  const job = await makeJob(parts, { status: "running" });
  let added = 3;
  await eventually(async () => {
    await parts.jobs.addContacts(onJob(parts, job.id), makeContacts(1, 100 + added));
    added += 1;
    expect(await sweep(parts, 1)).toEqual({ position_lost: 1 });
  });
  await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(added)));
});
