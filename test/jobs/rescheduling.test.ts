import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import type { JobStatus } from "../../src/domain/jobs/batch-job.ts";
import { BatchJobError } from "../../src/domain/batch-job-error.ts";
import type { Caller } from "../../src/domain/caller.ts";
import type { JobFilter, Move } from "../../src/jobs/batch-jobs.ts";
import { allOf } from "../support/all-of.ts";
import { makeJobs } from "../support/make-many.ts";
import { aNewJob, makeJob, onJob } from "../support/make.ts";
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

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const to: Move = { requestedStartTime: "2031-05-01T09:00:00", timeZone: "Europe/Berlin" };
const startsAt = new Date("2031-05-01T07:00:00Z");

type Asked = {
  requestId?: string;
  fingerprint?: () => Buffer;
  filter?: Partial<JobFilter>;
  signal?: AbortSignal;
};

const never = new AbortController().signal;

/** A stream of what becomes of jobs. */
function stream(caller: Caller, move: Move, asked: Asked & { on?: Parts; dry?: true } = {}) {
  const { filter = {}, on = parts, dry, signal = never, ...given } = asked;
  const sameAgain = () => Buffer.from(JSON.stringify(move));
  const request = onJob({ caller }, "", { fingerprint: sameAgain, ...given });
  const run = dry === true ? on.jobs.rescheduleAllDry : on.jobs.rescheduleAll;
  return run(request, filter, move, signal);
}

/** What becomes of each job, by its id: when it starts then, or why it is refused. */
async function all(...asked: Parameters<typeof stream>): Promise<Record<string, string>> {
  const ends: [string, string][] = [];
  for await (const end of stream(...asked)) {
    ends.push([
      end.batchJobId,
      "refusal" in end ? end.refusal.reason : new Date(end.answer.scheduledStartTimeMs).toISOString(),
    ]);
  }
  expect(new Set(ends.map(([id]) => id)).size).toBe(ends.length);
  return Object.fromEntries(ends);
}

const schedule = async (
  caller: Caller,
  start: string,
  timeZone = "",
  fields: Parameters<typeof aNewJob>[0] = {},
) =>
  (
    await parts.jobs.create(
      onJob({ caller }, ""),
      aNewJob({ contacts: [], requestedStartTime: start, timeZone, ...fields }),
    )
  ).batchJobId;

const rowsOf = async ({ organizationId }: Caller) =>
  await parts.db
    .selectFrom("batch_jobs")
    .selectAll()
    .where("organization_id", "=", organizationId)
    .orderBy("id")
    .execute();

/** How often each job has been told of as scheduled. */
async function timesTold({ organizationId }: Caller): Promise<Record<string, number>> {
  const { rows } = await sql<{ id: string; count: number }>`
    select batch_job_id as id, count(*)::int as count from events
    where organization_id = ${organizationId} and type = 'batch_job.scheduled' group by 1
  `.execute(parts.db);
  return Object.fromEntries(rows.map(({ id, count }) => [id, count]));
}

const iso = startsAt.toISOString();

