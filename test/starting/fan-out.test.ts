import { describe, expect, test } from "vitest";
import { createBatchJobs } from "../../src/jobs/batch-jobs.ts";
import { createFanOut } from "../../src/starting/fan-out.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import type { ContactList } from "../../src/redis/contact-list.ts";
import { eventually } from "../support/eventually.ts";
import { useFreshParts } from "../support/fresh.ts";
import { lookAt, numbersTo } from "../support/look.ts";
import { makeContacts, makeJob, makeWholeJob, onJob } from "../support/make.ts";
import { keyOf } from "../support/make-many.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { writeCalled } from "../support/contact-tables.ts";
import { writeCancel } from "../support/write-jobs.ts";

const chunkSize = 4;
const freshParts = useFreshParts();

/** A running job with its position, from which nothing is done yet. */
async function makeUnstarted(parts: Parts, contacts: number, run: "first" | "again" = "again") {
  const job = await makeJob(parts, { status: "running", contacts });
  await parts.contactList.create(keyOf(job), job.revision, run);
  return job;
}

const fanOutOver = ({ db, metrics, logger }: Parts, contactList: ContactList) =>
  createFanOut({ db, metrics, logger, contactList, chunkSize });

/** The list, with this done instead of every append; `append` is the real one. */
const withAppend = (
  { contactList }: Parts,
  instead: (append: () => ReturnType<ContactList["append"]>) => ReturnType<ContactList["append"]>,
): ContactList => ({
  ...contactList,
  append: (...given) => instead(() => contactList.append(...given)),
});

async function countOf({ metrics }: Parts, name: "fanOutContacts" | "fanOutFailures"): Promise<number> {
  const { values } = await metrics[name].get();
  return values[0]?.value ?? 0;
}

/** Commands of a replica on which lists are begun only when `letGo` is called. */
const withHeldLists = (parts: Parts) => {
  const held = Promise.withResolvers<void>();
  const contactList: ContactList = {
    ...parts.contactList,
    async begin(...args) {
      await held.promise;
      return await parts.contactList.begin(...args);
    },
  };
  const fanOut = createFanOut({ ...parts, contactList });
  return { jobs: createBatchJobs({ ...parts, contactList, fanOut }), letGo: () => held.resolve() };
};

describe("chunks", () => {
  const sizes = [0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize];
  const runs = (["first", "again"] as const).flatMap((run) => sizes.map((contacts) => ({ run, contacts })));
  for (const { run, contacts } of runs) {
    test(`of ${chunkSize} put ${contacts} contacts on the list, each once and in order, when a job runs: ${run}`, async () => {
      await using parts = await freshParts({ chunkSize });
      const job = await makeUnstarted(parts, contacts, run);
      await parts.fanOut.run(keyOf(job));
      const { list, position } = await lookAt(parts, job.id);
      expect(list).toEqual(numbersTo(contacts));
      expect(position).toMatch(new RegExp(`^${job.revision}\\.n?[0-9a-f]{12}:${contacts}$`));
      expect(await countOf(parts, "fanOutContacts")).toBe(contacts);
    });
  }

  test("leave out contacts that are not pending", async () => {
    await using parts = await freshParts({ chunkSize });
    const job = await makeUnstarted(parts, 10);
    await writeCalled(parts.db, job, [1, 5, 6, 7, 8, 10], "completed");
    await parts.fanOut.run(keyOf(job));
    const { list, position } = await lookAt(parts, job.id);
    expect(list).toEqual(["2", "3", "4", "9"]);
    expect(position).toMatch(/:10$/);
  });

  test("are counted by the replica that put them on the list and by no other", async () => {
    await using parts = await freshParts({ chunkSize });
    await using other = await startParts({ beside: parts, chunkSize });
    const job = await makeUnstarted(parts, chunkSize);
    await using late = fanOutOver(
      parts,
      withAppend(parts, async (append) => {
        await other.fanOut.run(keyOf(job));
        return await append();
      }),
    );
    await late.run(keyOf(job));
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(chunkSize));
    expect(await countOf(other, "fanOutContacts")).toBe(chunkSize);
    expect(await countOf(parts, "fanOutContacts")).toBe(0);
  });
});

