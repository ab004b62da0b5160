import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { lookAt } from "../support/look.ts";
import { entryIdOf } from "../support/make-many.ts";
import { makeWholeJob, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { rowOf } from "../support/rows.ts";

/* A start that comes too late is not made. */

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

/** A job whose time has long passed, as if everything had been down, and that is to start within a minute of it. */
async function overdue(ms: number, contacts = 3): Promise<string> {
  const { id } = await makeWholeJob(parts, { status: "scheduled", contacts });
  await parts.db
    .updateTable("batch_jobs")
    .set({
      start_within_ms: 60_000,
      scheduled_at: sql<Date>`clock_timestamp() - ${ms} * interval '1 millisecond'`,
    })
    .where("id", "=", id)
    .execute();
  return id;
}

const start = async (id: string) => await parts.startDue([entryIdOf(rowOf(await lookAt(parts, id)))]);

test("a job whose time is longer past than it allows fails, and calls nobody", async () => {
  const id = await overdue(61_000);
  const entry = entryIdOf(rowOf(await lookAt(parts, id)));
  expect(await start(id)).toEqual({ done: [entry], later: [], locked: [], started: [] });
  expect(await lookAt(parts, id)).toMatchObject({
    row: {
      status: "failed",
      failure_reason: "start_missed",
      started_at: null,
      finished_at: expect.any(Date),
    },
    list: [],
    position: null,
  });
});

test("one whose time is not so long past starts", async () => {
  const id = await overdue(30_000);
  expect((await start(id)).started).toMatchObject([{ key: { id } }]);
  expect(rowOf(await lookAt(parts, id))).toMatchObject({ status: "running", failure_reason: null });
});

test("one without contacts fails for the time that it has missed", async () => {
  const id = await overdue(61_000, 0);
  await start(id);
  expect(rowOf(await lookAt(parts, id))).toMatchObject({ failure_reason: "start_missed" });
});

test("a command starts one that has missed its time, if it comes first", async () => {
  const id = await overdue(61_000);
  await parts.jobs.start(onJob(parts, id));
  expect(rowOf(await lookAt(parts, id))).toMatchObject({ status: "running" });
});

test("a change holds for a start that has not been made yet", async () => {
  const id = await overdue(61_000);
  await parts.jobs.update(onJob(parts, id), { startWithinMs: 3_600_000 });
  expect((await start(id)).started).toMatchObject([{ key: { id } }]);
});
