import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type BegunJob, createBegunJobs, isWhollyOpen } from "../../src/leasing/begun.ts";
import type { Lease } from "../../src/leasing/lease-round.ts";
import { runSchedulerPass } from "../../src/starting/scheduler.ts";
import { lookAt, numbersTo } from "../support/look.ts";
import { makeWholeJob, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { forNewOrganization } from "../support/replicas.ts";
import { expectAllLive, lease, limitOrganization, reportAll } from "./leases.ts";
import { wired } from "./wired.ts";

/** Far longer than a test has: whoever waits was told, or offered what has begun. */
const waitMs = 60_000;

const stack = new AsyncDisposableStack();
let shared: Parts;
let parts: Parts;
beforeAll(async () => {
  shared = stack.use(await wired(stack.use(await startParts()), { longestSleepMs: waitMs }));
});
afterAll(() => stack.disposeAsync());
beforeEach(async () => {
  parts = await forNewOrganization(shared);
});

const makeDueJob = (contacts: number) => makeWholeJob(parts, { status: "scheduled", dueInMs: -1, contacts });

const withoutLists = { fanOut: { begin: async () => new Map() } };

/** Starts what is due on the replica of those who wait; `withLists` its contacts come onto lists too. */
const startDue = async ({ withLists }: { withLists: boolean }): Promise<unknown> =>
  await runSchedulerPass({
    ...parts,
    ...(withLists ? {} : withoutLists),
    onStarted: parts.leasing.offer,
  });

/** A call that waits for contacts and has found none. */
async function waitFor(
  fields: Parameters<typeof lease>[1] = {},
): Promise<{ given: Promise<readonly Lease[]> }> {
  const given = lease(parts, { waitMs, maxContacts: 5, ...fields });
  // This one is served together with the one that waits.
  expect(await lease(parts, { jobIds: fields.jobIds ?? [] })).toEqual([]);
  return { given };
}

const begun = (id: string, fields: Partial<BegunJob> = {}): BegunJob => ({
  key: { id, organizationId: parts.caller.organizationId },
  totalContacts: 3,
  zoneSets: 0,
  concurrentCallLimit: 5,
  fromPhoneNumberId: "pn_1",
  maxAttempts: 3,
  ...fields,
});

describe("a job that begins", () => {
  test("is with whoever waits on its replica before its contacts are on a list", async () => {
    const { given } = await waitFor();
    const { id: jobId } = await makeDueJob(3);
    await startDue({ withLists: false });
    const settings = { jobId, attempt: 1, fromPhoneNumberId: "pn_1", maxAttempts: 3 };
    expect(await given).toMatchObject(
      numbersTo(3).map((number) => ({ ...settings, number: Number(number) })),
    );
    expect((await lookAt(parts, jobId)).list).toEqual([]);
  });

  test("gives nobody the same contacts from its list", async () => {
    const { given } = await waitFor();
    const { id } = await makeDueJob(3);
    await startDue({ withLists: true });
    const leases = await given;
    expect(leases).toHaveLength(3);
    await parts.fanOut.run({ id, organizationId: parts.caller.organizationId });
    expect(await lease(parts, { maxContacts: 5 })).toEqual([]);
    expect(await lease(parts, { maxContacts: 5, jobIds: [id] })).toEqual([]);
    await expectAllLive(parts, leases);
  });

  test("gives the rest from its list where its organization has no room for all", async () => {
    await limitOrganization(parts, 1);
    const { given } = await waitFor();
    await makeDueJob(2);
    await startDue({ withLists: true });
    const first = await given;
    expect(first).toMatchObject([{ number: 1 }]);
    const second = lease(parts, { waitMs, maxContacts: 5 });
    await reportAll(parts, first, "completed");
    expect(await second).toMatchObject([{ number: 2 }]);
  });

  test("is given to those who name it, and to nobody who names others", async () => {
    const { id } = await makeDueJob(3);
    const leaving = new AbortController();
    const others = lease(parts, {
      waitMs,
      maxContacts: 5,
      jobIds: [crypto.randomUUID()],
      signal: leaving.signal,
    });
    const { given } = await waitFor({ waitMs: 5_000, jobIds: [id.toUpperCase()] });
    await startDue({ withLists: false });
    expect(await given).toHaveLength(3);
    leaving.abort();
    expect(await others).toEqual([]);
  });

  test("gives nothing if it was paused meanwhile", async () => {
    const { given } = await waitFor({ waitMs: 2_000 });
    const { id } = await makeDueJob(3);
    await runSchedulerPass({ ...parts, ...withoutLists });
    await parts.jobs.pause(onJob(parts, id));
    parts.leasing.offer([begun(id)]);
    expect(await given).toEqual([]);
    await expectAllLive(parts, []);
  });

  test("is not offered where nobody waits, and comes from its list", async () => {
    await makeDueJob(3);
    await startDue({ withLists: true });
    expect(await lease(parts, { waitMs, maxContacts: 5 })).toHaveLength(3);
  });
});

test.each<[string, Partial<BegunJob>, boolean]>([
  ["all of its contacts may be called at once", { totalContacts: 5 }, true],
  ["it has more contacts than it may call at once", { totalContacts: 6 }, false],
  ["its contacts are not called at any time", { zoneSets: 1 }, false],
])("of a job it is looked whether %s", (_, fields, expected) => {
  expect(isWhollyOpen(begun("", fields))).toBe(expected);
});

describe("jobs that have begun", () => {
  test("have every other turn of a desk at most", () => {
    const jobs = createBegunJobs();
    const [first, second] = [begun("first"), begun("second")];
    jobs.add([first]);
    expect(jobs.take()).toEqual([first]);
    jobs.add([second]);
    expect(jobs.take()).toEqual([]);
    expect(jobs.take()).toEqual([second]);
    expect(jobs.take()).toEqual([]);
  });

  test("are kept up to 1,000", () => {
    const jobs = createBegunJobs();
    for (let i = 0; i < 3; i += 1) jobs.add(Array.from({ length: 400 }, () => begun("")));
    expect(jobs.take()).toHaveLength(1_000);
  });
});
