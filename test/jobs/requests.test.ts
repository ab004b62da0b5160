import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NewJob } from "../../src/jobs/batch-jobs.ts";
import { keepErasureKey } from "../../src/postgres/phones/erased-phones.ts";
import { keepRedisPrefix } from "../../src/postgres/schema/installation.ts";
import { claimRequest, keepAnswer } from "../../src/postgres/jobs/requests.ts";
import {
  type Repeatable,
  aRequestId,
  allowedCases,
  askingOtherwise,
  jobCommands,
  newTime,
  newTimeAt,
} from "../support/commands.ts";
import { everything } from "../support/everything.ts";
import { lookAt } from "../support/look.ts";
import { keyOf } from "../support/make-many.ts";
import { aNewJob, makeContacts, makeWholeJob, onJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { startProxy } from "../support/servers/proxy.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

const createWith = (jobs: Parts["jobs"], id: Repeatable, job: Partial<NewJob> = {}) =>
  jobs.create({ caller: parts.caller, ...id }, aNewJob(job));

test("a command that is committed is answered, though Postgres takes in nothing more", async () => {
  await using proxy = await startProxy(parts.databaseUrl);
  await using other = await startParts({ beside: { databaseUrl: proxy.url, prefix: parts.prefix } });
  const job = await makeWholeJob(parts, { status: "scheduled" });
  const request = onJob(parts, job.id, aRequestId());
  const { sprung } = proxy.trap((text) => text.includes("note_entries_removed"), "swallow the replies");
  expect(await other.jobs.start(request)).toMatchObject({ statusBefore: "scheduled", entryRemoved: true });
  await sprung;
  await proxy.cut();
  expect(await parts.jobs.start(request)).toMatchObject({ statusBefore: "scheduled" });
  expect((await lookAt(parts, job.id)).row).toMatchObject({ status: "running", revision: 2 });
});

/** Moves a request into the past. */
const age = ({ requestId }: Repeatable, by: string) =>
  sql`update requests set created_at = created_at - ${by}::interval where request_id = ${requestId}`.execute(
    parts.db,
  );

describe("the same request again", () => {
  test.each(allowedCases)(
    "$command of a job that was $status has the same answer and does nothing",
    async ({ command, status, entryRemoved }) => {
      const job = await makeWholeJob(parts, { status });
      const request = onJob(parts, job.id, aRequestId());
      const first = await jobCommands[command](parts.jobs, request);
      await parts.fanOut.run(keyOf(job));
      const after = await everything(parts);
      expect(first.entryRemoved).toBe(entryRemoved);
      expect(await jobCommands[command](parts.jobs, request)).toEqual(first);
      expect(await jobCommands[command](parts.jobs, request)).toEqual(first);
      expect(await everything(parts)).toEqual(after);
    },
  );

  test.each([
    ["a waiting job", {}],
    ["a scheduled job", newTime],
    ["a job with rejected contacts", { contacts: [...makeContacts(2), ...makeContacts(2)] }],
  ])("creating %s has the same answer and makes no second one", async (_, fields) => {
    const id = aRequestId();
    const first = await createWith(parts.jobs, id, fields);
    const after = await everything(parts);
    expect(await createWith(parts.jobs, id, fields)).toEqual(first);
    expect(await everything(parts)).toEqual(after);
  });

  test("is answered as at first when its job has moved on", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const request = onJob(parts, id, aRequestId());
    const first = await parts.jobs.start(request);
    await parts.jobs.cancel(onJob(parts, id));
    const after = await everything(parts);
    expect(await parts.jobs.start(request)).toEqual(first);
    expect(await everything(parts)).toEqual(after);
  });

  // A phone is not checked before it is rejected, so it may hold anything.
  test.each(["NUL \0", "half a pair \uD83D", "a pair in the wrong order \uDE00\uD83D"])(
    "is answered as at first when it tells of a rejected phone with %j",
    async (phone) => {
      const contacts = [...makeContacts(1), { phone, name: "", fields: {} }];
      const id = aRequestId();
      const first = await createWith(parts.jobs, id, { contacts });
      expect(first).toMatchObject({ totalContacts: 1, rejectedCount: 1 });
      expect(await createWith(parts.jobs, id, { contacts })).toEqual(first);
    },
  );
});