describe("chunks of contacts in several sets of time zones", () => {
  const zoneSets = 300;
  const setOf = (number: number) => (number % 5 === 0 ? 0 : (number * number) % zoneSets);
  /** Blocks of several sizes, one of them all in set 0. */
  const blocks = [
    [1, 40],
    [41, 41],
    [42, 100],
    [101, 160],
    [161, 400],
  ] as const;

  async function makeInSets(parts: Parts, run: "first" | "again") {
    const job = await makeJob(parts, { status: "running", contacts: 0 });
    for (const [first, last] of blocks) {
      const numbers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
      await parts.db
        .insertInto("contact_blocks")
        .values({
          organization_id: job.organization_id,
          job_id: job.id,
          first_number: first,
          contacts: numbers.map((number) => `+1415${5_000_000 + number}\t\t{}`).join("\n"),
          zone_sets: first === 101 ? null : numbers.map(setOf),
        })
        .execute();
    }
    await parts.db
      .updateTable("batch_jobs")
      .set({ total_contacts: 400, pending_contacts: 400, zone_sets: zoneSets })
      .where("id", "=", job.id)
      .execute();
    await parts.contactList.create({ ...keyOf(job), zoneSets }, job.revision, run);
    return job;
  }

  async function listsOf({ redis, keys }: Parts, job: BatchJobRow): Promise<Record<number, number[]>> {
    const lists: Record<number, number[]> = {};
    for (let zoneSet = 0; zoneSet < zoneSets; zoneSet += 1) {
      const list = await redis.lrange(keys.contacts(keyOf(job), zoneSet), 0, -1);
      if (list.length > 0) lists[zoneSet] = list.map(Number);
    }
    return lists;
  }

  const without = (called: readonly number[]) => {
    const left = Array.from({ length: 400 }, (_, i) => i + 1).filter((number) => !called.includes(number));
    return Object.fromEntries(
      Map.groupBy(left, (number) => (number >= 101 && number <= 160 ? 0 : setOf(number))).entries(),
    );
  };

  for (const size of [7, 60, 1_000]) {
    test(`of ${size} put each on the list of its set, once and in order`, async () => {
      await using parts = await freshParts({ chunkSize: size });
      const [first, again] = [await makeInSets(parts, "first"), await makeInSets(parts, "again")];
      const called = [1, 40, 41, 100, 130, 399, 400];
      await writeCalled(parts.db, again, called, "completed");
      await Promise.all([first, again].map((job) => parts.fanOut.run(keyOf(job))));
      expect(await listsOf(parts, first)).toEqual(without([]));
      expect(await listsOf(parts, again)).toEqual(without(called));
      expect(await countOf(parts, "fanOutContacts")).toBe(400 + 400 - called.length);
    });
  }
});

const begun = (job: BatchJobRow) => ({
  key: keyOf(job),
  revision: job.revision,
  totalContacts: job.total_contacts,
});

describe("the beginning of jobs that have just started", () => {
  test("puts all contacts on the lists, also where they are more than a chunk", async () => {
    await using parts = await freshParts({ chunkSize });
    const jobs = await Promise.all(
      [1, chunkSize, 3 * chunkSize + 1].map((contacts) => makeJob(parts, { status: "running", contacts })),
    );
    await parts.fanOut.begin(jobs.map(begun));
    await Promise.all(jobs.map((job) => parts.fanOut.run(keyOf(job))));
    const seen = await Promise.all(jobs.map((job) => lookAt(parts, job.id)));
    expect(seen.map(({ list }) => list)).toEqual([1, chunkSize, 3 * chunkSize + 1].map(numbersTo));
    expect(await countOf(parts, "fanOutContacts")).toBe(4 * chunkSize + 2);
  });

  test("leaves no list of one that was paused meanwhile, and none of one that is gone", async () => {
    await using parts = await freshParts();
    const [paused, gone, running] = [
      await makeJob(parts, { status: "paused" }),
      await makeJob(parts, { status: "running" }),
      await makeJob(parts, { status: "running" }),
    ];
    await parts.db.deleteFrom("batch_jobs").where("id", "=", gone.id).execute();
    await parts.fanOut.begin([paused, gone, running].map(begun));
    await eventually(async () => {
      const seen = await Promise.all([paused, gone, running].map((job) => lookAt(parts, job.id)));
      expect(seen.map(({ list, position }) => [list.length, position === null])).toEqual([
        [0, true],
        [0, true],
        [3, false],
      ]);
    }, 2_000);
  });

  test("puts contacts on the list, too, that were added before there was one", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { status: "running", contacts: 5 });
    const rest = await parts.fanOut.begin([{ ...begun(job), totalContacts: 3 }]);
    await rest.get(job.id);
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(5));
  });

  test("changes nothing where a manual start or a sweep was first", async () => {
    await using parts = await freshParts();
    const job = await makeWholeJob(parts, { status: "running" });
    const before = await lookAt(parts, job.id);
    await parts.fanOut.begin([begun(job)]);
    expect(await lookAt(parts, job.id)).toEqual(before);
  });

  test("is left to the sweep when Redis cannot be reached", async () => {
    await using parts = await freshParts();
    await using other = await startParts({ beside: parts });
    const job = await makeJob(parts, { status: "running" });
    other.redis.disconnect();
    await other.fanOut.begin([begun(job)]);
    expect(await countOf(other, "fanOutFailures")).toBe(1);
  });
});