describe("moves to a time", () => {
  test("every job that is pending or scheduled, each with its revision, its entry and its event, and no other", async () => {
    const caller = await makeCaller(parts);
    const beside = await makeCaller(parts);
    const makeIn = (status: JobStatus) => makeJob({ db: parts.db, caller }, { status });
    const left = await Promise.all(
      (["running", "paused", "completed", "failed", "cancelled"] as const).map(makeIn),
    );
    const pending = await makeIn("pending");
    const scheduled = await schedule(caller, "2030-01-01T00:00:00");
    const [oldEntry] = (await rowsOf(caller)).flatMap((row) => row.scheduled_job_id ?? []);
    const foreign = await makeJob({ db: parts.db, caller: beside }, { status: "scheduled" });

    expect(await all(caller, to)).toEqual({ [pending.id]: iso, [scheduled]: iso });

    const rows = new Map((await rowsOf(caller)).map((row) => [row.id, row]));
    for (const before of left) expect(rows.get(before.id)).toEqual(before);
    expect(await rowsOf(beside)).toEqual([foreign]);
    const moved = [rows.get(pending.id), rows.get(scheduled)].flatMap((row) => row ?? []);
    expect(moved.map((row) => [row.status, row.revision, row.timezone, row.requested_start_time])).toEqual([
      ["scheduled", 2, "Europe/Berlin", "2031-05-01T09:00:00"],
      ["scheduled", 2, "Europe/Berlin", "2031-05-01T09:00:00"],
    ]);
    const entries = moved.flatMap((row) => row.scheduled_job_id ?? []);
    expect(await parts.schedule.dueTimes([...entries, oldEntry ?? ""])).toEqual([
      startsAt.getTime(),
      startsAt.getTime(),
      undefined,
    ]);
    expect(await timesTold(caller)).toEqual({ [pending.id]: 1, [scheduled]: 2 });
  });

  test("only those that the filter means", async () => {
    const caller = await makeCaller(parts);
    const meant = await schedule(caller, "2030-01-01T10:00:00", "", {
      name: "Spring north",
      labels: { team: "n" },
    });
    await schedule(caller, "2030-01-01T10:00:00", "", { name: "Spring south", labels: { team: "s" } });
    await schedule(caller, "2030-01-01T10:00:00", "", { name: "Autumn", labels: { team: "n" } });
    await schedule(caller, "2030-01-01T11:00:00", "", { name: "Spring late", labels: { team: "n" } });
    const filter = {
      nameContains: "spring",
      labels: { team: "n" },
      scheduledStartTime: { from: new Date("2030-01-01T10:00:00Z"), to: new Date("2030-01-01T11:00:00Z") },
    };
    expect(await all(caller, to, { filter })).toEqual({ [meant]: iso });
    expect(await all(caller, to, { filter: { statuses: ["running"] } })).toEqual({});
  });

  test("those of them that may be, and says of the others why not", async () => {
    const caller = await makeCaller(parts);
    const ends = await schedule(caller, "2030-01-01T10:00:00", "", {
      endAt: new Date("2030-02-01T00:00:00Z"),
    });
    const moves = await schedule(caller, "2030-01-01T10:00:00");
    expect(await all(caller, to)).toEqual({ [ends]: "invalid_argument", [moves]: iso });
    expect((await rowsOf(caller)).find(({ id }) => id === ends)).toMatchObject({ revision: 1 });
  });

  test.each([
    ["invalid_timezone", { requestedStartTime: "2031-05-01T09:00:00", timeZone: "Mars/Base" }],
    ["invalid_datetime", { requestedStartTime: "tomorrow", timeZone: "" }],
    ["past_scheduled_time", { requestedStartTime: "2001-01-01T00:00:00", timeZone: "" }],
  ])(
    "none where the time itself is refused as %s, and keeps no request id for that",
    async (reason, move) => {
      const caller = await makeCaller(parts);
      const id = await schedule(caller, "2030-01-01T10:00:00");
      for (const dry of [{}, { dry: true as const }])
        expect(await refusal(all(caller, move, { requestId: "once", ...dry }))).toMatchObject({ reason });
      expect(await all(caller, to, { requestId: "once" })).toEqual({ [id]: iso });
    },
  );

  test("no job that is created while it goes on", async () => {
    const caller = await makeCaller(parts);
    await makeJobs({ db: parts.db, caller }, 1_100, { status: "pending", contacts: 0 });
    const moving = stream(caller, to);
    await moving.next();
    const late = await makeJobs({ db: parts.db, caller }, 200, { status: "pending", contacts: 0 });
    let count = 1;
    for await (const end of moving) {
      expect("answer" in end).toBe(true);
      count += 1;
    }
    expect(count).toBe(1_100);
    const rows = await rowsOf(caller);
    expect(rows.filter(({ status }) => status === "pending").map(({ id }) => id)).toEqual(
      late.map(({ id }) => id).toSorted(),
    );
  });
});

