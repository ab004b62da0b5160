import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createBatchJobs } from "../../../src/jobs/batch-jobs.ts";
import { openConnections } from "../../../src/postgres/connections/connections.ts";
import { lockJob } from "../../../src/postgres/jobs/batch-jobs.ts";
import { claimRequest, keepAnswer } from "../../../src/postgres/jobs/requests.ts";
import { sql } from "kysely";
import { aRequestId, askingOtherwise, newTime, newTimeAt } from "../../support/commands.ts";
import { eventually } from "../../support/eventually.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { lookAt, numbersTo } from "../../support/look.ts";
import { aNewJob, makeWholeJob, onJob } from "../../support/make.ts";
import { makeCaller } from "../../support/organization.ts";
import { type Parts, startParts } from "../../support/parts.ts";
import { describeRefusal, refusal } from "../../support/refusal.ts";
import { cutOff, expectQuiet, settle, sweep } from "../../starting/sweep/passes.ts";
import { watched } from "./transactions.ts";

/*
 * Commands that are given in one turn of the event loop are in hand together.
 */

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

const freshParts = useFreshParts();

const anEmptyJob = () => aNewJob({ contacts: [] });

/** Commands that have come to wait in Postgres, for somebody's lock. */
async function untilOneWaits(parts_: Parts, query: string): Promise<void> {
  await eventually(async () => {
    const { rows } = await sql`
      select 1 from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like ${`%${query}%`}`.execute(
      parts_.db,
    );
    expect(rows).toHaveLength(1);
  });
}

describe("a transaction", () => {
  test("is shared by the commands of one organization, and by no other's", async () => {
    const { jobs, begun } = watched(parts);
    const other = { ...parts, caller: await makeCaller(parts) };
    const own = await Promise.all([1, 2, 3].map(() => makeWholeJob(parts, { status: "scheduled" })));
    const others = await Promise.all([1, 2].map(() => makeWholeJob(other, { status: "running" })));
    await Promise.all([
      ...own.map(({ id }) => jobs.start(onJob(parts, id))),
      ...others.map(({ id }) => jobs.pause(onJob(other, id))),
      jobs.create({ ...onJob(parts, "") }, anEmptyJob()),
    ]);
    expect(begun.toSorted()).toEqual([parts.caller.organizationId, other.caller.organizationId].toSorted());
    const rows = await Promise.all([...own, ...others].map(({ id }) => lookAt(parts, id)));
    expect(rows.map(({ row }) => row?.status)).toEqual(["running", "running", "running", "paused", "paused"]);
  });

  test("of more commands than one takes is followed by another", async () => {
    const { jobs, begun } = watched(parts);
    const created = await Promise.all(
      Array.from({ length: 33 }, () => jobs.create(onJob(parts, ""), anEmptyJob())),
    );
    expect(new Set(created.map(({ batchJobId }) => batchJobId)).size).toBe(33);
    expect(begun).toHaveLength(2);
  });

  test("is followed by one step for the schedule, and one for the lists", async () => {
    const steps: string[] = [];
    const jobs = createBatchJobs({
      ...parts,
      schedule: {
        ...parts.schedule,
        async change(entries) {
          steps.push(`${entries.put.length} put, ${entries.takeOff.length} taken off`);
          return await parts.schedule.change(entries);
        },
      },
      fanOut: {
        ...parts.fanOut,
        async begin(started) {
          steps.push(`${started.length} begun`);
          return await parts.fanOut.begin(started);
        },
      },
    });
    const made = await Promise.all([1, 2, 3, 4].map(() => makeWholeJob(parts, { status: "scheduled" })));
    const [a = "", b = "", c = "", d = ""] = made.map(({ id }) => id);
    const answers = await Promise.all([
      jobs.start(onJob(parts, a)),
      jobs.start(onJob(parts, b)),
      jobs.reschedule(onJob(parts, c), newTime),
      jobs.cancel(onJob(parts, d)),
    ]);
    expect(steps).toEqual(["1 put, 4 taken off", "2 begun"]);
    expect(answers.map(({ entryRemoved }) => entryRemoved)).toEqual([true, true, true, true]);
    const seen = await Promise.all([a, b, c, d].map((id) => lookAt(parts, id)));
    expect(seen.map(({ list, entry }) => ({ list, entry }))).toEqual([
      { list: numbersTo(3), entry: null },
      { list: numbersTo(3), entry: null },
      { list: [], entry: String(newTimeAt.getTime()) },
      { list: [], entry: null },
    ]);
  });
});

