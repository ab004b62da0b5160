import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { KyselyPlugin } from "kysely";
import { describe, expect, test } from "vitest";
import type { BatchJob } from "../../src/jobs/batch-jobs.ts";
import { toBatchJob } from "../../src/postgres/jobs/job-rows.ts";
import type { Caller } from "../../src/domain/caller.ts";
import { type Watching, createWatching } from "../../src/jobs/watching.ts";
import { lease, reportAll, runJob } from "../leasing/leases.ts";
import { counting } from "../support/counting.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts, makeJob, onJob } from "../support/make.ts";
import { makeJobs } from "../support/make-many.ts";
import { makeCaller } from "../support/organization.ts";
import type { Parts } from "../support/parts.ts";
import { onTwoReplicas } from "../support/replicas.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
let other: Parts;
onTwoReplicas((here, there) => {
  parts = here;
  other = there;
});

type Message = { job: BatchJob | undefined; atMs: number };

/** Watches in the background until the stream ends, or until it is disposed. */
function follow(ids: readonly string[], watching: Watching = parts.watching, caller: Caller = parts.caller) {
  const stop = new AbortController();
  const messages: Message[] = [];
  const first = Promise.withResolvers<void>();
  first.promise.catch(() => {});
  const ended = (async () => {
    for await (const job of watching.watch(caller, ids, stop.signal)) {
      messages.push({ job, atMs: performance.now() });
      first.resolve();
    }
  })();
  const settled = ended.catch(first.reject);
  return {
    messages,
    ended,
    last: () => messages.at(-1)?.job,
    /** Resolves when a message has come. */
    started: () => first.promise,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await settled;
    },
  };
}

/** Notes the columns of each row that is read. */
const noting = (read: string[]): KyselyPlugin => ({
  transformQuery: ({ node }) => node,
  async transformResult({ result }) {
    read.push(...result.rows.map((row) => Object.keys(row).join()));
    return result;
  },
});

/** Watching on a replica of its own, and how many queries it has made. */
function counted() {
  const { logger, metrics } = parts;
  const { db, asked: queries } = counting(parts.db);
  const watching = createWatching({ db, logger, metrics });
  return {
    watching,
    queries,
    /** How many queries it makes in this time, or somewhat more. */
    async during(ms: number): Promise<{ cost: number; tookMs: number }> {
      const before = queries();
      const began = performance.now();
      await delay(ms);
      return { cost: queries() - before, tookMs: performance.now() - began };
    },
    [Symbol.asyncDispose]: () => watching[Symbol.asyncDispose](),
  };
}

describe("a stream", () => {
  test("begins with each job as it is", async () => {
    const jobs = [await makeJob(parts), await makeJob(parts, { status: "running" })];
    const ids = jobs.map(({ id }) => id);
    await using stream = follow([...ids, ids[0]?.toUpperCase() ?? ""]);
    await eventually(() => expect(stream.messages).toHaveLength(2));
    expect(stream.messages.map(({ job }) => job)).toEqual(jobs.map(toBatchJob));
  });

  test("tells of a change on another replica", async () => {
    const { id } = await makeJob(parts);
    const unchanged = await makeJob(parts);
    await using stream = follow([id, unchanged.id]);
    await eventually(() => expect(stream.messages).toHaveLength(2));
    await other.jobs.start(onJob(other, id));
    await eventually(() => expect(stream.last()).toMatchObject({ id, status: "running", revision: 2 }));
    expect(stream.messages).toHaveLength(3);
  });

  test("tells of the progress of contacts too", async () => {
    const id = await runJob(parts);
    await using stream = follow([id]);
    await stream.started();
    const [given] = await lease(parts, { jobIds: [id] });
    await eventually(() => expect(stream.last()).toMatchObject({ counts: { dialing: 1 }, revision: 2 }));
    await reportAll(other, given === undefined ? [] : [given], "completed");
    await eventually(() => expect(stream.last()).toMatchObject({ counts: { dialing: 0, completed: 1 } }));
  });

  test("of a job that changes all the time has five messages a second at most, and its last state", async () => {
    const { id } = await makeJob(parts);
    await using stream = follow([id]);
    await stream.started();
    const beganMs = performance.now();
    for (let added = 0; added < 60 || performance.now() < beganMs + 2_000; added += 1) {
      await other.jobs.addContacts(onJob(other, id), makeContacts(1, 100 + added));
    }
    const last = await parts.jobs.get(parts.caller, id);
    await eventually(() => expect(stream.last()).toEqual(last));
    expectPaced(stream.messages);
  });

  test("has five messages a second at most while others come to watch the same job", async () => {
    const { id } = await makeJob(parts);
    await using stream = follow([id]);
    await using late = new AsyncDisposableStack();
    await stream.started();
    const beganMs = performance.now();
    for (let added = 0; added < 60 || performance.now() < beganMs + 2_000; added += 1) {
      await other.jobs.addContacts(onJob(other, id), makeContacts(1, 100 + added));
      await late.use(follow([id])).started();
    }
    const last = await parts.jobs.get(parts.caller, id);
    await eventually(() => expect(stream.last()).toEqual(last));
    expectPaced(stream.messages);
  });
});