describe("the id of another request", () => {
  test.each(allowedCases)(
    "is refused for $command of a job that was $status",
    async ({ command, status }) => {
      const job = await makeWholeJob(parts, { status });
      const id = aRequestId();
      await jobCommands[command](parts.jobs, onJob(parts, job.id, id));
      await parts.fanOut.run(keyOf(job));
      const after = await everything(parts);
      const other = onJob(parts, job.id, askingOtherwise(id));
      expect(await refusal(jobCommands[command](parts.jobs, other))).toEqual({
        reason: "request_id_reused",
        message: "This request_id belongs to another request; give every new request a new one.",
        metadata: { field: "request_id", requestId: id.requestId },
      });
      expect(await everything(parts)).toEqual(after);
    },
  );

  test("is refused for create", async () => {
    const id = aRequestId();
    await createWith(parts.jobs, id);
    const after = await everything(parts);
    const other = askingOtherwise(id);
    expect(await refusal(createWith(parts.jobs, other))).toMatchObject({ reason: "request_id_reused" });
    expect(await everything(parts)).toEqual(after);
  });

  test("is free again after a refusal", async () => {
    const { id } = await makeWholeJob(parts, { contacts: 0 });
    const request = onJob(parts, id, aRequestId());
    expect(await refusal(parts.jobs.start(request))).toMatchObject({ reason: "no_contacts" });
    await jobCommands.add_contacts(parts.jobs, onJob(parts, id));
    const other = { ...request, ...askingOtherwise(request) };
    expect(await parts.jobs.start(other)).toMatchObject({ contactsEnqueued: 2 });
  });

  test("is free in every other RPC", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const request = onJob(parts, id, aRequestId());
    const created = await createWith(parts.jobs, request);
    await jobCommands.add_contacts(parts.jobs, request);
    await jobCommands.reschedule(parts.jobs, request);
    await parts.jobs.start(request);
    await parts.jobs.cancel(request);
    await parts.jobs.delete(request);
    expect((await lookAt(parts, created.batchJobId)).row).toMatchObject({ status: "pending" });
    expect((await lookAt(parts, id)).row).toBeUndefined();
  });

  test("is free in every other organization", async () => {
    const id = aRequestId();
    const first = await createWith(parts.jobs, id);
    const caller = await makeCaller(parts);
    const second = await parts.jobs.create({ caller, ...id }, aNewJob());
    expect(second.batchJobId).not.toBe(first.batchJobId);
    expect(await parts.jobs.get(caller, second.batchJobId)).toMatchObject({ status: "pending" });
  });
});

/** Each version that may run beside this one knows the instant of a start by this name. */
const keptAs = "dueMs";
const keptOf = async ({ requestId }: Repeatable) => {
  const { answer } = await parts.db
    .selectFrom("requests")
    .select("answer")
    .where("request_id", "=", requestId)
    .executeTakeFirstOrThrow();
  return answer;
};

describe("a kept answer", () => {
  test("of a create has the instant of the start as other versions read it", async () => {
    const id = aRequestId();
    const { scheduledStartTimeMs } = await createWith(parts.jobs, id, newTime);
    expect(scheduledStartTimeMs).toBe(newTimeAt.getTime());
    const kept = await keptOf(id);
    expect(kept).toHaveProperty(keptAs, scheduledStartTimeMs);
    expect(kept).not.toHaveProperty("scheduledStartTimeMs");
  });

  test("of a reschedule has the instant of the start as other versions read it", async () => {
    const id = aRequestId();
    const { id: jobId } = await makeWholeJob(parts);
    const { scheduledStartTimeMs } = await parts.jobs.reschedule(onJob(parts, jobId, id), newTime);
    expect(scheduledStartTimeMs).toBe(newTimeAt.getTime());
    const kept = await keptOf(id);
    expect(kept).toHaveProperty(keptAs, scheduledStartTimeMs);
    expect(kept).not.toHaveProperty("scheduledStartTimeMs");
  });

  test("of another version is told, and its Redis half done", async () => {
    const id = aRequestId();
    const scheduledJobId = randomUUID();
    const created = {
      batchJobId: randomUUID(),
      status: "scheduled" as const,
      totalContacts: 1,
      scheduledJobId,
    };
    const key = { ...id, organizationId: parts.caller.organizationId, rpc: "CreateBatchJob" };
    await parts.db.transaction().execute(async (trx) => {
      await claimRequest(trx, { ...key, fingerprint: id.fingerprint() });
      await keepAnswer(trx, { ...key, fingerprint: id.fingerprint() }, { ...created, [keptAs]: 4e12 });
    });
    const told = { ...created, scheduledStartTimeMs: 4e12, entryRemoved: false };
    expect(await createWith(parts.jobs, id)).toEqual(told);
    expect(await parts.schedule.dueTimes([scheduledJobId])).toEqual([4e12]);
  });
});