describe("of commands on one job", () => {
  test("each sees what those before it have made of the job, and its revision", async () => {
    const { jobs, begun } = watched(parts);
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const at = (expectedRevision: number) => onJob(parts, id, { expectedRevision });
    const [moved, started, again, mismatched, paused] = await Promise.all([
      jobs.reschedule(at(1), newTime),
      jobs.start(at(2)),
      refusal(jobs.start(at(3))),
      refusal(jobs.pause(at(2))),
      jobs.pause(at(3)),
    ]);
    expect(begun).toHaveLength(1);
    expect(moved).toMatchObject({ statusBefore: "scheduled", entryRemoved: true });
    // The entry that the start takes off is the one that the reschedule has put there.
    expect(started).toMatchObject({ scheduledJobId: moved.newScheduledJobId, entryRemoved: true });
    expect(again.reason).toBe("already_running");
    expect(mismatched).toMatchObject({ reason: "revision_mismatch", metadata: { revision: "3" } });
    expect(paused).toMatchObject({ revision: 4 });
    await eventually(async () =>
      expect(await lookAt(parts, id)).toMatchObject({
        row: { status: "paused", revision: 4 },
        list: [],
        position: null,
      }),
    );
  });

  test("those after a deletion find no job", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const [cancelled, deleted, gone] = await Promise.all([
      parts.jobs.cancel(onJob(parts, id)),
      parts.jobs.delete(onJob(parts, id)),
      refusal(parts.jobs.start(onJob(parts, id))),
    ]);
    expect([cancelled.entryRemoved, deleted.entryRemoved, gone.reason]).toEqual([
      true,
      false,
      "job_not_found",
    ]);
    expect((await lookAt(parts, id)).row).toBeUndefined();
    const { rows } = await sql`select last_number from deleted_jobs where job_id = ${id}`.execute(parts.db);
    expect(rows).toEqual([{ last_number: 3 }]);
  });

  test("one whose id is written otherwise is a command on the same job", async () => {
    const { id } = await makeWholeJob(parts);
    const [started, paused] = await Promise.all([
      parts.jobs.start(onJob(parts, id.toUpperCase())),
      parts.jobs.pause(onJob(parts, id)),
    ]);
    expect([started.job.id, started.revision, paused.revision]).toEqual([id, 2, 3]);
  });
});

test("a command that is refused touches none beside it", async () => {
  const { jobs, begun } = watched(parts);
  const [empty, foreign, good] = [
    await makeWholeJob(parts, { contacts: 0 }),
    await makeWholeJob({ ...parts, caller: await makeCaller(parts) }),
    await makeWholeJob(parts),
  ];
  const [started, ...refused] = await Promise.all([
    jobs.start(onJob(parts, good.id)),
    refusal(jobs.start(onJob(parts, empty.id))),
    refusal(jobs.start(onJob(parts, foreign.id))),
    refusal(jobs.start(onJob(parts, "no id"))),
    refusal(jobs.reschedule(onJob(parts, good.id), { ...newTime, timeZone: "Mars/Olympus_Mons" })),
    refusal(jobs.create(onJob(parts, ""), { ...anEmptyJob(), requestedStartTime: "tomorrow" })),
  ]);
  expect(started).toMatchObject({ contactsEnqueued: 3 });
  expect(refused.map(({ reason }) => reason)).toEqual([
    "no_contacts",
    "job_not_found",
    "job_not_found",
    "invalid_timezone",
    "invalid_datetime",
  ]);
  expect(begun).toHaveLength(1);
  const rows = await Promise.all([empty, foreign, good].map(({ id }) => lookAt(parts, id)));
  expect(rows.map(({ row }) => [row?.status, row?.revision])).toEqual([
    ["pending", 1],
    ["pending", 1],
    ["running", 2],
  ]);
});