describe("moves by a shift", () => {
  test("each job by what clocks show in its own zone, over the change of some", async () => {
    const caller = await makeCaller(parts);
    const berlin = await schedule(caller, "2030-03-30T10:00:00", "Europe/Berlin");
    const newYork = await schedule(caller, "2030-03-30T10:00:00", "America/New_York");
    const utc = await schedule(caller, "2030-03-30T10:00:00.250");
    const given = await schedule(caller, "2030-03-30T10:00:00+05:00", "Europe/Berlin");
    expect(await all(caller, { shiftMs: dayMs })).toEqual({
      [berlin]: "2030-03-31T08:00:00.000Z",
      [newYork]: "2030-03-31T14:00:00.000Z",
      [utc]: "2030-03-31T10:00:00.250Z",
      [given]: "2030-03-31T04:00:00.000Z",
    });
    const rows = new Map((await rowsOf(caller)).map((row) => [row.id, row]));
    expect([berlin, utc, given].map((id) => rows.get(id)?.requested_start_time)).toEqual([
      "2030-03-31T10:00:00",
      "2030-03-31T10:00:00.250",
      "2030-03-31T06:00:00",
    ]);
    expect(rows.get(berlin)?.timezone).toBe("Europe/Berlin");
    expect(await all(caller, { shiftMs: -dayMs })).toEqual({
      [berlin]: "2030-03-30T09:00:00.000Z",
      [newYork]: "2030-03-30T14:00:00.000Z",
      [utc]: "2030-03-30T10:00:00.250Z",
      [given]: "2030-03-30T05:00:00.000Z",
    });
  });

  test("no job that has no start time", async () => {
    const caller = await makeCaller(parts);
    const pending = await makeJob({ db: parts.db, caller }, { status: "pending" });
    expect(await all(caller, { shiftMs: hourMs })).toEqual({});
    expect(await rowsOf(caller)).toEqual([pending]);
  });

  test("those of them that may be, and says of the others in a sentence why not", async () => {
    const caller = await makeCaller(parts);
    const skipped = await schedule(caller, "2030-03-30T02:30:00", "Europe/Berlin");
    const tooLate = await schedule(caller, "9999-12-31T12:00:00");
    const moves = await schedule(caller, "2030-03-30T02:30:00", "Asia/Tokyo");
    const refused = new Map<string, BatchJobError>();
    const moved: string[] = [];
    for await (const end of stream(caller, { shiftMs: dayMs })) {
      if ("refusal" in end) refused.set(end.batchJobId, end.refusal);
      else moved.push(end.batchJobId);
    }
    expect(moved).toEqual([moves]);
    expect(refused.get(skipped)).toMatchObject({
      reason: "invalid_datetime",
      metadata: { validBefore: "2030-03-31T01:59:59", validAfter: "2030-03-31T03:00:00" },
    });
    expect(refused.get(tooLate)?.message).toMatch(
      /is too late; the latest start time is 9999-12-31T23:59:59.999Z/,
    );

    expect(await all(caller, { shiftMs: -10 * 365 * dayMs })).toMatchObject({
      [skipped]: "past_scheduled_time",
      [moves]: "past_scheduled_time",
    });
  });
});

test("a dry run tells what would come of it, page by page, and changes nothing", async () => {
  const caller = await makeCaller(parts);
  await makeJobs({ db: parts.db, caller }, 1_100, { status: "scheduled", contacts: 0 });
  await schedule(caller, "2030-03-30T02:30:00", "Europe/Berlin");
  await schedule(caller, "9999-12-31T12:00:00");
  const before = await rowsOf(caller);
  const told = await timesTold(caller);
  const dry = await all(caller, { shiftMs: dayMs }, { dry: true, requestId: "the same" });
  expect(Object.keys(dry)).toHaveLength(1_102);
  expect(await rowsOf(caller)).toEqual(before);
  expect(await timesTold(caller)).toEqual(told);
  expect(await all(caller, { shiftMs: dayMs }, { requestId: "the same" })).toEqual(dry);
});

