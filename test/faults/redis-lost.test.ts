import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { type Insist, createInsist } from "./insist.ts";
import { lastOf, makeLargeJob, scheduleJobs, watchList } from "./jobs.ts";
import { sized } from "./scale.ts";
import { type System, settled } from "./system.ts";
import { useSystem } from "./use-system.ts";
import { startWorkers } from "./workers.ts";

const contacts = sized(300_000, 1_000_000);
/** Two sweeps and a fan-out take some seconds; what nobody rebuilds is never there. */
const rebuiltWithinMs = 60_000;
const downMs = sized(2_000, 30_000);

let system: System;
let insist: Insist;
useSystem({ replicas: 2, seed: 5 }, (started) => {
  system = started;
  insist = createInsist(system);
});

/** A job that runs, of which every contact is tried again 3 s after an attempt. */
async function startJob(count: number, concurrentCallLimit: number): Promise<string> {
  const creation = {
    requestId: randomUUID(),
    name: "Worked",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(count),
    concurrentCallLimit,
    retryOn: [Outcome.BUSY],
    retryDelays: [durationFromMs(3_000)],
  };
  const { batchJobId } = await insist("CreateBatchJob", ({ jobs }, o) => jobs.createBatchJob(creation, o));
  await command("StartBatchJob", batchJobId);
  return batchJobId;
}

async function command(
  rpc: "StartBatchJob" | "PauseBatchJob" | "ResumeBatchJob" | "CancelBatchJob",
  batchJobId: string,
): Promise<void> {
  const request = { requestId: randomUUID(), batchJobId };
  await insist(rpc, async ({ jobs }, o) => {
    if (rpc === "StartBatchJob") return await jobs.startBatchJob(request, o);
    if (rpc === "PauseBatchJob") return await jobs.pauseBatchJob(request, o);
    if (rpc === "ResumeBatchJob") return await jobs.resumeBatchJob(request, o);
    return await jobs.cancelBatchJob(request, o);
  });
}

/** Has every contact of a job tried once, in vain. */
async function tryAllOnce(batchJobId: string, count: number): Promise<void> {
  for (let tried = 0; tried < count;) {
    const request = {
      workerId: "first",
      requestId: randomUUID(),
      maxContacts: count,
      batchJobIds: [batchJobId],
    };
    const leased = await insist("LeaseContacts", ({ worker }, o) => worker.leaseContacts(request, o));
    tried += leased.contacts.length;
    const outcomes = leased.contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.BUSY }));
    if (outcomes.length === 0) continue;
    await insist("ReportOutcomes", ({ worker }, o) => worker.reportOutcomes({ outcomes }, o));
  }
}

const statusesOf = (ids: readonly string[]) =>
  system.withDatabase(async (db) => {
    const rows = await db.selectFrom("batch_jobs").select("status").where("id", "in", ids).execute();
    return [...new Set(rows.map(({ status }) => status))];
  });

/** Fails with what there is still to do. */
const expectOver = (ids: readonly string[]) =>
  system.withDatabase(async (db) => {
    const open = await db
      .selectFrom("batch_jobs")
      .select(["id", "name", "status", "pending_contacts", "waiting_retry_contacts", "dialing_contacts"])
      .where("id", "in", ids)
      .where("finished_at", "is", null)
      .execute();
    expect(open).toEqual([]);
  });

const scheduled = () =>
  system.withDatabase(async (db) => {
    const rows = await db
      .selectFrom("batch_jobs")
      .select("scheduled_job_id")
      .where("status", "=", "scheduled")
      .execute();
    return rows.map((row) => String(row.scheduled_job_id)).toSorted();
  });

const restarted = (data: "nothing" | "snapshot") => async () => {
  await system.servers.redis.kill();
  await system.servers.redis.replaceData(data);
  await system.servers.redis.start();
};

const losses = {
  "is flushed": () => system.withRedis(async (redis) => void (await redis.flushall())),
  "is killed and comes back empty": restarted("nothing"),
  "is killed and comes back with an old snapshot": restarted("snapshot"),
};

