import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commands } from "../../src/domain/jobs/batch-job.ts";
import { jobCommands, allowedStatusOf } from "../support/commands.ts";
import { everything } from "../support/everything.ts";
import { lookAt } from "../support/look.ts";
import { entryIdOf } from "../support/make-many.ts";
import { makeJob, makeWholeJob, onJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

const notFound = (batchJobId: string) => ({
  reason: "job_not_found",
  message: "There is no such batch job in this organization.",
  metadata: { batchJobId },
});

describe("expected revision", () => {
  test.each(commands)("%s does its work if it is right", async (command) => {
    const { id } = await makeWholeJob(parts, { status: allowedStatusOf(command) });
    await parts.jobs.addContacts(onJob(parts, id), [{ phone: "+14159999999", name: "", fields: {} }]);
    const before = await lookAt(parts, id);
    await jobCommands[command](parts.jobs, onJob(parts, id, { expectedRevision: 2 }));
    expect((await lookAt(parts, id)).row).not.toEqual(before.row);
  });

  test.each(commands.flatMap((command) => [1, 3].map((n) => ({ command, n }))))(
    "$command changes nothing if it is $n and not 2",
    async ({ command, n }) => {
      const { id } = await makeWholeJob(parts, { status: "scheduled" });
      await jobCommands.add_contacts(parts.jobs, onJob(parts, id));
      const before = await everything(parts);
      const request = onJob(parts, id, { expectedRevision: n, requestId: "r-1" });
      expect(await refusal(jobCommands[command](parts.jobs, request))).toEqual({
        reason: "revision_mismatch",
        message: `The batch job is at revision 2, not ${n}; read it again and decide anew.`,
        metadata: { batchJobId: id, revision: "2", expectedRevision: String(n) },
      });
      expect(await everything(parts)).toEqual(before);
    },
  );

  test("is compared before the status is judged", async () => {
    const { id } = await makeWholeJob(parts, { status: "completed" });
    const refused = await refusal(parts.jobs.start(onJob(parts, id, { expectedRevision: 9 })));
    expect(refused.reason).toBe("revision_mismatch");
  });
});

describe("a job that is not there", () => {
  const notThere = "0a4e2f4a-9d47-4c9a-8f55-6f3d2f9f7c01";
  const page = { size: 0, token: "" };

  test.each(commands)("%s of another organization's job changes nothing", async (command) => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const caller = await makeCaller(parts);
    const before = await everything(parts);
    expect(await refusal(jobCommands[command](parts.jobs, onJob({ caller }, id)))).toEqual(notFound(id));
    expect(await everything(parts)).toEqual(before);
  });

  test.each(commands)("%s of another organization's job does not tell its revision", async (command) => {
    const { id } = await makeWholeJob(parts, { status: "completed" });
    const request = onJob({ caller: await makeCaller(parts) }, id, { expectedRevision: 9 });
    expect(await refusal(jobCommands[command](parts.jobs, request))).toEqual(notFound(id));
  });

  test("another organization's job cannot be read", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const caller = await makeCaller(parts);
    expect(await refusal(parts.jobs.get(caller, id))).toEqual(notFound(id));
    expect(await refusal(parts.jobs.listContacts(caller, id, [], page))).toEqual(notFound(id));
    expect(await parts.jobs.list(caller, { statuses: [], nameContains: "" }, page)).toEqual({
      jobs: [],
      nextPageToken: "",
    });
  });

  test.each(commands)("%s of a job that never was is refused", async (command) => {
    expect(await refusal(jobCommands[command](parts.jobs, onJob(parts, notThere)))).toEqual(
      notFound(notThere),
    );
  });

  test.each(commands)("%s of a deleted job is refused", async (command) => {
    const { id } = await makeWholeJob(parts);
    await parts.jobs.delete(onJob(parts, id));
    expect(await refusal(jobCommands[command](parts.jobs, onJob(parts, id)))).toEqual(notFound(id));
    expect(await refusal(parts.jobs.get(parts.caller, id))).toEqual(notFound(id));
  });

  test.each([
    "",
    "job-1",
    "0",
    "0a4e2f4a9d474c9a8f556f3d2f9f7c01",
    `${notThere} `,
    "'; drop table contacts; --",
  ])("%j is the id of none", async (id) => {
    expect(await refusal(parts.jobs.start(onJob(parts, id)))).toEqual(notFound(id));
    expect(await refusal(parts.jobs.get(parts.caller, id))).toEqual(notFound(id));
  });

  test("a very long id is cut in the refusal", async () => {
    expect(await refusal(parts.jobs.get(parts.caller, "x".repeat(100_000)))).toEqual(
      notFound("x".repeat(64)),
    );
  });

  test("an id in capitals finds its job", async () => {
    const { id } = await makeJob(parts);
    expect(await parts.jobs.get(parts.caller, id.toUpperCase())).toMatchObject({ id });
  });
});

describe("a job without contacts", () => {
  test.each(["pending", "scheduled"] as const)("that is %s is not started", async (status) => {
    const { id } = await makeWholeJob(parts, { status, contacts: 0 });
    const before = await everything(parts);
    expect(await refusal(parts.jobs.start(onJob(parts, id)))).toEqual({
      reason: "no_contacts",
      message: "The batch job has no contacts; add some first.",
      metadata: { batchJobId: id, status },
    });
    expect(await everything(parts)).toEqual(before);
  });

  test.each(["reschedule", "cancel", "delete", "add_contacts", "update"] as const)(
    "takes %s",
    async (command) => {
      const { id } = await makeWholeJob(parts, { contacts: 0 });
      await jobCommands[command](parts.jobs, onJob(parts, id));
      expect((await lookAt(parts, id)).row?.revision).not.toBe(1);
    },
  );
});

describe("a dialing contact", () => {
  test.each(["paused", "completed", "failed", "cancelled"] as const)(
    "keeps a %s job from deletion",
    async (status) => {
      const { id } = await makeWholeJob(parts, { status, dialing: 1 });
      const before = await everything(parts);
      expect(await refusal(parts.jobs.delete(onJob(parts, id)))).toEqual({
        reason: "invalid_status",
        message: "1 of the batch job's contacts are dialing; delete it when their calls have ended.",
        metadata: {
          batchJobId: id,
          status,
          allowedStatuses: "pending,scheduled,paused,completed,failed,cancelled",
        },
      });
      expect(await everything(parts)).toEqual(before);
    },
  );

  test.each(["running", "paused"] as const)("is left alone when a %s job is cancelled", async (status) => {
    const { id } = await makeWholeJob(parts, { status, dialing: 1 });
    const was = await lookAt(parts, id);
    expect(await parts.jobs.cancel(onJob(parts, id))).toMatchObject({ contactsCancelled: 2 });
    expect(await lookAt(parts, id)).toMatchObject({
      row: { status: "cancelled", dialing_contacts: 1, pending_contacts: 2 },
      contacts: was.contacts,
    });
  });
});

test("after a reschedule the old entry starts nothing, though it is due", async () => {
  const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1_000 });
  await jobCommands.reschedule(parts.jobs, onJob(parts, job.id));
  const before = await everything(parts);
  expect(await parts.startDue([entryIdOf(job)])).toEqual({
    done: [entryIdOf(job)],
    later: [],
    locked: [],
    started: [],
  });
  expect(await everything(parts)).toEqual(before);
});