describe("a request beside its first call", () => {
  test("has the same answer, and nothing is done twice", async () => {
    const { jobs, begun } = watched(parts);
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const [move, make] = [onJob(parts, id, aRequestId()), onJob(parts, "", aRequestId())];
    const [moved, movedToo, made, madeToo] = await Promise.all([
      jobs.reschedule(move, newTime),
      jobs.reschedule(move, newTime),
      jobs.create(make, { ...anEmptyJob(), ...newTime }),
      jobs.create(make, { ...anEmptyJob(), ...newTime }),
    ]);
    expect([movedToo, madeToo]).toEqual([moved, made]);
    expect(moved.entryRemoved).toBe(true);
    expect(begun).toHaveLength(1);
    expect((await lookAt(parts, id)).row).toMatchObject({
      revision: 2,
      scheduled_job_id: moved.newScheduledJobId,
    });
    // And so it is later on.
    expect(await jobs.reschedule(move, newTime)).toEqual(moved);
    expect(await jobs.create(make, { ...anEmptyJob(), ...newTime })).toEqual(made);
  });

  test("is refused if it asks for something else", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const first = onJob(parts, id, aRequestId());
    const [started, refused, ofAnotherRpc] = await Promise.all([
      parts.jobs.start(first),
      refusal(parts.jobs.start({ ...first, ...askingOtherwise(first) })),
      parts.jobs.pause({ ...first, ...askingOtherwise(first) }),
    ]);
    expect([started.revision, refused.reason, ofAnotherRpc.revision]).toEqual([2, "request_id_reused", 3]);
  });

  test("is judged by itself if that was refused", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const request = onJob(parts, id, aRequestId());
    const [refused, started, startedToo] = await Promise.all([
      refusal(parts.jobs.start({ ...request, expectedRevision: 7 })),
      parts.jobs.start({ ...request, ...askingOtherwise(request) }),
      parts.jobs.start({ ...request, ...askingOtherwise(request) }),
    ]);
    expect(refused.reason).toBe("revision_mismatch");
    expect(startedToo).toEqual(started);
  });
});

describe("if the transaction as a whole fails", () => {
  test("each is tried alone, and only that which cannot be done fails", async () => {
    const { jobs, begun } = watched(parts);
    const [one, two] = [await makeWholeJob(parts), await makeWholeJob(parts)];
    const [first, bad, second] = await Promise.allSettled([
      jobs.start(onJob(parts, one.id, aRequestId())),
      // No text of Postgres holds it, and nothing before it refuses it.
      jobs.create(onJob(parts, ""), { ...anEmptyJob(), name: "\0" }),
      jobs.start(onJob(parts, two.id)),
    ]);
    expect([first.status, bad.status, second.status]).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(begun).toHaveLength(1 + 3);
    const rows = await Promise.all([one, two].map(({ id }) => lookAt(parts, id)));
    expect(rows.map(({ row }) => [row?.status, row?.revision])).toEqual([
      ["running", 2],
      ["running", 2],
    ]);
  });

  test("because a request id was taken meanwhile, that one is answered as the first call was", async () => {
    const request = onJob(parts, "", aRequestId());
    const { id } = await makeWholeJob(parts);
    const first = { batchJobId: id, status: "pending", scheduledJobId: null };
    const key = {
      organizationId: parts.caller.organizationId,
      rpc: "CreateBatchJob",
      requestId: request.requestId,
      fingerprint: request.fingerprint(),
    };
    const calls = await parts.db.transaction().execute(async (trx) => {
      await claimRequest(trx, key);
      const begun = [parts.jobs.create(request, anEmptyJob()), parts.jobs.start(onJob(parts, id))] as const;
      await untilOneWaits(parts, "write_commands");
      await keepAnswer(trx, key, { ...first, dueMs: null });
      return begun;
    });
    const [created, started] = await Promise.all(calls);
    expect(created).toEqual({ ...first, scheduledStartTimeMs: null, entryRemoved: false });
    expect(started).toMatchObject({ revision: 2 });
  });
});

