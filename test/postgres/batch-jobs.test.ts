import { expect, test } from "vitest";
import { startDueJobs } from "../../src/postgres/jobs/batch-jobs.ts";
import { useFreshParts } from "../support/fresh.ts";
import { lookAt } from "../support/look.ts";
import { makeJob } from "../support/make.ts";
import { entryIdOf } from "../support/make-many.ts";

const freshParts = useFreshParts();

test("the entries given start their jobs, and no other job that is due", async () => {
  await using parts = await freshParts();
  const given = await makeJob(parts, { status: "scheduled", dueInMs: -1 });
  const other = await makeJob(parts, { status: "scheduled", dueInMs: -1 });
  const started = await startDueJobs(parts.db, [entryIdOf(given)]);
  expect(started.map((job) => job.id)).toEqual([given.id]);
  expect((await lookAt(parts, other.id)).row).toEqual(other);
});

test("an entry whose time has not come starts nothing, and holds up no other", async () => {
  await using parts = await freshParts();
  const early = await makeJob(parts, { status: "scheduled", dueInMs: 60_000 });
  const due = await makeJob(parts, { status: "scheduled", dueInMs: -1 });
  const started = await startDueJobs(parts.db, [entryIdOf(early), entryIdOf(due)]);
  expect(started.map((job) => job.id)).toEqual([due.id]);
  expect((await lookAt(parts, early.id)).row).toEqual(early);
});