/**
 * Asserts that the messages came no faster than five a second from the first to the last, give or take the second for
 * which a busy machine may hold one of them up. Without a pace there would be one for each of the sixty changes.
 */
function expectPaced(messages: readonly Message[]): void {
  const tookMs = (messages.at(-1)?.atMs ?? 0) - (messages[0]?.atMs ?? 0);
  expect(messages.length).toBeGreaterThan(5);
  expect(messages.length).toBeLessThanOrEqual(1 + (tookMs + 1_000) / 200);
}

describe("the end of a stream", () => {
  test("comes at once for jobs that have ended, after their state", async () => {
    const jobs = [
      await makeJob(parts, { status: "completed" }),
      await makeJob(parts, { status: "cancelled" }),
    ];
    const stream = follow(jobs.map(({ id }) => id));
    await stream.ended;
    expect(stream.messages.map(({ job }) => job)).toEqual(jobs.map(toBatchJob));
  });

  test("comes with the end of the last job, and the last message shows it", async () => {
    const first = await runJob(parts, { contacts: makeContacts(1) });
    const second = await makeJob(parts, { status: "completed" });
    const stream = follow([first, second.id]);
    await stream.started();
    await reportAll(parts, await lease(parts, { jobIds: [first] }), "completed");
    await stream.ended;
    expect(stream.last()).toEqual(await parts.jobs.get(parts.caller, first));
    expect(stream.last()).toMatchObject({ status: "completed", counts: { dialing: 0 } });
  });

  test("waits for the calls of a cancelled job", async () => {
    const id = await runJob(parts);
    const leases = await lease(parts, { jobIds: [id] });
    const stream = follow([id]);
    await stream.started();
    await parts.jobs.cancel(onJob(parts, id));
    await eventually(() =>
      expect(stream.last()).toMatchObject({ status: "cancelled", counts: { dialing: 1 } }),
    );
    await reportAll(parts, leases, "completed");
    await stream.ended;
    expect(stream.last()).toMatchObject({ status: "cancelled", counts: { dialing: 0, completed: 1 } });
  });

  test("comes when the job is deleted", async () => {
    const { id } = await makeJob(parts);
    const stream = follow([id]);
    await stream.started();
    await other.jobs.delete(onJob(other, id));
    await stream.ended;
    expect(stream.messages).toHaveLength(1);
  });
});

test.each(["of another organization", "unknown", "malformed"])(
  "a job that is %s is not found",
  async (what) => {
    const { id: own } = await makeJob(parts);
    const stranger = { ...parts, caller: await makeCaller(parts) };
    const { id: foreign } = await makeJob(stranger);
    const id = { "of another organization": foreign, unknown: randomUUID() }[what] ?? "no id";
    const stream = follow([own, id]);
    expect(await refusal(stream.ended)).toMatchObject({
      reason: "job_not_found",
      metadata: { batchJobId: id },
    });
    expect(stream.messages).toEqual([]);
  },
);

/** So many organizations, each with a job. */
async function makeOwners(count: number) {
  const owners = await Promise.all(Array.from({ length: count }, () => makeCaller(parts)));
  return await Promise.all(
    owners.map(async (caller) => ({ caller, id: (await makeJob({ ...parts, caller })).id })),
  );
}

test("ten thousand streams cost one query for each look, and none when they have gone", async () => {
  await using own = counted();
  const owners = await makeOwners(20);
  const streams = owners.flatMap(({ caller, id }) =>
    Array.from({ length: 500 }, () => follow([id], own.watching, caller)),
  );
  await Promise.all(streams.map((stream) => stream.started()));
  // They all begin at once, and share the queries with which they do.
  expect(own.queries()).toBeLessThan(100);
  const { cost, tookMs } = await own.during(2_000);
  expect(cost).toBeGreaterThan(0);
  expect(cost).toBeLessThanOrEqual(tookMs / 200 + 1);

  for (const { caller, id } of owners) await parts.jobs.start(onJob({ caller }, id));
  await eventually(() => {
    expect(streams.filter((stream) => stream.last()?.status !== "running")).toEqual([]);
  });
  await Promise.all(streams.map((stream) => stream[Symbol.asyncDispose]()));
  await own.during(300);
  expect(await own.during(700)).toMatchObject({ cost: 0 });
});

