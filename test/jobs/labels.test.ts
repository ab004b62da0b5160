import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type JobStatus, jobStatuses } from "../../src/domain/jobs/batch-job.ts";
import type { Caller } from "../../src/domain/caller.ts";
import type { JobFilter } from "../../src/jobs/batch-jobs.ts";
import { deleteOldJobs } from "../../src/postgres/jobs/sweep.ts";
import { aNewJob, onJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

type Labels = Record<string, string>;

const createJob = async (caller: Caller, labels: Labels, fields: Parameters<typeof aNewJob>[0] = {}) =>
  (await parts.jobs.create(onJob({ caller }, ""), aNewJob({ contacts: [], labels, ...fields }))).batchJobId;

/** The ids on every page. */
async function found(caller: Caller, filter: Partial<JobFilter>, size = 3): Promise<string[]> {
  const ids: string[] = [];
  let token = "";
  do {
    const page = await parts.jobs.list(caller, filter, { size, token });
    ids.push(...page.jobs.map(({ id }) => id));
    token = page.nextPageToken;
  } while (token !== "");
  return ids;
}

const rowsOf = async ({ organizationId }: Caller) =>
  (
    await parts.db
      .selectFrom("job_labels")
      .selectAll()
      .where("organization_id", "=", organizationId)
      .execute()
  ).length;

describe("labels", () => {
  test("a job is shown with the labels that it was given, whatever is in them", async () => {
    const caller = await makeCaller(parts);
    const labels = {
      team: "north",
      "": "",
      "a \"quote\", a \\ and a 'quote'": "%_{}",
      ["__proto__"]: "polluted",
      Grüße: "🦜".repeat(200),
    };
    const id = await createJob(caller, labels);
    const job = await parts.jobs.get(caller, id);
    expect(Object.entries(job.labels).toSorted()).toEqual(Object.entries(labels).toSorted());
    for (const [key, value] of Object.entries(labels))
      expect(await found(caller, { labels: Object.fromEntries([[key, value]]) })).toEqual([id]);
  });

  test("jobs are found by all labels at once, newest first over pages, each once", async () => {
    const caller = await makeCaller(parts);
    const both: string[] = [];
    for (let i = 0; i < 8; i += 1) {
      both.unshift(await createJob(caller, { team: "north", season: "spring" }));
      await createJob(caller, { team: "north", season: "autumn" });
      await createJob(caller, { season: "spring" });
      await createJob(caller, {});
    }
    expect(await found(caller, { labels: { team: "north", season: "spring" } })).toEqual(both);
    expect(await found(caller, { labels: { season: "spring", team: "north" } }, 1)).toEqual(both);
    expect(await found(caller, { labels: { team: "north" } }, 1_000)).toHaveLength(16);
    expect(await found(caller, { labels: { team: "North" } })).toEqual([]);
    expect(await found(caller, { labels: { team: "" } })).toEqual([]);
    expect(await found(caller, { labels: { season: "north" } })).toEqual([]);
  });

  test("a job is found by the labels that it is given instead of others, and no more by those", async () => {
    const caller = await makeCaller(parts);
    const id = await createJob(caller, { team: "north", season: "spring" });
    const { job } = await parts.jobs.update(onJob({ caller }, id), { labels: { team: "south" } });
    expect(job.labels).toEqual({ team: "south" });
    expect(await found(caller, { labels: { team: "north" } })).toEqual([]);
    expect(await found(caller, { labels: { season: "spring" } })).toEqual([]);
    expect(await found(caller, { labels: { team: "south" } })).toEqual([id]);
  });

  test("labels, statuses, a name and times hold together", async () => {
    const caller = await makeCaller(parts);
    const at = "2035-01-01T10:00:00Z";
    const wanted = await createJob(caller, { team: "a" }, { name: "Spring 1", requestedStartTime: at });
    await createJob(caller, { team: "a" }, { name: "Spring 2" });
    await createJob(caller, { team: "a" }, { name: "Autumn", requestedStartTime: at });
    await createJob(caller, { team: "b" }, { name: "Spring 3", requestedStartTime: at });
    const filter = { labels: { team: "a" }, statuses: ["scheduled" as const], nameContains: "spring" };
    expect(await found(caller, filter)).toEqual([wanted]);
    const later = { from: new Date("2035-01-01T10:00:00.001Z") };
    expect(await found(caller, { ...filter, scheduledStartTime: later })).toEqual([]);
  });

  test("nobody finds another organization's jobs by the same labels", async () => {
    const [caller, other] = [await makeCaller(parts), await makeCaller(parts)];
    await createJob(other, { team: "north" });
    expect(await found(caller, { labels: { team: "north" } })).toEqual([]);
    expect(
      (await parts.jobs.countByStatus(caller, { labels: { team: "north" } })).map((c) => c.count),
    ).toEqual(jobStatuses.map(() => 0));
  });

  test("a deleted job's labels are gone with it, also where it was deleted for its age", async () => {
    const caller = await makeCaller(parts);
    const [deleted, old, kept] = [
      await createJob(caller, { a: "1", b: "2" }),
      await createJob(caller, { a: "1", b: "2" }),
      await createJob(caller, { a: "1" }),
    ];
    expect(await rowsOf(caller)).toBe(5);
    await parts.jobs.delete(onJob({ caller }, deleted));
    expect(await rowsOf(caller)).toBe(3);
    await parts.jobs.cancel(onJob({ caller }, old));
    await sql`update batch_jobs set finished_at = finished_at - interval '31 days' where id = ${old}`.execute(
      parts.db,
    );
    expect(await deleteOldJobs(parts.db, caller.organizationId, 30, 10)).toBe(1);
    expect(await rowsOf(caller)).toBe(1);
    expect(await found(caller, { labels: { a: "1" } })).toEqual([kept]);
  });

  test("a version that knows nothing of labels creates and deletes jobs beside this one", async () => {
    const caller = await makeCaller(parts);
    await sql`
      insert into batch_jobs (organization_id, name, description, from_phone_number_id, status, timezone,
        concurrent_call_limit, max_attempts, retry_on, retry_delays_ms)
      values (${caller.organizationId}, 'Of before', '', 'pn_1', 'pending', 'UTC', 5, 3, '{busy}', '{1}')
    `.execute(parts.db);
    await createJob(caller, { team: "north" });
    const { jobs } = await parts.jobs.list(caller, {}, { size: 0, token: "" });
    expect(jobs.map(({ labels }) => labels)).toEqual([{ team: "north" }, {}]);
    await sql`delete from batch_jobs where organization_id = ${caller.organizationId}`.execute(parts.db);
    expect(await rowsOf(caller)).toBe(0);
  });
});

const hour = (h: number) => new Date(Date.UTC(2034, 0, 1, h));

describe("times", () => {
  test.each(["created", "scheduledStartTime", "finishedAt"] as const)(
    "jobs are found by %s, from its beginning up to its end",
    async (field) => {
      const caller = await makeCaller(parts);
      const ids: string[] = [];
      for (let i = 0; i < 4; i += 1) {
        const id = await createJob(caller, {}, { requestedStartTime: "2035-01-01T10:00:00Z" });
        await parts.jobs.cancel(onJob({ caller }, id));
        await sql`
          update batch_jobs set created_at = timestamptz '2034-01-01Z' + ${i} * interval '1 hour',
            scheduled_at = timestamptz '2034-01-01Z' + ${i} * interval '1 hour',
            finished_at = timestamptz '2034-01-01Z' + ${i} * interval '1 hour'
          where id = ${id}`.execute(parts.db);
        ids.unshift(id);
      }
      const between = (from?: Date, to?: Date) => found(caller, { [field]: { from, to } }, 2);
      expect(await between(hour(1), hour(3))).toEqual(ids.slice(1, 3));
      expect(await between(hour(1))).toEqual(ids.slice(0, 3));
      expect(await between(undefined, hour(1))).toEqual(ids.slice(3));
      expect(await between(hour(4))).toEqual([]);
    },
  );

  test("a job that has no such time is in none", async () => {
    const caller = await makeCaller(parts);
    await createJob(caller, {});
    const since = { from: new Date(0) };
    expect(await found(caller, { scheduledStartTime: since })).toEqual([]);
    expect(await found(caller, { finishedAt: since })).toEqual([]);
    expect(await found(caller, { created: since })).toHaveLength(1);
  });
});

test("a page token is good for its own labels and times only, in whatever order they stand", async () => {
  const caller = await makeCaller(parts);
  const labels = { a: "1", b: "2" };
  for (let i = 0; i < 3; i += 1) await createJob(caller, labels);
  const list = (filter: Partial<JobFilter>, token: string) =>
    parts.jobs.list(caller, filter, { size: 2, token });
  const { nextPageToken: token } = await list({ labels }, "");
  expect((await list({ labels: { b: "2", a: "1" } }, token)).jobs).toHaveLength(1);
  const others: Partial<JobFilter>[] = [
    {},
    { labels: { a: "1" } },
    { labels: { a: "2", b: "1" } },
    { labels, created: { from: new Date(0) } },
    { labels, finishedAt: { to: new Date(0) } },
  ];
  for (const other of others)
    expect(await refusal(list(other, token))).toMatchObject({ reason: "invalid_page_token" });
});

describe("counts", () => {
  test("say how many jobs are in each status, with these filters", async () => {
    const caller = await makeCaller(parts);
    const cancelled = await createJob(caller, { team: "north" });
    await parts.jobs.cancel(onJob({ caller }, cancelled));
    for (let i = 0; i < 3; i += 1) await createJob(caller, { team: "north" }, { name: `Spring ${i}` });
    const at = "2035-01-01T10:00:00Z";
    await createJob(caller, { team: "south" }, { requestedStartTime: at });
    const counts = async (filter: Partial<JobFilter>) => {
      const all = await parts.jobs.countByStatus(caller, filter);
      expect(all.filter(({ isAtLeast }) => isAtLeast)).toEqual([]);
      return Object.fromEntries(all.map(({ status, count }) => [status, count]));
    };
    const none = Object.fromEntries(jobStatuses.map((status) => [status, 0]));
    expect(await counts({})).toEqual({ ...none, pending: 3, cancelled: 1, scheduled: 1 });
    expect(await counts({ labels: { team: "north" } })).toEqual({ ...none, pending: 3, cancelled: 1 });
    expect(await counts({ nameContains: "spring 1" })).toEqual({ ...none, pending: 1 });
    expect(await counts({ scheduledStartTime: { from: new Date(at) } })).toEqual({ ...none, scheduled: 1 });
    expect(await counts({ created: { to: new Date(0) } })).toEqual(none);
    const statuses: JobStatus[] = ["scheduled", "pending"];
    expect(await counts({ statuses })).toEqual({ pending: 3, scheduled: 1 });
    expect(await counts({ statuses, labels: { team: "south" } })).toEqual({ pending: 0, scheduled: 1 });
  });
});
