import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Caller } from "../../src/domain/caller.ts";
import { deleteOldJobs } from "../../src/postgres/jobs/sweep.ts";
import { aNewJob, makeContacts, makeJob, onJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

/** An organization that may have so many contacts. */
async function anOrganization(limit: number | null) {
  const caller = await makeCaller(parts);
  await parts.db
    .updateTable("organizations")
    .set({ stored_contact_limit: limit })
    .where("id", "=", caller.organizationId)
    .execute();
  return { ...parts, caller };
}

type Theirs = Awaited<ReturnType<typeof anOrganization>>;

const create = (theirs: Theirs, count: number) =>
  parts.jobs.create(onJob(theirs, ""), aNewJob({ contacts: makeContacts(count) }));

const add = (theirs: Theirs, batchJobId: string, count: number, first = 0) =>
  parts.jobs.addContacts(onJob(theirs, batchJobId), makeContacts(count, first));

async function* fileOf(count: number, first = 0) {
  yield Buffer.from(["phone", ...makeContacts(count, first).map(({ phone }) => phone)].join("\n"));
}

const importInto = ({ caller }: Theirs, batchJobId: string, count: number, first = 0) =>
  parts.contactImport.run(
    { caller, requestId: "", batchJobId, expectedRevision: undefined },
    fileOf(count, first),
  );

/** What is counted, and what there is. */
async function stored({ organizationId }: Caller): Promise<{ counted: number; there: number }> {
  const { rows } = await sql<{ counted: number; there: number }>`
    select coalesce((select contacts from stored_contacts where organization_id = ${organizationId}), 0) as counted,
      coalesce((select sum(total_contacts) from batch_jobs where organization_id = ${organizationId}), 0)::int as there
  `.execute(parts.db);
  return rows[0] ?? { counted: -1, there: -1 };
}

const exactly = (count: number) => ({ counted: count, there: count });

test("contacts are counted as they come, by whichever way, and go", async () => {
  const theirs = await anOrganization(null);
  const { batchJobId } = await create(theirs, 5);
  await add(theirs, batchJobId, 4, 3);
  await importInto(theirs, batchJobId, 3, 5);
  expect(await stored(theirs.caller)).toEqual(exactly(8));
  const ended = await makeJob(theirs, { status: "completed", contacts: 6 });
  await makeJob(theirs, { contacts: 0 });
  expect(await stored(theirs.caller)).toEqual(exactly(14));
  await parts.db
    .updateTable("batch_jobs")
    .set({ finished_at: new Date(0), started_at: new Date(0) })
    .where("id", "=", ended.id)
    .execute();
  await deleteOldJobs(parts.db, theirs.caller.organizationId, 1, 100);
  expect(await stored(theirs.caller)).toEqual(exactly(8));
  await parts.jobs.delete(onJob(theirs, batchJobId));
  expect(await stored(theirs.caller)).toEqual(exactly(0));
});

const exceeded = (free: number) =>
  expect.objectContaining({
    reason: "limit_exceeded",
    metadata: { limit: "10", stored: String(10 - free), free: String(free) },
  });

describe("over its limit of stored contacts an organization", () => {
  test("is refused a job, contacts and a file, and is told how many would do", async () => {
    const theirs = await anOrganization(10);
    const { batchJobId } = await create(theirs, 7);
    expect(await refusal(create(theirs, 4))).toEqual(exceeded(3));
    expect(await refusal(add(theirs, batchJobId, 4, 100))).toEqual(exceeded(3));
    expect(await refusal(importInto(theirs, batchJobId, 4, 100))).toEqual(exceeded(3));
    expect(await stored(theirs.caller)).toEqual(exactly(7));
    // Duplicates are not stored.
    expect(await add(theirs, batchJobId, 10)).toMatchObject({ acceptedCount: 3 });
    expect(await add(theirs, batchJobId, 10)).toMatchObject({ acceptedCount: 0 });
    expect(await create(theirs, 0)).toMatchObject({ totalContacts: 0 });
    expect(await refusal(create(theirs, 1))).toEqual(exceeded(0));
    expect(await refusal(importInto(theirs, batchJobId, 1, 100))).toEqual(exceeded(0));
    await parts.jobs.delete(onJob(theirs, batchJobId));
    expect(await create(theirs, 10)).toMatchObject({ totalContacts: 10 });
  });

  test("has exactly as many as it may, when many add at once", async () => {
    const theirs = await anOrganization(10);
    const { batchJobId } = await create(theirs, 0);
    const asked = await Promise.allSettled([
      ...Array.from({ length: 4 }, () => create(theirs, 1)),
      ...Array.from({ length: 6 }, (_, i) => add(theirs, batchJobId, 1, i)),
      ...Array.from({ length: 2 }, (_, i) => importInto(theirs, batchJobId, 1, 50 + i)),
    ]);
    expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(10);
    expect(await stored(theirs.caller)).toEqual(exactly(10));
  });

  test("does not weigh on another", async () => {
    const theirs = await anOrganization(0);
    expect(await refusal(create(theirs, 1))).toMatchObject({ reason: "limit_exceeded" });
    const others = await anOrganization(10);
    expect(await create(others, 10)).toMatchObject({ totalContacts: 10 });
  });
});