test("a fan-out that is stopped at once leaves no query behind that nobody waits for", async () => {
  await using parts = await freshParts({ chunkSize });
  const job = await makeUnstarted(parts, 10);
  for (let times = 0; times < 20; times += 1) {
    const db = openDatabase({ url: parts.databaseUrl, poolSize: 1 });
    const fanOut = createFanOut({ ...parts, db, chunkSize });
    void fanOut.run(keyOf(job));
    await fanOut[Symbol.asyncDispose]();
    await db.destroy();
  }
  // What fails unheard fails the run of the tests.
  expect((await lookAt(parts, job.id)).list).toEqual([]);
});

describe("a fan-out goes on", () => {
  test("from where another replica stopped, in chunks of another size", async () => {
    await using parts = await freshParts({ chunkSize });
    await using other = await startParts({ beside: parts, chunkSize: 3 });
    const job = await makeUnstarted(parts, 11);
    let chunks = 0;
    await using dying = fanOutOver(
      parts,
      withAppend(parts, async (append) => {
        chunks += 1;
        return chunks <= 2 ? await append() : await Promise.reject(new Error("the replica died"));
      }),
    );
    await dying.run(keyOf(job));
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(2 * chunkSize));

    await other.fanOut.run(keyOf(job));
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(11));
    expect(await countOf(other, "fanOutContacts")).toBe(3);
  });

  test("after a chunk whose answer was lost, and does not put it on the list again", async () => {
    await using parts = await freshParts({ chunkSize });
    const job = await makeUnstarted(parts, 10);
    await using cutOff = fanOutOver(
      parts,
      withAppend(parts, async (append) => {
        await append();
        throw new Error("the answer was lost");
      }),
    );
    await cutOff.run(keyOf(job));
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(chunkSize));
    await parts.fanOut.run(keyOf(job));
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(10));
  });

  test("with contacts that were committed before a call that joined it", async () => {
    await using parts = await freshParts({ chunkSize });
    const job = await makeUnstarted(parts, 4);
    const inHand = Promise.withResolvers<void>();
    const letGo = Promise.withResolvers<void>();
    await using fanOut = fanOutOver(
      parts,
      withAppend(parts, async (append) => {
        inHand.resolve();
        await letGo.promise;
        return await append();
      }),
    );
    const first = fanOut.run(keyOf(job));
    await inHand.promise;
    // The last chunk has been read. A replica without Redis adds contacts that it cannot put on the list itself.
    await using other = await startParts({ beside: parts });
    other.redis.disconnect();
    await other.jobs.addContacts(onJob(parts, job.id), makeContacts(3, 100));
    const joined = fanOut.run(keyOf(job));
    expect(fanOut.isRunning(job.id)).toBe(true);
    letGo.resolve();
    await joined;
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(7));
    await first;
    expect(fanOut.isRunning(job.id)).toBe(false);
  });

  test("one job after the other where more of them are asked for than are worked on at once", async () => {
    await using parts = await freshParts();
    await using fanOut = createFanOut({ ...parts, chunkSize, concurrency: 1 });
    const jobs = await Promise.all([9, 1, 5].map((contacts) => makeUnstarted(parts, contacts)));
    await Promise.all(jobs.map((job) => fanOut.run(keyOf(job))));
    const lists = await Promise.all(jobs.map(async (job) => (await lookAt(parts, job.id)).list));
    expect(lists).toEqual([numbersTo(9), numbersTo(1), numbersTo(5)]);
  });
});

