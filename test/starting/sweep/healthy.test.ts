import { describe, expect, test } from "vitest";
import { createBatchJobs } from "../../../src/jobs/batch-jobs.ts";
import { jobStatuses } from "../../../src/domain/jobs/batch-job.ts";
import { createFanOut } from "../../../src/starting/fan-out.ts";
import { runSchedulerPass } from "../../../src/starting/scheduler.ts";
import { createSweep } from "../../../src/starting/sweep.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { lookAt, repairs } from "../../support/look.ts";
import { aNewJob, makeContacts, makeJob, makeWholeJob, onJob } from "../../support/make.ts";
import { keyOf, makeJobsWithKeys } from "../../support/make-many.ts";
import type { Parts } from "../../support/parts.ts";
import { sweep } from "./passes.ts";

const freshParts = useFreshParts();

describe("nothing is repaired", () => {
  test("where a job in every status is as it should be", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const jobs = await Promise.all(jobStatuses.map((status) => makeWholeJob(parts, { status })));
    const soon = await makeWholeJob(parts, { status: "scheduled", dueInMs: 30_000 });
    const look = () => Promise.all([...jobs, soon].map((job) => lookAt(parts, job.id)));
    const before = await look();
    expect(await sweep(parts, 3)).toEqual({});
    expect(await look()).toEqual(before);
  });

  test("during live commands", async () => {
    await using parts = await freshParts();
    await parts.sweep.pass();
    const jobs = jobStatuses.flatMap((status) => Array.from({ length: 2 }, () => ({ status })));
    for (const making of jobs) await makeWholeJob(parts, making);
    const stop = new AbortController();
    const commands = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        const requestedStartTime = new Date(parts.clock.now() + 40_000).toISOString();
        const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob({ requestedStartTime }));
        const job = () => onJob(parts, batchJobId);
        await parts.jobs.reschedule(job(), { requestedStartTime, timeZone: "" });
        await parts.jobs.start(job());
        await parts.jobs.addContacts(job(), makeContacts(2, 100));
        await parts.jobs.cancel(job());
        await parts.jobs.delete(job());
      }
    };
    const working = Promise.all([commands(), commands(), commands(), commands()]);
    for (let passes = 0; passes < 20; passes += 1) await parts.sweep.pass();
    stop.abort();
    await working;
    expect(await repairs(parts)).toEqual({});
  });

  test("between a cancel and its step in Redis, which takes off the entry itself", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, { status: "scheduled" });
    const swept: Parts["schedule"] = {
      ...parts.schedule,
      async change(entries) {
        await parts.sweep.pass();
        return await parts.schedule.change(entries);
      },
    };
    const { entryRemoved } = await createBatchJobs({ ...parts, schedule: swept }).cancel(
      onJob(parts, job.id),
    );
    expect(entryRemoved).toBe(true);
    expect(await repairs(parts)).toEqual({});
  });

  test("between the start of due jobs and the step that takes off their entries", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    await makeJobsWithKeys(parts, 3, { status: "scheduled", dueInMs: -1 });
    await runSchedulerPass({
      ...parts,
      async startDue(ids) {
        const outcome = await parts.startDue(ids);
        await parts.sweep.pass();
        return outcome;
      },
    });
    expect(await parts.redis.zcard(parts.keys.due)).toBe(0);
    expect(await repairs(parts)).toEqual({});
  });

  test("while a fan-out is at work", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeJob(parts, { status: "running", contacts: 10 });
    await parts.contactList.create(keyOf(job), job.revision);
    const letGo = Promise.withResolvers<void>();
    await using fanOut = createFanOut({
      ...parts,
      contactList: {
        ...parts.contactList,
        async append(...given) {
          await letGo.promise;
          return await parts.contactList.append(...given);
        },
      },
    });
    const run = fanOut.run(keyOf(job));
    const { pass } = createSweep({ ...parts, fanOut });
    for (let passes = 0; passes < 3; passes += 1) await pass();
    letGo.resolve();
    await run;
    expect(await repairs(parts)).toEqual({});
  });
});