test("a request id that somebody takes, and does not let go, holds up no command beside it for long", async () => {
  const request = onJob(parts, "", aRequestId());
  const { id } = await makeWholeJob(parts);
  const key = {
    organizationId: parts.caller.organizationId,
    rpc: "CreateBatchJob",
    requestId: request.requestId,
    fingerprint: request.fingerprint(),
  };
  const first = { batchJobId: id, status: "pending", scheduledJobId: null };
  const held = await parts.db.transaction().execute(async (trx) => {
    await claimRequest(trx, key);
    const begunAt = performance.now();
    const creating = parts.jobs.create(request, anEmptyJob());
    await parts.jobs.start(onJob(parts, id));
    // Any other lock is waited for longer.
    expect(performance.now() - begunAt).toBeLessThan(4_000);
    await keepAnswer(trx, key, { ...first, dueMs: null });
    return { creating };
  });
  expect(await held.creating).toEqual({ ...first, scheduledStartTimeMs: null, entryRemoved: false });
});

describe("a job that somebody else has locked", () => {
  test("holds up the commands on it, and no others", async () => {
    const [locked, free] = [await makeWholeJob(parts), await makeWholeJob(parts, { status: "scheduled" })];
    const organizationId = parts.caller.organizationId;
    const ends: string[] = [];
    const { jobs, begun } = watched(parts);
    const held = await parts.db.transaction().execute(async (trx) => {
      await lockJob(trx, organizationId, locked.id);
      const starting = jobs.start(onJob(parts, locked.id)).then(() => ends.push("held up"));
      await Promise.all([
        jobs.start(onJob(parts, free.id)).then(() => ends.push("beside it")),
        jobs.create(onJob(parts, ""), anEmptyJob()).then(() => ends.push("beside it")),
      ]);
      await untilOneWaits(parts, "lock_for_commands");
      // Nor are those that come while it is waited for.
      await jobs.pause(onJob(parts, free.id)).then(() => ends.push("after it"));
      return { starting };
    });
    await held.starting;
    expect(ends).toEqual(["beside it", "beside it", "after it", "held up"]);
    // All of them, the one on the locked job alone, and the one after.
    expect(begun).toHaveLength(3);
    expect((await lookAt(parts, locked.id)).row).toMatchObject({ status: "running", revision: 2 });
  });

  test("costs the organization one connection, however many commands wait for it", async () => {
    await using connections = openConnections({
      url: parts.databaseUrl,
      sum: 16,
      onSlowCommit: () => {},
      checkCommits: () => {},
    });
    const jobs = createBatchJobs({ ...parts, shares: connections.work });
    const [locked, other, free] = [
      await makeWholeJob(parts),
      await makeWholeJob(parts),
      await makeWholeJob(parts, { status: "scheduled" }),
    ];
    const ends: string[] = [];
    const held = await parts.db.transaction().execute(async (trx) => {
      for (const { id } of [locked, other]) await lockJob(trx, parts.caller.organizationId, id);
      const waiting = Array.from({ length: 8 }, async (_, i) => {
        const { id } = i % 2 === 0 ? locked : other;
        await jobs.start(onJob(parts, id)).catch(describeRefusal);
        ends.push("held up");
      });
      await untilOneWaits(parts, "lock_for_commands");
      await jobs.start(onJob(parts, free.id)).then(() => ends.push("beside them"));
      return { waiting };
    });
    await Promise.all(held.waiting);
    expect(ends).toEqual(["beside them", ...held.waiting.map(() => "held up")]);
    const rows = await Promise.all([locked, other, free].map(({ id }) => lookAt(parts, id)));
    expect(rows.map(({ row }) => [row?.status, row?.revision])).toEqual([
      ["running", 2],
      ["running", 2],
      ["running", 2],
    ]);
  });

  test("for good is given up, and said to be", async () => {
    const { id } = await makeWholeJob(parts);
    await parts.db.transaction().execute(async (trx) => {
      await lockJob(trx, parts.caller.organizationId, id);
      expect(await refusal(parts.jobs.start(onJob(parts, id)))).toMatchObject({ reason: "unavailable" });
    });
    expect((await lookAt(parts, id)).row).toMatchObject({ status: "pending", revision: 1 });
  });

  test("is judged as it is when it is free", async () => {
    const { id } = await makeWholeJob(parts);
    const started = await parts.db.transaction().execute(async (trx) => {
      await lockJob(trx, parts.caller.organizationId, id);
      const starting = refusal(parts.jobs.start(onJob(parts, id, { expectedRevision: 1 })));
      await untilOneWaits(parts, "lock_for_commands");
      await trx.updateTable("batch_jobs").set({ revision: 2 }).where("id", "=", id).execute();
      return { starting };
    });
    expect(await started.starting).toMatchObject({
      reason: "revision_mismatch",
      metadata: { revision: "2" },
    });
  });

  test("is not waited for by a repetition", async () => {
    const { id } = await makeWholeJob(parts);
    const request = onJob(parts, id, aRequestId());
    const first = await parts.jobs.start(request);
    await parts.db.transaction().execute(async (trx) => {
      await lockJob(trx, parts.caller.organizationId, id);
      expect(await parts.jobs.start(request)).toEqual(first);
    });
  });

  test("by the first call of a request that goes on elsewhere is waited for, and has one answer", async () => {
    await using other = await startParts({ beside: parts });
    const there = { ...other, caller: parts.caller };
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const request = onJob(parts, id, aRequestId());
    const calls = await parts.db.transaction().execute(async (trx) => {
      await lockJob(trx, parts.caller.organizationId, id);
      return [parts.jobs.reschedule(request, newTime), there.jobs.reschedule(request, newTime)];
    });
    const [here, elsewhere] = await Promise.all(calls);
    expect(here?.newScheduledJobId).toBe(elsewhere?.newScheduledJobId);
    expect((await lookAt(parts, id)).row).toMatchObject({ revision: 2 });
  });
});