describe("an id", () => {
  test("is free 24 hours later", async () => {
    const id = aRequestId();
    const first = await createWith(parts.jobs, id, newTime);
    await age(id, "24 hours 1 second");
    const second = await createWith(parts.jobs, askingOtherwise(id));
    expect(second.batchJobId).not.toBe(first.batchJobId);
    // It belongs to the second request now, for 24 hours more.
    expect(await refusal(createWith(parts.jobs, id, newTime))).toMatchObject({ reason: "request_id_reused" });
    expect(await createWith(parts.jobs, askingOtherwise(id))).toEqual(second);
  });

  test("is free 24 hours later for another erasure, too", async () => {
    await keepRedisPrefix(parts.db, parts.prefix);
    await keepErasureKey(parts.db, parts.erasureKey);
    const id = aRequestId();
    const erase = (given: Repeatable, phone: string) =>
      parts.jobs.erase({ caller: parts.caller, ...given }, phone, "asked in writing");
    await erase(id, "+4915731000001");
    await age(id, "24 hours 1 second");
    await erase(askingOtherwise(id), "+4915731000002");
    expect(await parts.suppression.check(parts.caller, ["+4915731000002"])).toMatchObject([
      { isErased: true },
    ]);
  });

  test("that goes while a file of phones is read under it has the file refused, which comes again whole", async () => {
    const id = aRequestId();
    const phone = "+4915731000003";
    const send = (meanwhile = async () => {}) =>
      parts.importPhones(
        { caller: parts.caller, requestId: id.requestId, reason: "asked" },
        (async function* () {
          yield Buffer.from("phone\n");
          await meanwhile();
          yield Buffer.from(`${phone}\n`);
        })(),
      );
    expect(await send()).toMatchObject({ addedCount: 1 });
    await parts.suppression.remove({ caller: parts.caller, ...aRequestId() }, [phone]);
    const gone = await refusal(send(async () => void (await age(id, "24 hours 1 second"))));
    expect(gone).toMatchObject({ reason: "unavailable" });
    expect(await send()).toMatchObject({ addedCount: 1, alreadyCount: 0 });
    expect(await parts.suppression.check(parts.caller, [phone])).toHaveLength(1);
  });

  test("is taken for almost 24 hours", async () => {
    const id = aRequestId();
    const first = await createWith(parts.jobs, id, newTime);
    await age(id, "23 hours 59 minutes");
    expect(await createWith(parts.jobs, id, newTime)).toEqual(first);
  });

  test("that is empty makes nothing safe to repeat", async () => {
    const id = { ...aRequestId(), requestId: "" };
    const [first, second] = [await createWith(parts.jobs, id), await createWith(parts.jobs, id)];
    expect(second.batchJobId).not.toBe(first.batchJobId);
  });
});

/** Runs 25 pairs of calls, five at a time: as many calls as there are connections. */
async function inPairs<T>(pair: () => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  for (let round = 0; round < 5; round += 1) {
    all.push(...(await Promise.all([pair(), pair(), pair(), pair(), pair()])));
  }
  return all;
}

describe("two calls at once with one id", () => {
  test("make one job and have equal answers", async () => {
    const caller = await makeCaller(parts);
    const answers = await inPairs(() => {
      const request = { caller, ...aRequestId() };
      const call = () => parts.jobs.create(request, aNewJob(newTime));
      return Promise.all([call(), call()]);
    });
    expect(answers.map(([, second]) => second)).toEqual(answers.map(([first]) => first));
    const { jobs } = await parts.jobs.list(
      caller,
      { statuses: [], nameContains: "" },
      { size: 0, token: "" },
    );
    expect(jobs.map((job) => job.id).toSorted()).toEqual(answers.map(([a]) => a.batchJobId).toSorted());
    const due = await parts.schedule.dueTimes(answers.map(([{ scheduledJobId }]) => scheduledJobId ?? ""));
    expect(due).toEqual(answers.map(([{ scheduledStartTimeMs }]) => scheduledStartTimeMs));
  });

  test("move a job once, and name one new entry", async () => {
    const answers = await inPairs(async () => {
      const { id } = await makeWholeJob(parts, { status: "scheduled" });
      const request = onJob(parts, id, aRequestId());
      const call = () => parts.jobs.reschedule(request, newTime);
      return await Promise.all([call(), call()]);
    });
    const rows = await Promise.all(answers.map(([{ batchJobId }]) => lookAt(parts, batchJobId)));
    expect(rows.map(({ row }) => row)).toMatchObject(
      answers.map(([first]) => ({ revision: 2, scheduled_job_id: first.newScheduledJobId })),
    );
    expect(answers.map(([, second]) => second.newScheduledJobId)).toEqual(
      answers.map(([first]) => first.newScheduledJobId),
    );
  });

  test("with two requests, one is done and the other is refused", async () => {
    const ended = await inPairs(() => {
      const id = aRequestId();
      return Promise.allSettled([createWith(parts.jobs, id), createWith(parts.jobs, askingOtherwise(id))]);
    });
    expect(ended.map((pair) => pair.map(({ status }) => status).toSorted())).toEqual(
      ended.map(() => ["fulfilled", "rejected"]),
    );
    const refused = ended.flat().filter((end) => end.status === "rejected");
    expect(refused.map((end) => end.reason)).toMatchObject(
      ended.map(() => ({ reason: "request_id_reused" })),
    );
  });
});
