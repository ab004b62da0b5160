import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startOwnServers } from "../support/own-servers.ts";
import { type PostgresPair, startPostgresPair } from "../support/postgres-pair.ts";
import { runCampaign } from "./campaign.ts";
import { createHistory } from "./history.ts";
import { type Insist, Refused, createInsist } from "./insist.ts";
import { scheduleJobs } from "./jobs.ts";
import { sized } from "./scale.ts";
import { type System, settled, startSystem } from "./system.ts";
import { startWorkers } from "./workers.ts";

/*
 * Postgres fails over to a streaming standby, under load. The address moves as a virtual one does: what stands between
 * a replica and Postgres leads new connections to the new primary.
 */

const campaigns = sized(6, 60);
const lostMs = sized(1_200, 5_000);
const patience = 180_000;

let opened: AsyncDisposableStack | undefined;
afterEach(() => opened?.disposeAsync());

async function startOn(
  kind: "synchronous" | "asynchronous",
): Promise<{ system: System; pair: PostgresPair }> {
  opened = new AsyncDisposableStack();
  const pair = await startPostgresPair(kind);
  const startServers = () => startOwnServers(() => Promise.resolve(pair));
  return { system: opened.use(await startSystem({ replicas: 2, seed: 8, startServers })), pair };
}

/** How calls may end while it happens, but for refusals that the state of a job explains. */
const failures = new Set(["internal", "unknown", "data_loss", "unimplemented", "unauthenticated"]);

/** Fails with the jobs that are due, or run, and are not over. */
const expectNoneStuck = (system: System, withinMs: number) =>
  system.withDatabase((db) =>
    eventually(async () => {
      const open = await db
        .selectFrom("batch_jobs")
        .select(["id", "status", "pending_contacts", "waiting_retry_contacts", "dialing_contacts"])
        .where("status", "in", ["running", "scheduled"])
        .execute();
      expect(open).toEqual([]);
    }, withinMs),
  );

test(
  "to a synchronous standby: nothing that was answered is lost, nobody is called twice, and a deposed primary disturbs nobody for long",
  { timeout: patience },
  async () => {
    const { system, pair } = await startOn("synchronous");
    const { history } = system;
    const insist = createInsist(system);
    {
      await using workers = startWorkers(system, insist, { count: 4 });
      const running = Promise.all(
        Array.from({ length: campaigns }, (_, i) =>
          runCampaign(system, insist, { random: system.randomOf(`campaign ${i}`) }),
        ),
      );
      await scheduleJobs(insist, 8, { fromMs: 3_000, toMs: 4_000 });
      await eventually(() => expect(workers.calls()).toBeGreaterThan(20));
      await pair.failOver();
      await running;
      await expectNoneStuck(system, 60_000);

      await pair.withDeposed(async () => {
        for (const replica of system.replicas) await replica.postgres.mend();
        await eventually(async () => {
          const ready = system.replicas.map(async ({ httpUrl }) => (await fetch(`${httpUrl}/readyz`)).status);
          expect(await Promise.all(ready)).toEqual([503, 503]);
        }, 20_000);
      });
      // Nobody broke the connections that were made to it meanwhile.
      await runCampaign(system, insist, { random: system.randomOf("afterwards") });
    }
    expect(history.tried.filter(({ end }) => failures.has(end))).toEqual([]);
    expect(await settled(system)).toEqual([]);
    expect(system.badLogLines()).toEqual([]);
  },
);

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
  "to an asynchronous standby that lacks the last commits: what Redis has too much is put right, no job is stuck, and what was kept is whole",
  { timeout: patience },
  async () => {
    const { system, pair } = await startOn("asynchronous");
    const { history } = system;
    const insist = createInsist(system);
    const stop = new AbortController();
    let cutAtMs = 0;
    let toldBefore = 0;
    {
      await using workers = startWorkers(system, insist, { count: 4 });
      const commanding = Promise.all(Array.from({ length: 4 }, () => command(insist, stop.signal)));
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