describe("a repetition", () => {
  test("answers again of all that were moved, whatever has become of them, and moves none twice", async () => {
    const caller = await makeCaller(parts);
    const ids = await Promise.all(
      Array.from({ length: 5 }, (_, i) =>
        schedule(caller, `2030-01-01T10:0${i}:00`, "", { contacts: aNewJob().contacts }),
      ),
    );
    // All of them leave the window by it.
    const asked = {
      requestId: "storm",
      filter: { scheduledStartTime: { to: new Date("2030-01-02T00:00:00Z") } },
    };
    const first = await all(caller, { shiftMs: 7 * dayMs }, asked);
    expect(Object.keys(first).toSorted()).toEqual(ids.toSorted());
    const [started = "", cancelled = "", deleted = "", again = ""] = ids;
    await parts.jobs.start(onJob({ caller }, started), undefined);
    await parts.jobs.cancel(onJob({ caller }, cancelled), undefined);
    await parts.jobs.delete(onJob({ caller }, deleted), undefined);
    await all(caller, to);
    const rows = await rowsOf(caller);
    expect(rows.find(({ id }) => id === again)?.revision).toBe(3);
    for (const on of [parts, other])
      expect(await all(caller, { shiftMs: 7 * dayMs }, { ...asked, on })).toEqual(first);
    expect(await rowsOf(caller)).toEqual(rows);
  });

  test("moves the rest, where the first call was left by its caller", async () => {
    const caller = await makeCaller(parts);
    await makeJobs({ db: parts.db, caller }, 150, { status: "scheduled", contacts: 0 });
    const asked = { requestId: "left" };
    const moving = stream(caller, { shiftMs: dayMs }, asked);
    await moving.next();
    await moving.return(undefined);
    const revisions = async () => (await rowsOf(caller)).map(({ revision }) => revision);
    const half = await revisions();
    expect(half).toContain(1);
    expect(half).toContain(2);
    expect(Object.keys(await all(caller, { shiftMs: dayMs }, { ...asked, on: other }))).toHaveLength(150);
    expect(await revisions()).toEqual(Array<number>(150).fill(2));
    expect(Object.values(await timesTold(caller))).toEqual(Array<number>(150).fill(1));
  });

  test("beside its first call on another replica moves none twice, and each answers of all", async () => {
    const caller = await makeCaller(parts);
    await makeJobs({ db: parts.db, caller }, 300, { status: "scheduled", contacts: 0 });
    const filter = { scheduledStartTime: { to: new Date(Date.now() + 2 * hourMs) } };
    const asked = { requestId: "twins", filter };
    const [one, two] = await Promise.all(
      [parts, other].map((on) => all(caller, { shiftMs: dayMs }, { ...asked, on })),
    );
    expect(Object.keys(one ?? {})).toHaveLength(300);
    expect(one).toEqual(two);
    expect((await rowsOf(caller)).map(({ revision }) => revision)).toEqual(Array<number>(300).fill(2));
    expect(Object.values(await timesTold(caller))).toEqual(Array<number>(300).fill(1));
  });

  test("answers of more jobs than are looked at at once, most of which wait no more", async () => {
    const caller = await makeCaller(parts);
    await makeJobs({ db: parts.db, caller }, 1_100, { status: "scheduled", contacts: 0 });
    const asked = { requestId: "many" };
    const first = await all(caller, { shiftMs: dayMs }, asked);
    await sql`
      update batch_jobs set status = 'running', scheduled_job_id = null, started_at = clock_timestamp()
      where organization_id = ${caller.organizationId} and id < 'f0000000-0000-0000-0000-000000000000'
    `.execute(parts.db);
    expect(await all(caller, { shiftMs: dayMs }, asked)).toEqual(first);
  });

  test("tries those again that were refused", async () => {
    const caller = await makeCaller(parts);
    const id = await schedule(caller, "2030-03-30T02:30:00", "Europe/Berlin");
    const asked = { requestId: "again" };
    expect(await all(caller, { shiftMs: dayMs }, asked)).toEqual({ [id]: "invalid_datetime" });
    const start = { requestedStartTime: "2030-03-30T05:30:00", timeZone: "Europe/Berlin" };
    await parts.jobs.reschedule(onJob({ caller }, id), start);
    expect(await all(caller, { shiftMs: dayMs }, asked)).toEqual({ [id]: "2030-03-31T03:30:00.000Z" });
  });

  test("with another request is refused, and another organization has ids of its own", async () => {
    const caller = await makeCaller(parts);
    const beside = await makeCaller(parts);
    const id = await schedule(caller, "2030-01-01T10:00:00");
    const foreign = await schedule(beside, "2030-01-01T10:00:00");
    const asked = { requestId: "mine" };
    expect(Object.keys(await all(caller, { shiftMs: dayMs }, asked))).toEqual([id]);
    expect(await refusal(all(caller, { shiftMs: hourMs }, asked))).toMatchObject({
      reason: "request_id_reused",
    });
    expect(Object.keys(await all(beside, { shiftMs: hourMs }, asked))).toEqual([foreign]);
  });
});