test("what a replica that ends between the commit and Redis leaves undone is done by the sweep", async () => {
  await using fresh = await freshParts();
  await using other = await cutOff(fresh);
  await fresh.schedule.markFilled();
  const [a, b, c] = [
    await makeWholeJob(fresh, { status: "scheduled" }),
    await makeWholeJob(fresh, { status: "scheduled", dueInMs: 40_000 }),
    await makeWholeJob(fresh, { status: "running" }),
  ];
  const soon = new Date(fresh.clock.now() + 50_000);
  const answers = await Promise.all([
    other.jobs.start(onJob(fresh, a.id)),
    other.jobs.reschedule(onJob(fresh, b.id), { requestedStartTime: soon.toISOString(), timeZone: "" }),
    other.jobs.cancel(onJob(fresh, c.id)),
  ]);
  expect(answers.map(({ entryRemoved }) => entryRemoved)).toEqual([false, false, false]);
  expect(await lookAt(fresh, a.id)).toMatchObject({ row: { status: "running" }, list: [] });
  await settle(fresh);
  await sweep(fresh, 4);
  const seen = await Promise.all([a, b, c].map(({ id }) => lookAt(fresh, id)));
  expect(seen.map(({ list, entry }) => ({ list, entry }))).toEqual([
    { list: numbersTo(3), entry: null },
    { list: [], entry: String(soon.getTime()) },
    { list: [], entry: null },
  ]);
  await expectQuiet(fresh);
});
