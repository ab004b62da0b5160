import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { expectNoneStuck, failures, startOnPair } from "./failovers.ts";
import { createHistory } from "./history.ts";
import { type Insist, Refused, createInsist } from "./insist.ts";
import { scheduleJobs } from "./jobs.ts";
import { sized } from "./scale.ts";
import { settled } from "./system.ts";
import { startWorkers } from "./workers.ts";

const lostMs = sized(500, 5_000);
const commanders = sized(2, 4);

/** Whatever a command is refused with: what it was about may be gone. */
const unlessRefused = <T>(call: Promise<T>): Promise<T | undefined> =>
  call.catch((error: unknown) => {
    if (error instanceof Refused) return undefined;
    throw error;
  });

const byId = (batchJobId: string) => ({ requestId: randomUUID(), batchJobId });

/** Makes jobs, starts, pauses, resumes and fills them, and does not mind if that is forgotten. */
async function command(insist: Insist, signal: AbortSignal): Promise<void> {
  for (let i = 0; !signal.aborted; i += 1) {
    const creation = {
      requestId: randomUUID(),
      name: "Perhaps forgotten",
      fromPhoneNumberId: "pn_1",
      contacts: makeContacts(15),
      concurrentCallLimit: 10,
      retryOn: [Outcome.BUSY],
      retryDelays: [durationFromMs(500)],
      scheduledStartTime: i % 2 === 0 ? "" : new Date(Date.now() + 2_000).toISOString(),
    };
    const made = await unlessRefused(
      insist("CreateBatchJob", ({ jobs }, o) => jobs.createBatchJob(creation, o)),
    );
    if (made === undefined) continue;
    const id = made.batchJobId;
    const [start, pause, resume, cancel] = [byId(id), byId(id), byId(id), byId(id)];
    const more = { ...byId(id), contacts: makeContacts(5, 700) };
    await unlessRefused(insist("StartBatchJob", ({ jobs }, o) => jobs.startBatchJob(start, o)));
    await unlessRefused(insist("AddContacts", ({ jobs }, o) => jobs.addContacts(more, o)));
    if (i % 3 === 0) {
      await unlessRefused(insist("PauseBatchJob", ({ jobs }, o) => jobs.pauseBatchJob(pause, o)));
      await unlessRefused(insist("ResumeBatchJob", ({ jobs }, o) => jobs.resumeBatchJob(resume, o)));
    }
    if (i % 5 === 0)
      await unlessRefused(insist("CancelBatchJob", ({ jobs }, o) => jobs.cancelBatchJob(cancel, o)));
  }
}

test(
  "a failover to an asynchronous standby that lacks the last commits: what Redis has too much is put right, no job is stuck, and what was kept is whole",
  { timeout: 180_000 },
  async () => {
    await using on = await startOnPair("asynchronous");
    const { system, pair } = on;
    const { history } = system;
    const insist = createInsist(system);
    const stop = new AbortController();
    let cutAtMs = 0;
    let toldBefore = 0;
    {
      await using workers = startWorkers(system, insist, { count: 4 });
      const commanding = Promise.all(Array.from({ length: commanders }, () => command(insist, stop.signal)));
      await scheduleJobs(insist, 8, { fromMs: 3_000, toMs: 4_000 });
      await eventually(() => expect(workers.calls()).toBeGreaterThan(50), 30_000);
      toldBefore = history.told.length;
      await pair.standbyHasAll();
      cutAtMs = Date.now();
      await pair.cutReplication();
      const callsBefore = workers.calls();
      await delay(lostMs);
      await eventually(() => expect(workers.calls()).toBeGreaterThan(callsBefore + 20), 30_000);
      await pair.failOver();
      await delay(lostMs);
      stop.abort();
      await commanding;
      // Jobs whose resumption, or whose start, was forgotten wait for somebody to give it again.
      const waiting = await system.withDatabase((db) =>
        db.selectFrom("batch_jobs").select(["id", "status"]).where("status", "=", "paused").execute(),
      );
      for (const { id } of waiting) {
        const request = { requestId: randomUUID(), batchJobId: id };
        await unlessRefused(insist("ResumeBatchJob", ({ jobs }, o) => jobs.resumeBatchJob(request, o)));
      }
      await expectNoneStuck(system, 90_000);
    }
    expect(history.tried.filter(({ end }) => failures.has(end))).toEqual([]);
    expect(history.wrong.filter((what) => what.startsWith("a worker gave up"))).toEqual([]);
    const before = createHistory();
    before.told.push(...history.told.slice(0, toldBefore));
    before.held.push(...history.held.filter(({ fromMs, untilMs }) => Math.max(fromMs, untilMs) < cutAtMs));
    expect(await settled({ violations: () => system.judge(before) })).toEqual([]);
    // Whoever was given a contact while another one had it: only where that one's lease had been forgotten.
    const byContact = Map.groupBy(history.held, ({ jobId, number }) => `${jobId} ${number}`);
    const twice = [...byContact.values()].flatMap((hands) =>
      hands.filter((hand) =>
        hands.some((other) => other.fromMs > hand.fromMs && other.fromMs < hand.untilMs),
      ),
    );
    expect(twice.filter(({ fromMs }) => fromMs < cutAtMs)).toEqual([]);
    expect(system.badLogLines()).toEqual([]);
  },
);