describe("when Redis loses its data while jobs are scheduled, fanning out, being worked and waiting for retries", () => {
  test.each(Object.entries(losses))(
    "and %s, all is rebuilt",
    async (_, lose) => {
      const large = await makeLargeJob(system, contacts);
      const soon = await scheduleJobs(insist, 20, { fromMs: 6_000, toMs: 8_000 });
      const later = await scheduleJobs(insist, 50, { fromMs: 3_600_000, toMs: 3_700_000 });
      const worked = await startJob(80, 8);
      await system.servers.redis.keepSnapshot();
      const waiting = await startJob(20, 20);
      await tryAllOnce(waiting, 20);
      {
        await using workers = startWorkers(system, insist, {
          count: 3,
          batchJobIds: [worked, waiting, ...soon],
        });
        await eventually(() => expect(workers.calls()).toBeGreaterThan(10));
        await command("StartBatchJob", large.id);
        {
          using list = watchList(system, large);
          await eventually(async () => expect(lastOf(await list.position())).toBeGreaterThan(0));
        }
        await lose();
        const callsBefore = workers.calls();
        using list = watchList(system, large);
        await eventually(() => expect(workers.calls()).toBeGreaterThan(callsBefore + 8), rebuiltWithinMs);
        await eventually(async () => {
          const entries = await system.withRedis((redis) => redis.zrange(system.keys.due, "0", "-1"));
          expect(entries.filter((entry) => entry !== "")).toEqual(expect.arrayContaining(await scheduled()));
        }, rebuiltWithinMs);
        await eventually(async () => expect(lastOf(await list.position())).toBe(contacts), rebuiltWithinMs);
        expect(await list.order()).toEqual({ length: contacts, wrong: [] });

        await eventually(() => expectOver([worked, waiting, ...soon]), 60_000);
      }
      for (const id of [large.id, ...later]) await command("CancelBatchJob", id);
      expect(await settled(system)).toEqual([]);
      expect(system.badLogLines()).toEqual([]);
    },
    sized(120_000, 240_000),
  );
});

const absences = {
  "refuses connections": async () => {
    for (const replica of system.replicas) await replica.redis.cut();
    await system.servers.redis.kill();
    return async () => {
      await system.servers.redis.start();
      for (const replica of system.replicas) await replica.redis.mend();
    };
  },
  "answers nothing": async () => {
    await system.servers.redis.freeze();
    return async () => system.servers.redis.thaw();
  },
};

describe(`while Redis is away for ${downMs / 1000} s`, () => {
  test.each(Object.entries(absences).slice(0, sized(1, 2)))(
    "and %s, commands answer within 1 s, and due jobs start when it is back and tell how late",
    async (_, leave) => {
      const due = await scheduleJobs(insist, 20, { fromMs: 3_000, toMs: 3_500 });
      const comeBack = await leave();
      const before = system.history.tried.length;
      await delay(3_600);
      const running = await startJob(5, 5);
      await command("PauseBatchJob", running);
      await command("ResumeBatchJob", running);
      const toCome = await scheduleJobs(insist, 5, { fromMs: downMs + 2_000, toMs: downMs + 2_500 });
      await command("CancelBatchJob", toCome[0] ?? "");
      await delay(downMs);
      const tries = system.history.tried.slice(before);
      expect(tries.filter(({ end, ms }) => end !== "ok" || ms > 1_000)).toEqual([]);
      expect(await statusesOf(due)).toEqual(["scheduled"]);

      await comeBack();
      await eventually(async () => expect(await statusesOf(due)).toEqual(["running"]), rebuiltWithinMs);
      const lags = await system.withDatabase((db) =>
        db.selectFrom("batch_jobs").select("start_lag_ms").where("id", "in", due).execute(),
      );
      expect(Math.min(...lags.map((row) => row.start_lag_ms ?? 0))).toBeGreaterThan(downMs - 1_000);
      {
        const workable = [running, ...due, ...toCome];
        await using workers = startWorkers(system, insist, { count: 3, batchJobIds: workable });
        await eventually(() => expectOver(workable), 40_000);
        expect(workers.calls()).toBeGreaterThan(0);
      }
      expect(await settled(system)).toEqual([]);
      expect(system.badLogLines()).toEqual([]);
    },
    120_000 + 2 * downMs,
  );
});
