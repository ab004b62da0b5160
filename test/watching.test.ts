import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { KyselyPlugin } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BatchJob } from "../src/batch-jobs.ts";
import { type Watching, createWatching } from "../src/watching.ts";
import { lease, reportAll, runJob } from "./leasing/leases.ts";
import { eventually } from "./support/eventually.ts";
import { makeContacts, makeJob, onJob } from "./support/make.ts";
import { makeCaller } from "./support/organization.ts";
import { type Parts, startParts } from "./support/parts.ts";
import { refusal } from "./support/refusal.ts";

const stack = new AsyncDisposableStack();
let parts: Parts;
let other: Parts;
beforeAll(async () => {
  parts = stack.use(await startParts());
  other = stack.use(await startParts({ beside: parts }));
});
afterAll(() => stack.disposeAsync());

type Message = { job: BatchJob | undefined; atMs: number };

/** Watches in the background until the stream ends, or until it is disposed. */
function follow(ids: readonly string[], watching: Watching = parts.watching) {
  const stop = new AbortController();
  const messages: Message[] = [];
  const first = Promise.withResolvers<void>();
  first.promise.catch(() => {});
  const ended = (async () => {
    for await (const job of watching.watch(parts.caller, ids, stop.signal)) {
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

/** Watching on a replica of its own, and how many queries it has made. */
function counted() {
  let queries = 0;
  const plugin: KyselyPlugin = {
    transformQuery({ node }) {
      queries += 1;
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  const watching = createWatching({ db: parts.db.withPlugin(plugin), logger: parts.logger });
  return {
    watching,
    queries: () => queries,
    /** How many queries it makes in this time. */
    async during(ms: number): Promise<number> {
      const before = queries;
      await delay(ms);
      return queries - before;
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
    expect(stream.messages.map(({ job }) => job)).toEqual(jobs);
  });

  test("tells of a change on another replica within a second", async () => {
    const { id } = await makeJob(parts);
    const unchanged = await makeJob(parts);
    await using stream = follow([id, unchanged.id]);
    await eventually(() => expect(stream.messages).toHaveLength(2));
    await other.jobs.start(onJob(other, id));
    const committedMs = performance.now();
    await eventually(() => expect(stream.last()).toMatchObject({ id, status: "running", revision: 2 }));
    expect((stream.messages.at(-1)?.atMs ?? Infinity) - committedMs).toBeLessThan(1_000);
    expect(stream.messages).toHaveLength(3);
  });

  test("tells of the progress of contacts too", async () => {
    const id = await runJob(parts);
    await using stream = follow([id]);
    await stream.started();
    const [given] = await lease(parts, { jobIds: [id] });
    await eventually(() => expect(stream.last()).toMatchObject({ dialing_contacts: 1, revision: 2 }));
    await reportAll(other, given === undefined ? [] : [given], "completed");
    await eventually(() =>
      expect(stream.last()).toMatchObject({ dialing_contacts: 0, completed_contacts: 1 }),
    );
  });

  test("of a job that changes all the time has five messages a second at most, and its last state", async () => {
    const { id } = await makeJob(parts);
    await using stream = follow([id]);
    await stream.started();
    const beganMs = performance.now();
    for (let added = 0; performance.now() < beganMs + 2_000; added += 1) {
      await other.jobs.addContacts(onJob(other, id), makeContacts(1, 100 + added));
    }
    const last = await parts.jobs.get(parts.caller, id);
    await eventually(() => expect(stream.last()).toEqual(last));
    expect(last.total_contacts).toBeGreaterThan(20);
    expectPaced(stream.messages);
  });

  test("has five messages a second at most while others come to watch the same job", async () => {
    const { id } = await makeJob(parts);
    await using stream = follow([id]);
    await using late = new AsyncDisposableStack();
    await stream.started();
    const beganMs = performance.now();
    for (let added = 0; performance.now() < beganMs + 2_000; added += 1) {
      await other.jobs.addContacts(onJob(other, id), makeContacts(1, 100 + added));
      await late.use(follow([id])).started();
    }
    const last = await parts.jobs.get(parts.caller, id);
    await eventually(() => expect(stream.last()).toEqual(last));
    expectPaced(stream.messages);
  });
});

/** Asserts that no six messages fell into one second; the time that they took to come here is allowed for. */
function expectPaced(messages: readonly Message[]): void {
  const seconds = messages.flatMap(({ atMs }, i) => {
    const sixth = messages[i + 5];
    return sixth === undefined ? [] : [sixth.atMs - atMs];
  });
  expect(seconds.length).toBeGreaterThan(0);
  expect(Math.min(...seconds)).toBeGreaterThan(900);
}

describe("the end of a stream", () => {
  test("comes at once for jobs that have ended, after their state", async () => {
    const jobs = [
      await makeJob(parts, { status: "completed" }),
      await makeJob(parts, { status: "cancelled" }),
    ];
    const stream = follow(jobs.map(({ id }) => id));
    await stream.ended;
    expect(stream.messages.map(({ job }) => job)).toEqual(jobs);
  });

  test("comes with the end of the last job, and the last message shows it", async () => {
    const first = await runJob(parts, { contacts: makeContacts(1) });
    const second = await makeJob(parts, { status: "completed" });
    const stream = follow([first, second.id]);
    await stream.started();
    await reportAll(parts, await lease(parts, { jobIds: [first] }), "completed");
    await stream.ended;
    expect(stream.last()).toEqual(await parts.jobs.get(parts.caller, first));
    expect(stream.last()).toMatchObject({ status: "completed", dialing_contacts: 0 });
  });

  test("waits for the calls of a cancelled job", async () => {
    const id = await runJob(parts);
    const leases = await lease(parts, { jobIds: [id] });
    const stream = follow([id]);
    await stream.started();
    await parts.jobs.cancel(onJob(parts, id));
    await eventually(() => expect(stream.last()).toMatchObject({ status: "cancelled", dialing_contacts: 1 }));
    await reportAll(parts, leases, "completed");
    await stream.ended;
    expect(stream.last()).toMatchObject({ status: "cancelled", dialing_contacts: 0, completed_contacts: 1 });
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

test("ten thousand streams of one job cost one query for each look, and none when they have gone", async () => {
  await using own = counted();
  const { id } = await makeJob(parts);
  const streams = Array.from({ length: 10_000 }, () => follow([id], own.watching));
  await Promise.all(streams.map((stream) => stream.started()));
  // They all begin at once, and share the queries with which they do.
  expect(own.queries()).toBeLessThan(100);
  const watchedFor = 2_000;
  const cost = await own.during(watchedFor);
  expect(cost).toBeGreaterThan(0);
  expect(cost).toBeLessThanOrEqual(watchedFor / 200 + 1);

  await parts.jobs.start(onJob(parts, id));
  await eventually(() => {
    expect(streams.filter((stream) => stream.last()?.status !== "running")).toEqual([]);
  });
  await Promise.all(streams.map((stream) => stream[Symbol.asyncDispose]()));
  await own.during(300);
  expect(await own.during(700)).toBe(0);
});

test("a reader that stops reading in the middle leaves nothing behind", async () => {
  await using own = counted();
  const { id } = await makeJob(parts);
  for await (const job of own.watching.watch(parts.caller, [id], new AbortController().signal)) {
    expect(job?.id).toBe(id);
    break;
  }
  await own.during(300);
  expect(await own.during(700)).toBe(0);
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
