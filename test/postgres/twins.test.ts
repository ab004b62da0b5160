import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { deleteOldJobs } from "../../src/postgres/jobs/sweep.ts";
import { enterPhones } from "../../src/postgres/contacts/adding.ts";
import { purgeDeletedContacts } from "../../src/postgres/contacts/purging.ts";
import { purgeRequests } from "../../src/postgres/jobs/requests.ts";
import { runSchedulerPass } from "../../src/starting/scheduler.ts";
import {
  lease,
  leaseOne,
  letRunOut,
  makeRetriesDue,
  release,
  report,
  reportAll,
  runJob,
  runOut,
} from "../leasing/leases.ts";
import { useFreshParts } from "../support/fresh.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import type { Parts } from "../support/parts.ts";

/*
 * Ids of jobs are random, so that no two organizations have one in common. Here two have: all that one has is copied to
 * the other, ids and all. Whatever the one does then must leave the other's rows as they are; a statement that does
 * not say whose rows it means would find both.
 */

const freshParts = useFreshParts();

const tables = [
  "batch_jobs",
  "contact_blocks",
  "contact_phones",
  "leases",
  "attempts",
  "retries",
  "zone_sets",
  "deleted_jobs",
  "requests",
];

/** Gives another organization a copy of every row that the caller's has; answers how to look at those. */
async function copyAll({ db, caller }: Parts) {
  const { organizationId: twin } = await makeCaller({ db, caller });
  const own = caller.organizationId;
  for (const table of tables) {
    // An entry stands for one job.
    const changes = { organization_id: twin, ...(table === "batch_jobs" && { scheduled_job_id: null }) };
    await sql`
      insert into ${sql.table(table)}
      select (jsonb_populate_record(t, ${JSON.stringify(changes)}::jsonb)).* from ${sql.table(table)} t
      where organization_id = ${own}`.execute(db);
  }
  await sql`
    update organizations set dialing = (select dialing from organizations where id = ${own}) where id = ${twin}
  `.execute(db);
  const look = async (): Promise<unknown> => {
    const all: Record<string, unknown[]> = {};
    for (const table of [...tables, "stored_contacts", "job_labels", "events", "event_heads"]) {
      const { rows } = await sql`
        select * from ${sql.table(table)} as t where organization_id = ${twin} order by t::text`.execute(db);
      all[table] = rows;
    }
    const { rows } = await sql`select * from organizations where id = ${twin}`.execute(db);
    return { ...all, organizations: rows };
  };
  return { twin, look };
}

/** Has the caller do this, and asserts that the twin's rows are as they were; answers what came of it. */
type Apart = <T>(work: () => Promise<T>) => Promise<T>;

async function apart(parts: Parts): Promise<Apart> {
  const { look } = await copyAll(parts);
  const before = await look();
  return async (work) => {
    const answer = await work();
    expect(await look()).toEqual(before);
    return answer;
  };
}

const aFile = async function* () {
  yield Buffer.from(
    `phone\n${makeContacts(2, 100)
      .map(({ phone }) => `${phone}\n`)
      .join("")}`,
  );
};

/** A job of ten contacts that runs; two are leased, one waits, one is completed, and one has an unknown end. */
async function halfDone(parts: Parts) {
  const contacts = makeContacts(10);
  const jobId = await runJob(parts, { contacts, retryOn: ["busy"], concurrentCallLimit: 5 });
  const [busy, completed, lost] = [await leaseOne(parts), await leaseOne(parts), await leaseOne(parts)];
  await report(parts, [
    { leaseId: busy.leaseId, outcome: "busy" },
    { leaseId: completed.leaseId, outcome: "completed" },
  ]);
  await runOut(parts, [lost]);
  const held = await lease(parts, { maxContacts: 2, requestId: "a request" });
  expect(held).toHaveLength(2);
  return { jobId, lost, held };
}