test("a job whose start left the window since it was looked for is refused, and is as it was made then", async () => {
  const caller = await makeCaller(parts);
  await makeJobs({ db: parts.db, caller }, 65, { status: "scheduled", contacts: 0 });
  const last = (await rowsOf(caller)).at(-1)?.id ?? "";
  const filter = { scheduledStartTime: { to: new Date(Date.now() + 2 * hourMs) } };
  const moving = stream(caller, { shiftMs: dayMs }, { filter });
  await moving.next();
  await parts.jobs.reschedule(onJob({ caller }, last), { ...to });
  const ends = await allOf(moving);
  expect(ends.at(-1)).toMatchObject({ batchJobId: last, refusal: { reason: "revision_mismatch" } });
  const row = (await rowsOf(caller)).at(-1);
  expect([row?.revision, row?.scheduled_at]).toEqual([2, startsAt]);
});

test("it stops once its signal says so, and not between a job's move and its answer", async () => {
  const caller = await makeCaller(parts);
  await makeJobs({ db: parts.db, caller }, 150, { status: "scheduled", contacts: 0 });
  const controller = new AbortController();
  const moving = stream(caller, { shiftMs: dayMs }, { signal: controller.signal });
  await moving.next();
  controller.abort(new Error("enough"));
  let answered = 1;
  await expect(async () => {
    for await (const end of moving) answered += "answer" in end ? 1 : 0;
  }).rejects.toThrow("enough");
  expect((await rowsOf(caller)).filter(({ revision }) => revision === 2)).toHaveLength(answered);
});

test("other commands of the organization go on beside it", async () => {
  const caller = await makeCaller(parts);
  await makeJobs({ db: parts.db, caller }, 1_000, { status: "scheduled", contacts: 0 });
  const own = await schedule(caller, "9000-01-01T10:00:00");
  let isOver = false;
  const moving = all(caller, { shiftMs: dayMs }).then((ends) => {
    isOver = true;
    return ends;
  });
  const seen: boolean[] = [];
  for (let i = 0; i < 5; i += 1) {
    await parts.jobs.reschedule(onJob({ caller }, own), {
      requestedStartTime: `9001-01-0${i + 1}T10:00`,
      timeZone: "",
    });
    seen.push(isOver);
  }
  expect(seen[0]).toBe(false);
  expect(Object.keys(await moving)).toHaveLength(1_001);
});
