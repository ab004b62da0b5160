import { describe, expect, test } from "vitest";
import type { ExportRequest } from "../../../src/jobs/export/contact-export.ts";
import { purgeDeletedContacts } from "../../../src/postgres/contacts/purging.ts";
import { cellsOf, fileOf, joined, piecesOf, rowsOf } from "../../support/exports.ts";
import { useFreshParts } from "../../support/fresh.ts";
import type { Parts } from "../../support/parts.ts";
import { createJobWith, makeContacts, makeJob, onJob } from "../../support/make.ts";
import { makeCaller } from "../../support/organization.ts";
import { refusal } from "../../support/refusal.ts";

const freshParts = useFreshParts();

const person = (fields: Record<string, string>, name = "", i = 0) => ({
  phone: `+1415${5_550_100 + i}`,
  name,
  fields,
});

const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 12, minute));

describe("an export", () => {
  test("has a row for each contact, by number: who it is, then what has become of it", async () => {
    await using parts = await freshParts();
    const id = await createJobWith(parts, [
      person({ plan: "x" }, "Ada", 0),
      person({ plan: "y, z", city: "Köln" }, 'B "o"', 1),
      person({}, "", 2),
    ]);
    await parts.db
      .insertInto("attempts")
      .values([
        attempt(parts, id, { number: 1, outcome: "no_answer", leased_at: at(0), next_attempt_at: at(5) }),
        attempt(parts, id, {
          number: 1,
          attempt: 2,
          outcome: "completed",
          leased_at: at(6),
          call_duration_ms: 12_500,
          error_code: "200",
          failure_reason: "=none\tat all",
        }),
        attempt(parts, id, { number: 2, outcome: "busy", leased_at: at(7), next_attempt_at: at(9) }),
      ])
      .execute();
    await parts.db
      .updateTable("batch_jobs")
      .set({ pending_contacts: 1, completed_contacts: 1, waiting_retry_contacts: 1 })
      .where("id", "=", id)
      .execute();
    expect((await fileOf(parts, id)).toString()).toBe(
      [
        "phone,name,plan,city,status,attempts,last_outcome,error_code,failure_reason,call_duration_seconds,last_attempt_at",
        "'+14155550100,Ada,x,',completed,2,completed,200,'=none\tat all,12.5,2026-01-01T12:06:00.000Z",
        `'+14155550101,"B ""o""","y, z",Köln,waiting_retry,1,busy,,,,2026-01-01T12:07:00.000Z`,
        "'+14155550102,,',',pending,0,,,,,",
        "",
      ].join("\r\n"),
    );
  });

  test("shows each attempt in columns of its own where that is asked for", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { status: "running", contacts: 2, dialing: 1 });
    await parts.db
      .insertInto("attempts")
      .values([
        attempt(parts, job.id, {
          number: 2,
          outcome: "busy",
          leased_at: at(0),
          ended_at: at(1),
          next_attempt_at: at(2),
        }),
        attempt(parts, job.id, {
          number: 2,
          attempt: 2,
          outcome: "failed",
          leased_at: at(3),
          ended_at: at(4),
        }),
      ])
      .execute();
    await parts.db
      .updateTable("batch_jobs")
      .set({ pending_contacts: 0, failed_contacts: 1 })
      .where("id", "=", job.id)
      .execute();
    const [first, second] = rowsOf(await fileOf(parts, job.id, { attempts: "all" }));
    expect(first).toMatchObject({
      status: "dialing",
      attempts: "1",
      last_outcome: "",
      attempt_1_outcome: "",
      attempt_1_ended_at: "",
      attempt_1_worker_id: "worker-1",
      attempt_2_started_at: "",
    });
    expect(first?.attempt_1_started_at).toBe(first?.last_attempt_at);
    expect(second).toMatchObject({
      status: "failed",
      attempts: "2",
      last_outcome: "failed",
      attempt_1_outcome: "busy",
      attempt_1_started_at: "2026-01-01T12:00:00.000Z",
      attempt_1_ended_at: "2026-01-01T12:01:00.000Z",
      attempt_2_outcome: "failed",
      attempt_2_worker_id: "'=worker",
    });
    expect(Object.keys(first ?? {})).not.toContain("attempt_3_outcome");
  });

  test("has the contacts of the statuses asked for, a cancelled job's open ones as cancelled", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { status: "cancelled", contacts: 3, dialing: 1 });
    const statusesOf = async (...statuses: ExportRequest["statuses"]) =>
      rowsOf(await fileOf(parts, job.id, { statuses })).map(({ status }) => status);
    expect(await statusesOf()).toEqual(["dialing", "cancelled", "cancelled"]);
    expect(await statusesOf("dialing", "pending")).toEqual(["dialing"]);
    expect(await statusesOf("cancelled", "completed")).toEqual(["cancelled", "cancelled"]);
    expect(cellsOf(await fileOf(parts, job.id, { statuses: ["completed"] }))).toHaveLength(1);
  });

  test("of a job without contacts is the titles", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { contacts: 0 });
    expect(cellsOf(await fileOf(parts, job.id))).toEqual([
      expect.arrayContaining(["phone", "name", "status", "last_attempt_at"]),
    ]);
  });

  test("is refused of a job that is another organization's, or nobody's", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts);
    const other = await makeCaller(parts);
    const ofOther = refusal(() => fileOf(parts, job.id, { caller: other }));
    expect(await ofOther).toMatchObject({ reason: "job_not_found" });
    expect(await refusal(() => fileOf(parts, "7"))).toMatchObject({ reason: "job_not_found" });
  });

  test("of contacts with more different fields than a file has columns for is refused", async () => {
    await using parts = await freshParts();
    const contacts = Array.from({ length: 21 }, (_, i) => {
      const names = Array.from({ length: 50 }, (__, k) => `field ${50 * i + k}`);
      return person(Object.fromEntries(names.map((name) => [name, "x"])), "", i);
    });
    const id = await createJobWith(parts, contacts.slice(0, 20));
    expect(cellsOf(await fileOf(parts, id))[0]).toHaveLength(2 + 1_000 + 7);
    await parts.jobs.addContacts(onJob(parts, id), contacts.slice(20));
    expect(await refusal(() => fileOf(parts, id))).toMatchObject({
      reason: "too_large",
      metadata: { field: "fields", limit: "1000" },
    });
  });
});