describe("of two organizations with the same ids", () => {
  test("one leases, repeats, extends, reports, releases and lets run out, and the other's stay as they are", async () => {
    await using parts = await freshParts();
    const { jobId, lost, held } = await halfDone(parts);
    const alone = await apart(parts);
    const again = await alone(() => lease(parts, { maxContacts: 2, requestId: "a request" }));
    expect(again.map(({ number }) => number)).toEqual(held.map(({ number }) => number));
    const ends = await alone(() =>
      parts.leasing.extend(
        parts.caller,
        again.map(({ leaseId }) => leaseId),
        600_000,
      ),
    );
    expect(ends).not.toContain(undefined);
    const [first, second] = again;
    expect(await alone(() => release(parts, [first?.leaseId ?? ""]))).toEqual([true]);
    await makeRetriesDue({ ...parts }, jobId);
    const together = await apart(parts);
    const more = await together(() => lease(parts, { maxContacts: 3 }));
    expect(more).toHaveLength(3);
    await together(() => reportAll(parts, [...more.slice(0, 2), ...(second ? [second] : [])], "busy"));
    await together(() => report(parts, [{ leaseId: lost.leaseId, outcome: "completed" }]));
    await letRunOut(
      parts,
      more.slice(2).map(({ leaseId }) => leaseId),
    );
    await together(() => runOut(parts, []));
    const job = await parts.jobs.get(parts.caller, jobId);
    expect(job).toMatchObject({
      totalContacts: 10,
      counts: { dialing: 0, completed: 2, unknown: 1, waiting_retry: 3, pending: 4 },
    });
  });

  test("one reads its own", async () => {
    await using parts = await freshParts();
    const { jobId } = await halfDone(parts);
    const read = async () => ({
      job: await parts.jobs.get(parts.caller, jobId),
      jobs: await parts.jobs.list(parts.caller, { statuses: [], nameContains: "" }, { size: 0, token: "" }),
      contact: await parts.jobs.getContact(parts.caller, jobId, 1),
      contacts: await parts.jobs.listContacts(parts.caller, jobId, [], { size: 0, token: "" }),
      final: await parts.jobs.listContacts(
        parts.caller,
        jobId,
        ["completed", "dialing", "waiting_retry", "pending"],
        {
          size: 0,
          token: "",
        },
      ),
    });
    const before = await read();
    await copyAll(parts);
    expect(await read()).toEqual(before);
    const stop = new AbortController();
    const [shown] = [
      await parts.watching.watch(parts.caller, [jobId], stop.signal)[Symbol.asyncIterator]().next(),
    ];
    expect(shown).toEqual({ done: false, value: before.job });
    stop.abort();
  });

  test("one is given commands, files and contacts, and the other's stay as they are", async () => {
    await using parts = await freshParts();
    const { jobId } = await halfDone(parts);
    const { batchJobId } = await parts.jobs.create(onJob(parts, "", { requestId: "created" }), aNewJob());
    const alone = await apart(parts);
    await alone(() => parts.jobs.addContacts(onJob(parts, jobId), makeContacts(2, 10)));
    const { caller, requestId, expectedRevision } = onJob(parts, batchJobId, { requestId: "a file" });
    await alone(() => parts.contactImport.run({ caller, requestId, expectedRevision, batchJobId }, aFile()));
    await alone(() => parts.jobs.pause(onJob(parts, jobId, { requestId: "paused" })));
    await alone(() => parts.jobs.resume(onJob(parts, jobId)));
    await alone(() => parts.fanOut.run({ id: jobId, organizationId: caller.organizationId }));
    const time = { requestedStartTime: "2035-01-01T00:00:00Z", timeZone: "" };
    await alone(() => parts.jobs.reschedule(onJob(parts, batchJobId), time));
    await parts.db
      .updateTable("batch_jobs")
      .set({ scheduled_at: new Date(0) })
      .where("organization_id", "=", caller.organizationId)
      .where("id", "=", batchJobId)
      .execute();
    const due = await parts.db
      .selectFrom("batch_jobs")
      .select("scheduled_job_id as scheduledJobId")
      .where("status", "=", "scheduled")
      .$narrowType<{ scheduledJobId: string }>()
      .executeTakeFirstOrThrow();
    await parts.schedule.rescore([{ ...due, scheduledStartTimeMs: 0 }]);
    await alone(() => runSchedulerPass(parts));
    expect(await parts.jobs.get(parts.caller, batchJobId)).toMatchObject({
      status: "running",
      totalContacts: 5,
    });
    await alone(() => parts.jobs.cancel(onJob(parts, batchJobId)));
    await alone(() => parts.jobs.delete(onJob(parts, batchJobId)));
    while (await alone(() => purgeDeletedContacts(parts.db, 2)));
  });

  test("what one has too old is removed, and the other's stay as they are", async () => {
    await using parts = await freshParts();
    const { caller, db } = parts;
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    await reportAll(parts, [await leaseOne(parts)], "completed");
    await parts.jobs.create(onJob(parts, "", { requestId: "old" }), aNewJob());
    await sql`update requests set created_at = now() - interval '2 days'`.execute(db);
    await sql`update batch_jobs set finished_at = now() - interval '2 days' where id = ${jobId}`.execute(db);
    const alone = await apart(parts);
    expect(await alone(() => purgeRequests(db, caller.organizationId, 10))).toBe(1);
    expect(await alone(() => deleteOldJobs(db, caller.organizationId, 1, 10))).toBe(1);
    while (await alone(() => purgeDeletedContacts(db, 10)));
  });

  test("one has its phones entered", async () => {
    await using parts = await freshParts();
    const { caller, db } = parts;
    const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: [] }));
    const request = { caller, requestId: "", expectedRevision: undefined, batchJobId };
    await parts.contactImport.run(request, aFile());
    const alone = await apart(parts);
    expect(await alone(() => enterPhones(db, caller.organizationId, batchJobId))).toBe(true);
  });
});
