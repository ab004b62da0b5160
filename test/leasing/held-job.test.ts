import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { functions } from "../../src/postgres/functions/functions.ts";
import { endLeases } from "../../src/postgres/leasing/lease-ends.ts";
import { runExpiryPass, startExpiry } from "../../src/leasing/expiry.ts";
import { eventually } from "../support/eventually.ts";
import {
  expectAllLive,
  lease,
  leaseOne,
  letRunOut,
  limitOrganization,
  noDetails,
  release,
  reportAll,
  reportAndLease,
  runJob,
  runOut,
} from "./leases.ts";
import { makeContacts, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { forNewOrganization } from "../support/replicas.ts";

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

/** Two jobs, with a lease of each and one more contact; the first is the one that is to be held. */
async function twoJobs(fields: Parameters<typeof runJob>[1] = {}) {
  const parts = await forNewOrganization(shared);
  const held = await runJob(parts, { contacts: makeContacts(2), ...fields });
  const free = await runJob(parts, { contacts: makeContacts(2), ...fields });
  const ofHeld = await leaseOne(parts, { jobIds: [held] });
  const ofFree = await leaseOne(parts, { jobIds: [free] });
  return { parts, held, free, ofHeld, ofFree };
}

const recorded = (outcome: string) => ({ kind: "recorded", outcome });

/** Once a report on the job has found it held: while it waits its lease does not run out. */
const untilPutOff = ({ db }: Parts, jobId: string) =>
  eventually(async () => {
    const rows = await db
      .selectFrom("leases")
      .select(sql<boolean>`expires_at > clock_timestamp() + interval '5 seconds'`.as("isPutOff"))
      .where("job_id", "=", jobId)
      .execute();
    expect(rows).toEqual([{ isPutOff: true }]);
  });

/** How many connections wait for what another has locked. */
async function countWaiting({ db }: Parts): Promise<number> {
  const { rows } = await sql`
    select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(db);
  return rows.length;
}

/** How many of these wait for a job. The others may wait for their organization for a moment. */
async function countInLine({ db }: Parts): Promise<number> {
  const { rows } = await sql`
    select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
      and query like '%' || ${functions.lockForCommands.name}::text || '%'`.execute(db);
  return rows.length;
}

const untilWaitedFor = (parts: Parts) => eventually(async () => expect(await countWaiting(parts)).toBe(1));

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

const kindsOf = (results: readonly { kind: string }[]) => results.map(({ kind }) => kind).toSorted();

test("reports on other jobs are recorded, and contacts given, while one on the held job waits, which is recorded once", async () => {
  const { parts, held, free, ofHeld, ofFree } = await twoJobs();
  const begun = await whileHeld(parts, held, async () => {
    const waiting = [1, 2].map(() => reportAll(parts, [ofHeld], "completed"));
    const turn = await reportAndLease(parts, [{ leaseId: ofFree.leaseId, outcome: "busy" }], {
      maxContacts: 5,
    });
    expect(turn.results).toMatchObject([recorded("busy")]);
    expect(placesOf(turn.leases)).toEqual([{ jobId: free, number: 2 }]);
    expect(
      await release(
        parts,
        turn.leases.map(({ leaseId }) => leaseId),
      ),
    ).toEqual([true]);
    await expectAllLive(parts, [ofHeld]);
    return { waiting };
  });
  const results = await Promise.all(begun.waiting);
  expect(kindsOf(results.flat())).toEqual(["already_recorded", "recorded"]);
  expect(await parts.jobs.get(parts.caller, held)).toMatchObject({ counts: { dialing: 0, completed: 1 } });
});

test("of a call that reports on both the one is recorded at once, and the answer has both, and what was leased", async () => {
  const { parts, held, free, ofHeld, ofFree } = await twoJobs();
  const reports = [ofHeld, ofFree, ofHeld].map(({ leaseId }) => ({ leaseId, outcome: "busy" as const }));
  const begun = await whileHeld(parts, held, async () => {
    const answer = reportAndLease(parts, reports, { maxContacts: 5 });
    await eventually(async () =>
      expect(await parts.jobs.get(parts.caller, free)).toMatchObject({
        counts: { waiting_retry: 1, dialing: 1 },
      }),
    );
    return { answer };
  });
  const { results, leases } = await begun.answer;
  expect(results.map(({ kind }) => kind)).toEqual(["recorded", "recorded", "already_recorded"]);
  expect(placesOf(leases)).toEqual([{ jobId: free, number: 2 }]);
});

test("what is reported to finish the held job finishes it once it is let go", async () => {
  const { parts, held, ofHeld } = await twoJobs({ contacts: makeContacts(1) });
  const begun = await whileHeld(parts, held, async () => {
    const waiting = reportAll(parts, [ofHeld], "completed");
    await untilPutOff(parts, held);
    return { waiting };
  });
  expect(await begun.waiting).toMatchObject([recorded("completed")]);
  expect(await parts.jobs.get(parts.caller, held)).toMatchObject({ status: "completed" });
});

test("leases of other jobs are released while one of the held job waits, which is released once", async () => {
  const { parts, held, ofHeld, ofFree } = await twoJobs();
  const begun = await whileHeld(parts, held, async () => {
    const waiting = release(parts, [ofHeld.leaseId, ofHeld.leaseId]);
    await untilWaitedFor(parts);
    expect(await release(parts, [ofFree.leaseId])).toEqual([true]);
    await expectAllLive(parts, [ofHeld]);
    return { waiting };
  });
  expect((await begun.waiting).toSorted()).toEqual([false, true]);
  expect(await parts.jobs.get(parts.caller, held)).toMatchObject({ counts: { pending: 2, dialing: 0 } });
});

test("a late report on another job is recorded while one on the held job waits, which is recorded once", async () => {
  const { parts, held, ofHeld, ofFree } = await twoJobs();
  await runOut(parts, [ofHeld, ofFree]);
  const begun = await whileHeld(parts, held, async () => {
    const waiting = reportAll(parts, [ofHeld], "completed");
    await untilWaitedFor(parts);
    expect(await reportAll(parts, [ofFree], "busy")).toMatchObject([recorded("busy")]);
    return { waiting };
  });
  expect(await begun.waiting).toMatchObject([recorded("completed")]);
  expect(await reportAll(parts, [ofHeld], "busy")).toMatchObject([{ kind: "already_recorded" }]);
});

test("a report on a job that is let go before late reports are looked at still waits for it", async () => {
  const { parts, held, ofHeld } = await twoJobs();
  const { organizationId } = parts.caller;
  const reported = { key: ofHeld, outcome: "completed" as const, details: noDetails };
  const results = await parts.recorder.record(organizationId, [reported, reported], (endings) =>
    whileHeld(parts, held, () => endLeases(parts.db, organizationId, endings, { onlyExpired: false })),
  );
  expect(results).toEqual(["held", "held"]);
  expect(kindsOf(await parts.recorder.recordHeld(organizationId, [reported, reported], results))).toEqual([
    "already_recorded",
    "recorded",
  ]);
});

test("leases run out while the end of another organization's takes as long as it likes", async () => {
  const slow = await forNewOrganization(shared);
  const other = await forNewOrganization(shared);
  await runJob(slow);
  const jobId = await runJob(other);
  const ofSlow = await leaseOne(slow);
  const ofOther = await leaseOne(other);
  const begun = Promise.withResolvers<void>();
  const may = Promise.withResolvers<void>();
  await using _ = startExpiry({
    ...shared,
    recorder: {
      async expire(organizationId, leases) {
        if (organizationId !== slow.caller.organizationId)
          return await shared.recorder.expire(organizationId, leases);
        begun.resolve();
        await may.promise;
        return [];
      },
    },
  });
  await letRunOut(slow, [ofSlow.leaseId]);
  await begun.promise;
  await letRunOut(other, [ofOther.leaseId]);
  try {
    await eventually(async () =>
      expect(await other.jobs.get(other.caller, jobId)).toMatchObject({ counts: { dialing: 0, unknown: 1 } }),
    );
  } finally {
    may.resolve();
    await runOut(slow, [ofSlow]);
  }
});

test("leases of other jobs run out while those of the held job are passed by, and those run out later", async () => {
  const { parts, held, free, ofHeld, ofFree } = await twoJobs();
  await letRunOut(parts, [ofHeld.leaseId, ofFree.leaseId]);
  await whileHeld(parts, held, () => runExpiryPass(parts.db, parts.recorder));
  expect(await parts.jobs.get(parts.caller, held)).toMatchObject({ counts: { dialing: 1 } });
  expect(await parts.jobs.get(parts.caller, free)).toMatchObject({ counts: { dialing: 0, unknown: 1 } });
  await runExpiryPass(parts.db, parts.recorder);
  expect(await parts.jobs.get(parts.caller, held)).toMatchObject({ counts: { dialing: 0, unknown: 1 } });
});

test("more leases of a held job than are ended at once do not keep others from running out", async () => {
  const parts = await forNewOrganization(shared);
  await limitOrganization(parts, 2_000);
  const held = await runJob(parts, { contacts: makeContacts(1_000), concurrentCallLimit: 1_000 });
  const ofHeld = await lease(parts, { maxContacts: 1_000 });
  expect(ofHeld).toHaveLength(1_000);
  const free = await runJob(parts);
  const ofFree = await leaseOne(parts, { jobIds: [free] });
  await letRunOut(
    parts,
    ofHeld.map(({ leaseId }) => leaseId),
  );
  await letRunOut(parts, [ofFree.leaseId]);
  await whileHeld(parts, held, () => runExpiryPass(parts.db, parts.recorder));
  expect(await parts.jobs.get(parts.caller, free)).toMatchObject({ counts: { dialing: 0 } });
});

test("a lease does not run out while its report waits for the job", async () => {
  const { parts, held, ofHeld } = await twoJobs();
  await parts.leasing.extend(parts.caller, [ofHeld.leaseId], 2_000);
  const begun = await whileHeld(parts, held, async () => {
    const waiting = reportAll(parts, [ofHeld], "completed");
    await untilPutOff(parts, held);
    return { waiting };
  });
  expect(await begun.waiting).toMatchObject([recorded("completed")]);
});

test("a report on a job that is never free is recorded in its turn", async () => {
  const { parts, held, ofHeld } = await twoJobs();
  const recording = new AbortController();
  const holdOn = async () => {
    while (!recording.signal.aborted) {
      await whileHeld(parts, held, () => sql`select pg_sleep(0.02)`.execute(parts.db));
    }
  };
  const begun = await whileHeld(parts, held, async () => ({
    holding: Promise.all([holdOn(), holdOn(), holdOn()]),
  }));
  const reporting = reportAll(parts, [ofHeld], "completed").finally(() => recording.abort());
  expect(await reporting).toMatchObject([recorded("completed")]);
  await begun.holding;
});

test("a report whose patience is over is refused as unavailable, and is recorded when it is repeated", async () => {
  const { parts, held, ofHeld } = await twoJobs();
  await whileHeld(parts, held, () =>
    expect(reportAll(parts, [ofHeld], "completed")).rejects.toMatchObject({ reason: "unavailable" }),
  );
  expect(await reportAll(parts, [ofHeld], "completed")).toMatchObject([recorded("completed")]);
});

test("of calls that add contacts to a held job one waits in Postgres at a time", async () => {
  const { parts, held } = await twoJobs();
  const begun = await whileHeld(parts, held, async () => {
    const answers = Promise.all(
      makeContacts(8)
        .slice(2)
        .map((contact) => parts.jobs.addContacts(onJob(parts, held), [contact])),
    );
    await untilWaitedFor(parts);
    const waiting: number[] = [];
    for (let look = 0; look < 100; look += 1) waiting.push(await countWaiting(parts));
    return { answers, waiting };
  });
  expect(Math.max(...begun.waiting)).toBe(1);
  expect((await begun.answers).map(({ acceptedCount }) => acceptedCount)).toEqual([1, 1, 1, 1, 1, 1]);
});

test("of commands and reports on held jobs one waits in Postgres at a time", async () => {
  const { parts, held, ofHeld } = await twoJobs();
  const ofHeldToo = await leaseOne(parts, { jobIds: [held] });
  const begun = await whileHeld(parts, held, async () => {
    const answers = Promise.all([
      parts.jobs.pause(onJob(parts, held)),
      reportAll(parts, [ofHeld], "completed"),
      release(parts, [ofHeldToo.leaseId]),
    ]);
    await untilWaitedFor(parts);
    const waiting: number[] = [];
    for (let look = 0; look < 100; look += 1) waiting.push(await countInLine(parts));
    return { answers, waiting };
  });
  expect(Math.max(...begun.waiting)).toBe(1);
  expect(await begun.answers).toMatchObject([{}, [recorded("completed")], [true]]);
});
