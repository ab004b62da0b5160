import { sql } from "kysely";
import { expect, test } from "vitest";
import { mostSlots, slotsInOne } from "../../src/domain/jobs/history.ts";
import { createHistory, runHistoryPass } from "../../src/jobs/history.ts";
import { purgeDeletedContacts } from "../../src/postgres/contacts/purging.ts";
import { noteCounts, readNoted } from "../../src/postgres/jobs/history.ts";
import { lease, makeRetriesDue, release, reportAll, runJob } from "../leasing/leases.ts";
import { makeContacts, makeWholeJob, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { forNewOrganization, onTwoReplicasInNewOrganizations } from "../support/replicas.ts";

/* The counts of jobs over time, as they are noted while the jobs run. */

let parts: Parts;
let there: Parts;
onTwoReplicasInNewOrganizations((here, beside) => {
  parts = here;
  there = beside;
});

const keyOf = (id: string) => ({ id, organizationId: parts.caller.organizationId });
const noted = (id: string) => readNoted(parts.db, keyOf(id));

/** As if the job had started so many slots sooner. */
const letSlotsPass = (id: string, slots = 1) =>
  sql`update batch_jobs set started_at = started_at - ${5 * slots} * interval '1 second' where id = ${id}`.execute(
    parts.db,
  );

/** As if this second were the first of a slot. */
const beginSlot = (id: string, slot: number) =>
  sql`update batch_jobs set started_at = date_trunc('milliseconds', clock_timestamp()) - ${5 * slot} * interval '1 second' where id = ${id}`.execute(
    parts.db,
  );

test("counts are noted once in a slot, whoever looks, and only once they have changed", async () => {
  const id = await runJob(parts, { contacts: makeContacts(5) });
  const pass = () => Promise.all([parts, there, parts, there].map(({ db }) => runHistoryPass(db)));
  await beginSlot(id, 0);
  await pass();
  await beginSlot(id, 1);
  await pass();
  await reportAll(parts, await lease(parts, { maxContacts: 2 }), "completed");
  await beginSlot(id, 2);
  await pass();
  await reportAll(parts, await lease(parts, { maxContacts: 1 }), "busy");
  await beginSlot(id, 2);
  await pass();
  await beginSlot(id, 3);
  await pass();
  expect((await noted(id)).map(({ slot, totalContacts, counts }) => [slot, totalContacts, counts])).toEqual([
    [0, 5, expect.objectContaining({ pending: 5, completed: 0, waiting_retry: 0 })],
    [2, 5, expect.objectContaining({ pending: 3, completed: 2, waiting_retry: 0 })],
    [3, 5, expect.objectContaining({ pending: 2, completed: 2, waiting_retry: 1 })],
  ]);
});

test("calls are counted as they end, and noted, also where the counts of contacts stay as they are", async () => {
  const id = await runJob(parts, { contacts: makeContacts(2), maxAttempts: 5, retryDelaysMs: [3_600_000] });
  for (const slot of [1, 2, 3]) {
    await reportAll(parts, await lease(parts, { maxContacts: 2, waitMs: 10_000 }), "busy");
    await beginSlot(id, slot);
    await runHistoryPass(parts.db);
    await makeRetriesDue(parts, id);
  }
  const given = await lease(parts, { maxContacts: 2, waitMs: 10_000 });
  await release(
    parts,
    given.map(({ leaseId }) => leaseId),
  );
  expect((await noted(id)).map((at) => [at.slot, at.endedAttempts, at.counts.waiting_retry])).toEqual([
    [1, 2, 2],
    [2, 4, 2],
    [3, 6, 2],
  ]);
  expect(await parts.jobs.get(parts.caller, id)).toMatchObject({ endedAttempts: 6, counts: { busy: 0 } });

  // A version before has noted the second.
  await sql`update history set ended_attempts = null where job_id = ${id} and slot = 2`.execute(parts.db);
  expect((await noted(id)).map(({ endedAttempts }) => endedAttempts)).toEqual([2, 2, 6]);
});

test("nothing is noted of a job that does not run", async () => {
  const jobs = await Promise.all(
    (["pending", "scheduled", "paused", "completed", "cancelled"] as const).map((status) =>
      makeWholeJob(parts, { status }),
    ),
  );
  await runHistoryPass(parts.db);
  expect((await Promise.all(jobs.map(({ id }) => noted(id)))).flat()).toEqual([]);
});

test("however long a job runs there are no more rows than slots, over all of its time", async () => {
  const id = await runJob(parts, { contacts: makeContacts(2) });
  const { organizationId } = parts.caller;
  const sizes: number[] = [];
  let slot = 0;
  for (let turn = 0; turn < 900; turn += 1) {
    await sql`
      update batch_jobs set pending_contacts = 1 - ${turn % 2}::int, completed_contacts = 1 + ${turn % 2}::int
      where id = ${id}`.execute(parts.db);
    const passed = turn < 700 ? 1 : 20;
    slot += passed;
    await beginSlot(id, slot);
    await noteCounts(parts.db, organizationId, [id]);
    sizes.push((await noted(id)).length);
  }
  expect(Math.max(...sizes)).toBeLessThanOrEqual(mostSlots);
  const slots = (await noted(id)).map((point) => point.slot);
  const inOne = slotsInOne(slots.at(-1) ?? 0);
  const ones = slots.map((each) => Math.floor(each / inOne));
  expect(new Set(ones).size).toBe(ones.length);
  // None of its time is left out: it changed in each of them.
  expect(ones).toEqual(Array.from({ length: ones.length }, (_, i) => (ones[0] ?? 0) + i));
  expect(ones[0]).toBe(0);
}, 120_000);

test("what was noted is read by its organization alone, and goes with its job", async () => {
  const id = await runJob(parts);
  await runHistoryPass(parts.db);
  const stranger = await forNewOrganization(parts);
  expect(await readNoted(parts.db, { id, organizationId: stranger.caller.organizationId })).toEqual([]);
  expect(await noted(id)).toHaveLength(1);
  await parts.jobs.cancel(onJob(parts, id), undefined);
  await parts.jobs.delete(onJob(parts, id), undefined);
  while (await purgeDeletedContacts(parts.db, 1_000));
  expect(await noted(id)).toEqual([]);
});

test("the history of a job goes from its start to now, and stops when it has ended", async () => {
  const id = await runJob(parts, { contacts: makeContacts(2) });
  const read = createHistory(parts.reads);
  const history = async () => await read(await parts.jobs.get(parts.caller, id));
  await letSlotsPass(id, 3);
  await runHistoryPass(parts.db);
  await reportAll(parts, await lease(parts, { maxContacts: 2 }), "completed");
  const ended = await history();
  const job = await parts.jobs.get(parts.caller, id);
  expect(job.status).toBe("completed");
  expect(ended[0]).toMatchObject({ atMs: job.startedAt?.getTime(), counts: { pending: 2, completed: 0 } });
  expect(ended.at(-1)).toMatchObject({
    atMs: job.finishedAt?.getTime(),
    counts: { pending: 0, completed: 2 },
  });
  expect(await history()).toEqual(ended);
});