const attempt = (
  { caller }: Pick<Parts, "caller">,
  jobId: string,
  fields: { number: number; outcome: "busy" } | Record<string, unknown>,
) => ({
  organization_id: caller.organizationId,
  job_id: jobId,
  number: 1,
  attempt: 1,
  nonce: 0,
  worker_id: "=worker",
  leased_at: new Date(),
  expires_at: new Date(),
  ended_at: new Date(),
  outcome: "completed" as const,
  next_attempt_at: null,
  reported_at: null,
  ...fields,
});

describe("an export is as of one instant", () => {
  test("whatever happens to its job while it is read", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { status: "running", contacts: 20_000 });
    const pieces = piecesOf(parts, job.id);
    const first = await pieces.next();
    await parts.jobs.addContacts(onJob(parts, job.id), makeContacts(100, 20_000));
    await parts.jobs.cancel(onJob(parts, job.id));
    await parts.db
      .insertInto("attempts")
      .values([attempt(parts, job.id, { number: 19_999 })])
      .execute();
    await parts.jobs.delete(onJob(parts, job.id));
    while (await purgeDeletedContacts(parts.db, 5_000));
    const rows = rowsOf(Buffer.concat([first.value ?? Buffer.alloc(0), await joined(pieces)]));
    expect(rows).toHaveLength(20_000);
    expect(new Set(rows.map(({ status }) => status))).toEqual(new Set(["pending"]));
  });
});