describe("a fan-out stops", () => {
  test("and removes the keys when the job turns out to be cancelled in the middle", async () => {
    await using parts = await freshParts({ chunkSize });
    const [job, bystander] = [
      await makeUnstarted(parts, 20),
      await makeWholeJob(parts, { status: "running" }),
    ];
    const lengths: number[] = [];
    // On one connection the next chunk is read before the job is cancelled.
    await using db = openDatabase({ url: parts.databaseUrl, poolSize: 1 });
    await using fanOut = fanOutOver(
      { ...parts, db },
      withAppend(parts, async (append) => {
        const after = await append();
        lengths.push((await lookAt(parts, job.id)).list.length);
        await db.transaction().execute((trx) => writeCancel(trx, job));
        return after;
      }),
    );
    await fanOut.run(keyOf(job));
    // The chunk that was read beforehand is put on the list too.
    expect(lengths).toEqual([chunkSize, 2 * chunkSize]);
    expect(await lookAt(parts, job.id)).toMatchObject({ list: [], position: null });
    expect((await lookAt(parts, bystander.id)).list).toEqual(numbersTo(3));
  });

  test("and removes the keys when the job is gone", async () => {
    await using parts = await freshParts({ chunkSize });
    const job = await makeUnstarted(parts, 10);
    await parts.db.deleteFrom("batch_jobs").where("id", "=", job.id).execute();
    await parts.fanOut.run(keyOf(job));
    expect(await lookAt(parts, job.id)).toMatchObject({ list: [], position: null });
  });

  test("before it has begun where the job has no position, and makes none", async () => {
    await using parts = await freshParts({ chunkSize });
    const job = await makeJob(parts, { status: "running" });
    await parts.fanOut.run(keyOf(job));
    expect(await lookAt(parts, job.id)).toMatchObject({ list: [], position: null });
  });

  test("at the end of a chunk when it is disposed, and the next one goes on from there", async () => {
    await using parts = await freshParts({ chunkSize });
    const job = await makeUnstarted(parts, 10);
    const inHand = Promise.withResolvers<void>();
    const letGo = Promise.withResolvers<void>();
    const fanOut = fanOutOver(
      parts,
      withAppend(parts, async (append) => {
        inHand.resolve();
        await letGo.promise;
        return await append();
      }),
    );
    const run = fanOut.run(keyOf(job));
    await inHand.promise;
    const disposed = fanOut[Symbol.asyncDispose]();
    letGo.resolve();
    await Promise.all([disposed, run]);
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(chunkSize));
    await parts.fanOut.run(keyOf(job));
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(10));
  });
});

describe("a fan-out is left to the sweep", () => {
  test("when Redis cannot be reached: it resolves, and the failure is counted", async () => {
    await using parts = await freshParts();
    await using other = await startParts({ beside: parts });
    const job = await makeUnstarted(parts, 10);
    other.redis.disconnect();
    await other.fanOut.run(keyOf(job));
    expect(await countOf(other, "fanOutFailures")).toBe(1);
    expect((await lookAt(parts, job.id)).list).toEqual([]);
  });

  test("when Postgres cannot be reached: it resolves, and the position stays", async () => {
    await using parts = await freshParts();
    const job = await makeUnstarted(parts, 10);
    const before = await lookAt(parts, job.id);
    const db = openDatabase({ url: "postgres://nobody@127.0.0.1:1/none", poolSize: 1 });
    await using fanOut = createFanOut({ ...parts, db });
    await fanOut.run(keyOf(job));
    await db.destroy();
    expect(await countOf(parts, "fanOutFailures")).toBe(1);
    expect(await lookAt(parts, job.id)).toEqual(before);
  });

  test("and a later call works on the job again", async () => {
    await using parts = await freshParts({ chunkSize });
    const job = await makeUnstarted(parts, 10);
    let isBroken = true;
    await using fanOut = fanOutOver(
      parts,
      withAppend(parts, async (append) =>
        isBroken ? await Promise.reject(new Error("away")) : await append(),
      ),
    );
    await fanOut.run(keyOf(job));
    isBroken = false;
    await fanOut.run(keyOf(job));
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(10));
    expect(await countOf(parts, "fanOutFailures")).toBe(1);
  });
});

describe("a start whose step in Redis takes longer than its answer waits", () => {
  test("fans out as soon as it is done, without a sweep", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts);
    const { jobs, letGo } = withHeldLists(parts);
    await jobs.start(onJob(parts, job.id));
    letGo();
    await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3)), 2_000);
  });

  test("leaves no keys where the job was cancelled before it is done", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts);
    const { jobs, letGo } = withHeldLists(parts);
    await jobs.start(onJob(parts, job.id));
    await parts.jobs.cancel(onJob(parts, job.id));
    letGo();
    await eventually(async () => expect((await lookAt(parts, job.id)).position).toBeNull(), 2_000);
  });
});
