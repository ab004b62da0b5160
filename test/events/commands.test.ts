import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { aRequestId, allowedCases, jobCommands } from "../support/commands.ts";
import { aNewJob, makeContacts, makeWholeJob, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

/* Who gave which command is told with what it did. */

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

const recorded = (batchJobId: string) =>
  parts.db
    .selectFrom("events")
    .select(["type", "actor", "api_key_id", "request_id", "revision", "data"])
    .where("organization_id", "=", parts.caller.organizationId)
    .where("batch_job_id", "=", batchJobId)
    .orderBy("sequence")
    .execute();

const types = {
  start: "batch_job.started",
  reschedule: "batch_job.scheduled",
  pause: "batch_job.paused",
  resume: "batch_job.resumed",
  cancel: "batch_job.cancelled",
  delete: "batch_job.deleted",
  add_contacts: "batch_job.contacts_added",
  update: "batch_job.updated",
};

const us = () => ({ actor: "api_key", api_key_id: parts.caller.apiKeyId });

async function* aFile() {
  yield Buffer.from("phone\n+14155559999\n");
}

describe("a command", () => {
  test.each(allowedCases)(
    "$command of a job that is $status is recorded, once",
    async ({ command, status }) => {
      const { id, revision } = await makeWholeJob(parts, { status });
      const request = onJob(parts, id, aRequestId());
      await jobCommands[command](parts.jobs, request);
      await jobCommands[command](parts.jobs, request);
      const after = command === "delete" ? revision : revision + 1;
      expect(await recorded(id)).toMatchObject([
        { ...us(), type: types[command], request_id: request.requestId, revision: after },
      ]);
    },
  );

  test("that makes a job is recorded, with contacts and without", async () => {
    for (const contacts of [[], makeContacts(2)]) {
      const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts }));
      expect(await recorded(batchJobId)).toMatchObject([
        {
          ...us(),
          type: "batch_job.created",
          request_id: "",
          revision: 1,
          data: { status: "pending", totalContacts: contacts.length },
        },
      ]);
    }
  });

  test("that adds a file is recorded", async () => {
    const { id } = await makeWholeJob(parts, { status: "pending" });
    const { caller } = parts;
    const request = { caller, requestId: "a file", batchJobId: id, expectedRevision: undefined };
    await parts.contactImport.run(request, aFile());
    expect(await recorded(id)).toMatchObject([
      { ...us(), type: "batch_job.contacts_added", request_id: "a file", data: { acceptedContacts: 1 } },
    ]);
  });

  test("that is refused is not recorded", async () => {
    const { id } = await makeWholeJob(parts, { status: "completed" });
    expect(await refusal(parts.jobs.start(onJob(parts, id)))).toMatchObject({
      reason: "invalid_status",
    });
    expect(await recorded(id)).toEqual([]);
  });

  test("is recorded in the order in which those that came together were judged", async () => {
    const { id } = await makeWholeJob(parts, { status: "running" });
    await Promise.all([
      parts.jobs.pause(onJob(parts, id)),
      parts.jobs.resume(onJob(parts, id)),
      parts.jobs.cancel(onJob(parts, id)),
      parts.jobs.delete(onJob(parts, id)),
    ]);
    expect((await recorded(id)).map(({ type, revision }) => [type, revision])).toEqual([
      ["batch_job.paused", 2],
      ["batch_job.resumed", 3],
      ["batch_job.cancelled", 4],
      ["batch_job.deleted", 4],
    ]);
  });
});

test("what is recorded holds nothing of the people that are called", async () => {
  const contacts = [{ phone: "+14155550123", name: "Ada Lovelace", fields: { city: "London" } }];
  const { batchJobId } = await parts.jobs.create(
    onJob(parts, ""),
    aNewJob({ contacts, name: "For Ada", description: "Lovelace" }),
  );
  await parts.jobs.addContacts(onJob(parts, batchJobId), [
    { phone: "+14155550124", name: "Ada Byron", fields: {} },
  ]);
  const all = JSON.stringify(await recorded(batchJobId));
  expect(all).toContain("batch_job.contacts_added");
  expect(all).not.toMatch(/4155550|Ada|Lovelace|London|pn_1/);
});