test("of jobs that have not changed only the versions are read", async () => {
  const read: string[] = [];
  const db = parts.db.withPlugin(noting(read));
  await using watching = createWatching({ ...parts, db });
  const jobs = await Promise.all(Array.from({ length: 3 }, () => makeJob(parts)));
  await using stream = follow(
    jobs.map(({ id }) => id),
    watching,
  );
  await eventually(() => expect(stream.messages).toHaveLength(3));
  const before = read.length;
  await eventually(() => expect(read.length).toBeGreaterThan(before + 9));
  expect(read.slice(before).filter((columns) => columns !== "organizationId,id,version")).toEqual([]);
  await parts.jobs.cancel(onJob(parts, jobs[1]?.id ?? ""));
  await eventually(() => expect(stream.messages).toHaveLength(4));
  expect(stream.last()).toMatchObject({ id: jobs[1]?.id, status: "cancelled" });
});

describe("an organization", () => {
  const limitExceeded = { reason: "limit_exceeded", message: expect.stringMatching(/^.+\.$/) };

  test("has 500 streams on a replica at most, and another once one has ended; others have theirs", async () => {
    await using own = counted();
    const [one, two] = await makeOwners(2);
    if (one === undefined || two === undefined) throw new Error("there should be two");
    await using open = new AsyncDisposableStack();
    const streams = Array.from({ length: 500 }, () => open.use(follow([one.id], own.watching, one.caller)));
    await Promise.all(streams.map((stream) => stream.started()));
    expect(await refusal(follow([one.id], own.watching, one.caller).ended)).toMatchObject(limitExceeded);
    await open.use(follow([two.id], own.watching, two.caller)).started();
    await streams[0]?.[Symbol.asyncDispose]();
    await open.use(follow([one.id], own.watching, one.caller)).started();
  });

  test("watches 10,000 jobs on a replica at most, those of refused streams not counted", async () => {
    await using own = counted();
    const caller = await makeCaller(parts);
    const ids = (await makeJobs({ ...parts, caller }, 1_000, { status: "pending", contacts: 0 })).map(
      ({ id }) => id,
    );
    await using open = new AsyncDisposableStack();
    expect(await refusal(follow([...ids.slice(1), randomUUID()], own.watching, caller).ended)).toMatchObject({
      reason: "job_not_found",
    });
    const streams = Array.from({ length: 10 }, () => open.use(follow(ids, own.watching, caller)));
    await Promise.all(streams.map((stream) => stream.started()));
    expect(await refusal(follow(ids.slice(0, 1), own.watching, caller).ended)).toMatchObject(limitExceeded);
  });
});

test("all streams end with the error that they are told", async () => {
  await using own = counted();
  const { id } = await makeJob(parts);
  const streams = Array.from({ length: 3 }, () => follow([id], own.watching));
  await Promise.all(streams.map((stream) => stream.started()));
  const error = new Error("it is over");
  own.watching.fail(error);
  for (const stream of streams) await expect(stream.ended).rejects.toBe(error);
  await own.during(300);
  expect(await own.during(700)).toMatchObject({ cost: 0 });
});

test("a reader that stops reading in the middle leaves nothing behind", async () => {
  await using own = counted();
  const { id } = await makeJob(parts);
  for await (const job of own.watching.watch(parts.caller, [id], new AbortController().signal)) {
    expect(job?.id).toBe(id);
    break;
  }
  await own.during(300);
  expect(await own.during(700)).toMatchObject({ cost: 0 });
});

test("an aborted stream ends at once, and others go on", async () => {
  const { id } = await makeJob(parts);
  await using kept = follow([id]);
  const dropped = follow([id]);
  await Promise.all([kept.started(), dropped.started()]);
  await dropped[Symbol.asyncDispose]();
  await expect(dropped.ended).rejects.toThrow(/abort/i);
  await parts.jobs.cancel(onJob(parts, id));
  await kept.ended;
  expect(kept.last()).toMatchObject({ status: "cancelled" });
  expect(dropped.messages).toHaveLength(1);
});
