import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { ensureOrganization } from "../../../src/postgres/api-keys.ts";
import { createSweep } from "../../../src/starting/sweep.ts";
import { eventually } from "../../support/eventually.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { numbersTo } from "../../support/look.ts";
import { makeJob } from "../../support/make.ts";
import { keyOf, makeJobs } from "../../support/make-many.ts";
import type { Parts } from "../../support/parts.ts";

const freshParts = useFreshParts();
const away = () => Promise.reject(new Error("its server is away"));

/** A sweep with these instead, and what it logs as errors. */
function sweepWith(parts: Parts, instead: Partial<Pick<Parts, "schedule" | "contactList">>) {
  const errors: string[] = [];
  const logger = pino({ level: "error" }, { write: (line) => void errors.push(line) });
  return { sweep: createSweep({ ...parts, ...instead, logger }), errors };
}

const failuresOf = async ({ metrics }: Parts) => (await metrics.sweepFailures.get()).values[0]?.value;

describe("what cannot be reached does not keep the sweep from the rest:", () => {
  test("an organization's keys not from the lists of the others", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const names = Array.from({ length: 5 }, (_, i) => `Organization ${i}`);
    const organizations = await Promise.all(names.map((name) => ensureOrganization(parts.db, name)));
    const jobs = await Promise.all(
      organizations.map((organizationId) =>
        makeJob({ ...parts, caller: { ...parts.caller, organizationId } }, { status: "running" }),
      ),
    );
    const unreachable = organizations.toSorted((a, b) => a - b)[0];
    const contactList: Parts["contactList"] = {
      ...parts.contactList,
      look: (job, nowMs) =>
        job.organizationId === unreachable ? away() : parts.contactList.look(job, nowMs),
    };
    const { sweep } = sweepWith(parts, { contactList });
    expect(await sweep.pass()).toBe(false);
    for (const job of jobs) {
      const expected = job.organization_id === unreachable ? [] : numbersTo(3);
      await eventually(async () =>
        expect(await parts.redis.lrange(parts.keys.contacts(keyOf(job)), 0, -1)).toEqual(expected),
      );
    }
  });

  test("the schedule not from the lists", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { status: "running" });
    const schedule: Parts["schedule"] = { ...parts.schedule, isFilled: away, dueTimes: away, scan: away };
    const { sweep } = sweepWith(parts, { schedule });
    expect(await sweep.pass()).toBe(false);
    await eventually(async () =>
      expect(await parts.redis.lrange(parts.keys.contacts(keyOf(job)), 0, -1)).toEqual(numbersTo(3)),
    );
  });

  test("the lists not from the schedule", async () => {
    await using parts = await freshParts();
    await makeJob(parts, { status: "running" });
    await makeJob(parts, { status: "scheduled", dueInMs: 30_000 });
    const contactList: Parts["contactList"] = { ...parts.contactList, look: away, scan: away };
    const { sweep } = sweepWith(parts, { contactList });
    expect(await sweep.pass()).toBe(false);
    expect(await parts.redis.zcard(parts.keys.due)).toBe(1);
  });

  test("keys that cannot be looked for in one place, or removed, not from the others", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const jobs = await makeJobs(parts, 5, { status: "running" });
    await parts.sweep.pass();
    // One that is still at work on a job that has ended removes its keys itself.
    await Promise.all(jobs.map((job) => parts.fanOut.run(keyOf(job))));
    const keysOf = async () =>
      await Promise.all(jobs.map((job) => parts.redis.exists(parts.keys.position(keyOf(job)))));
    expect(await keysOf()).toEqual([1, 1, 1, 1, 1]);
    await parts.db
      .updateTable("batch_jobs")
      .set({ status: "completed", finished_at: new Date(), revision: 9 })
      .execute();
    const [stuck] = jobs;
    const contactList: Parts["contactList"] = {
      ...parts.contactList,
      scan: async (...given) => ({
        ...(await parts.contactList.scan(...given)),
        failures: [new Error("its server is away")],
      }),
      unlink: (job, revision) => (job.id === stuck?.id ? away() : parts.contactList.unlink(job, revision)),
    };
    const { sweep } = sweepWith(parts, { contactList });
    await eventually(async () => {
      expect(await sweep.pass()).toBe(false);
      expect(await keysOf()).toEqual([1, 0, 0, 0, 0]);
    });
  });
});

test("a pass of which parts fail is counted once, and each part logged once until it works again", async () => {
  await using parts = await freshParts();
  await makeJobs(parts, 20, { status: "running" });
  let isAway = true;
  const contactList: Parts["contactList"] = {
    ...parts.contactList,
    look: (job, nowMs) => (isAway ? away() : parts.contactList.look(job, nowMs)),
    scan: (...given) => (isAway ? away() : parts.contactList.scan(...given)),
  };
  const { sweep, errors } = sweepWith(parts, { contactList });
  for (const passes of [1, 2, 3]) {
    expect(await sweep.pass()).toBe(false);
    expect(await failuresOf(parts)).toBe(passes);
  }
  expect(errors).toHaveLength(2);
  isAway = false;
  expect(await sweep.pass()).toBe(true);
  isAway = true;
  await sweep.pass();
  expect(errors).toHaveLength(4);
});
