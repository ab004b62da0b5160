import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { forNewOrganization, lease, reportAll, runJob } from "./leases.ts";
import { makeContacts, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";

/*
 * Somebody holds the row of a running job: an operator at a prompt, or a transaction that takes long.
 */

let shared: Parts;
beforeAll(async () => {
  shared = await startParts();
});
afterAll(() => shared[Symbol.asyncDispose]());

/** What the work answers that is done while another transaction has the job's row. */
const whileHeld = <T>({ db }: Parts, jobId: string, work: () => Promise<T>): Promise<T> =>
  db.transaction().execute(async (trx) => {
    await sql`select from batch_jobs where id = ${jobId} for update`.execute(trx);
    return await work();
  });

const placesOf = (leases: readonly { jobId: string; number: number }[]) =>
  leases.map(({ jobId, number }) => ({ jobId, number }));

test("the organization's other jobs give their contacts, and the held one gives its own, in order, once it is let go", async () => {
  const parts = await forNewOrganization(shared);
  const held = await runJob(parts, { contacts: makeContacts(3) });
  const free = await runJob(parts, { contacts: makeContacts(2) });
  const given = await whileHeld(parts, held, () => lease(parts, { maxContacts: 5 }));
  expect(placesOf(given)).toEqual([
    { jobId: free, number: 1 },
    { jobId: free, number: 2 },
  ]);
  expect(await parts.jobs.get(parts.caller, held)).toMatchObject({
    counts: { pending: 3, dialing: 0 },
  });
  // What was reserved of it has gone back to its list by then.
  const later = await lease(parts, { maxContacts: 5, waitMs: 20_000 });
  expect(placesOf(later)).toEqual([1, 2, 3].map((number) => ({ jobId: held, number })));
});

test("where there is no other job, nothing is given, and all of it once the job is let go", async () => {
  const parts = await forNewOrganization(shared);
  const held = await runJob(parts, { contacts: makeContacts(3) });
  expect(await whileHeld(parts, held, () => lease(parts, { maxContacts: 5 }))).toEqual([]);
  expect(placesOf(await lease(parts, { maxContacts: 5, waitMs: 20_000 }))).toHaveLength(3);
});

test("retries that are due of a held job are given once it is let go", async () => {
  const parts = await forNewOrganization(shared);
  const held = await runJob(parts, {
    contacts: makeContacts(1),
    retryOn: ["busy"],
    retryDelaysMs: [0],
    maxAttempts: 2,
  });
  await reportAll(parts, await lease(parts), "busy");
  const free = await runJob(parts, { contacts: makeContacts(1) });
  const given = await whileHeld(parts, held, () => lease(parts, { maxContacts: 5 }));
  expect(placesOf(given)).toEqual([{ jobId: free, number: 1 }]);
  expect(await lease(parts, { maxContacts: 5, waitMs: 20_000 })).toMatchObject([{ jobId: held, attempt: 2 }]);
});

test("of a job that its holder pauses nothing is given", async () => {
  const parts = await forNewOrganization(shared);
  const paused = await runJob(parts, { contacts: makeContacts(3) });
  const free = await runJob(parts, { contacts: makeContacts(1) });
  const given = await parts.db.transaction().execute(async (trx) => {
    await sql`update batch_jobs set status = 'paused' where id = ${paused}`.execute(trx);
    return await lease(parts, { maxContacts: 5 });
  });
  expect(placesOf(given)).toEqual([{ jobId: free, number: 1 }]);
  expect(await lease(parts, { maxContacts: 5 })).toEqual([]);
  await parts.jobs.resume(onJob(parts, paused));
  expect(await lease(parts, { maxContacts: 5, waitMs: 20_000 })).toHaveLength(3);
});
