import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { aRequestId, askingOtherwise, jobCommands, newTime } from "../support/commands.ts";
import { everything } from "../support/everything.ts";
import { aNewJob, makeWholeJob, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
let runningId: string;
beforeAll(async () => {
  parts = await startParts();
  runningId = (await makeWholeJob(parts, { status: "running" })).id;
});
afterAll(() => parts[Symbol.asyncDispose]());

const wrong = {
  timeZone: "Mars/Olympus_Mons",
  requestedStartTime: "tomorrow",
  past: "2020-01-01T00:00:00",
  revision: 99,
};

describe("of several reasons to refuse a reschedule the first is told", () => {
  test.each([
    ["invalid_timezone", wrong.timeZone, wrong.requestedStartTime, "an unknown", wrong.revision],
    ["invalid_timezone", wrong.timeZone, wrong.past, "an unknown", wrong.revision],
    ["invalid_timezone", wrong.timeZone, `${wrong.past}Z`, "a running", undefined],
    ["invalid_datetime", "UTC", wrong.requestedStartTime, "an unknown", wrong.revision],
    ["invalid_datetime", "UTC", "", "a running", wrong.revision],
    ["past_scheduled_time", "UTC", wrong.past, "an unknown", wrong.revision],
    ["past_scheduled_time", "UTC", wrong.past, "a running", undefined],
    ["job_not_found", "UTC", newTime.requestedStartTime, "an unknown", wrong.revision],
    ["revision_mismatch", "UTC", newTime.requestedStartTime, "a running", wrong.revision],
    ["invalid_status", "UTC", newTime.requestedStartTime, "a running", 1],
  ] as const)(
    "%s: zone %j, time %j, %s job, revision %s",
    async (reason, timeZone, requestedStartTime, job, expectedRevision) => {
      const before = await everything(parts);
      const id = { "an unknown": "0a4e2f4a-9d47-4c9a-8f55-6f3d2f9f7c01", "a running": runningId }[job];
      const request = onJob(parts, id, { expectedRevision, ...aRequestId() });
      const refused = await refusal(parts.jobs.reschedule(request, { requestedStartTime, timeZone }));
      expect(refused.reason).toBe(reason);
      expect(await everything(parts)).toEqual(before);
    },
  );
});

describe("of several reasons to refuse a create the first is told", () => {
  const nobody = [{ phone: "junk", name: "", fields: {} }];

  test.each([
    ["invalid_timezone", wrong.timeZone, wrong.requestedStartTime],
    ["invalid_timezone", wrong.timeZone, wrong.past],
    ["invalid_timezone", wrong.timeZone, "2031-05-05T10:00:00Z"],
    ["invalid_timezone", wrong.timeZone, ""],
    ["invalid_datetime", "UTC", wrong.requestedStartTime],
    ["past_scheduled_time", "UTC", wrong.past],
    ["no_valid_contacts", "UTC", newTime.requestedStartTime],
    ["no_valid_contacts", "", ""],
  ])("%s: zone %j, time %j", async (reason, timeZone, requestedStartTime) => {
    const before = await everything(parts);
    const job = aNewJob({ timeZone, requestedStartTime, contacts: nobody });
    const refused = await refusal(parts.jobs.create({ caller: parts.caller, ...aRequestId() }, job));
    expect(refused.reason).toBe(reason);
    expect(await everything(parts)).toEqual(before);
  });
});

describe("a request id is looked up before anything else", () => {
  const nonsense = { requestedStartTime: wrong.requestedStartTime, timeZone: wrong.timeZone };

  test("the same request is answered though its time would be refused by now", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const request = onJob(parts, id, aRequestId());
    const first = await parts.jobs.reschedule(request, newTime);
    expect(await parts.jobs.reschedule(request, nonsense)).toEqual(first);
  });

  test("another request is refused for its id though its time is wrong too", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const request = onJob(parts, id, aRequestId());
    await parts.jobs.reschedule(request, newTime);
    const refused = await refusal(
      parts.jobs.reschedule({ ...request, ...askingOtherwise(request) }, nonsense),
    );
    expect(refused.reason).toBe("request_id_reused");
  });

  test("the same request is answered though its job is gone", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const request = onJob(parts, id, aRequestId());
    const first = await parts.jobs.cancel(request);
    await parts.jobs.delete(onJob(parts, id));
    expect(await parts.jobs.cancel(request)).toEqual(first);
  });

  test("the same request is answered though its revision is not the job's any more", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled" });
    const request = onJob(parts, id, { ...aRequestId(), expectedRevision: 1 });
    const first = await jobCommands.add_contacts(parts.jobs, request);
    expect(await jobCommands.add_contacts(parts.jobs, request)).toEqual(first);
  });
});

describe("past is judged by the database's clock", () => {
  test("a start time a second ago is refused, and the database's time told", async () => {
    const { id } = await makeWholeJob(parts);
    const ago = new Date(parts.clock.now() - 1_000).toISOString();
    const refused = await refusal(
      parts.jobs.reschedule(onJob(parts, id), { requestedStartTime: ago, timeZone: "" }),
    );
    expect(refused).toMatchObject({
      reason: "past_scheduled_time",
      metadata: { field: "scheduled_start_time", now: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) },
    });
  });

  test("a start time in a minute is taken", async () => {
    const { id } = await makeWholeJob(parts);
    const soon = new Date(parts.clock.now() + 60_000);
    const answer = await parts.jobs.reschedule(onJob(parts, id), {
      requestedStartTime: soon.toISOString(),
      timeZone: "",
    });
    expect(answer.scheduledStartTimeMs).toBe(soon.getTime());
  });
});
