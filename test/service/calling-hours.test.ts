import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { afterAll, describe, expect, test } from "vitest";
import {
  AccessService,
  type UpdateOrganizationRequestSchema,
} from "../../src/gen/callsheet/v1/access_service_pb.ts";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";
import { grpcTo } from "../support/transports.ts";
import { answered, bothListeners, callerFor } from "./callers.ts";
import { allRows, refusedAs } from "./refused.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1", timezone: "America/New_York" };
const workdays = { days: [1, 2, 3, 4, 5], start: "09:00", end: "17:30" };

const wrong: [string, JsonObject, string, RegExp][] = [
  ["no window", {}, "calling_hours.windows", /without a window nobody is ever called/],
  [
    "a window that passes midnight",
    { windows: [{ days: [1], start: "22:00", end: "02:00" }] },
    "calling_hours.windows[0].end",
    /write two instead: 22:00 to 24:00 on days 1, and 00:00 to 02:00 on days 2/,
  ],
  [
    "windows that overlap",
    { windows: [workdays, { days: [5], start: "17:00", end: "20:00" }] },
    "calling_hours.windows[1]",
    /write one window from 09:00 to 20:00/,
  ],
  [
    "a date that there is not",
    { windows: [workdays], exceptions: [{ date: "2027-02-29" }] },
    "calling_hours.exceptions[0].date",
    /a date on the calendar/,
  ],
];

/** Those of a job that is created with these fields. */
async function hoursOf(call: ReturnType<typeof callerFor>, fields: JsonObject) {
  const { batchJobId } = await answered<{ batchJobId: string }>(
    call("createBatchJob", { ...aJob, ...fields }),
  );
  const { batchJob } = await answered<{ batchJob: JsonObject }>(call("getBatchJob", { batchJobId }));
  return batchJob["callingHours"];
}

const nanos = { windows: [workdays], closeEarly: "3600.000000001s" };

describe.each(bothListeners)("%s", (name) => {
  const call = callerFor(name, service);

  test("shows the hours of a job as they were given, to those who ask for it", async () => {
    const callingHours = {
      windows: [workdays, { days: [6], start: "10:00", end: "24:00" }],
      exceptions: [
        { date: "2027-12-24", windows: [{ start: "09:00", end: "12:00" }] },
        { date: "2027-12-25", windows: [] },
      ],
      closeEarly: "90s",
    };
    const { batchJobId } = await answered<{ batchJobId: string }>(
      call("createBatchJob", { ...aJob, callingHours }),
    );
    expect(await answered(call("getBatchJob", { batchJobId }))).toMatchObject({
      batchJob: { batchJobId, callingHours },
    });
    const { batchJobs } = await answered<{ batchJobs: JsonObject[] }>(call("listBatchJobs", {}));
    expect(batchJobs[0]).toMatchObject({ batchJobId });
    expect(batchJobs[0]).not.toHaveProperty("callingHours");
  });

  test("closes two minutes early if nothing else is said, and has no hours if none are given", async () => {
    expect(await hoursOf(call, { callingHours: { windows: [workdays] } })).toMatchObject({
      closeEarly: "120s",
    });
    expect(await hoursOf(call, {})).toBeUndefined();
  });

  test.each(wrong)("refuses hours with %s, and says what to write", async (_, callingHours, field, says) => {
    const before = await allRows(db);
    expect(await call("createBatchJob", { ...aJob, callingHours })).toEqual(
      refusedAs("invalid_argument", "invalid_argument", { field }, says),
    );
    expect(await allRows(db)).toEqual(before);
  });

  test("refuses to close early by more than an hour", async () => {
    const answer = await call("createBatchJob", { ...aJob, callingHours: nanos });
    expect(answer).toMatchObject({ refused: { message: expect.stringContaining("close_early") } });
  });
});

test("the hours of an organization are shown and changed as its settings are", async () => {
  const access = createClient(AccessService, grpcTo(service.grpcUrl, service.apiKey));
  const callingHours = { windows: [workdays], exceptions: [], closeEarly: durationFromMs(0) };
  const settingsOf = async (request: MessageInitShape<typeof UpdateOrganizationRequestSchema>) =>
    (await access.updateOrganization(request)).organization?.settings;
  expect(await settingsOf({ settings: { callingHours } })).toMatchObject({ callingHours });
  expect((await access.getOrganization({})).organization?.settings).toMatchObject({ callingHours });
  expect(await settingsOf({ settings: { leaseLimit: 7 } })).toMatchObject({ callingHours, leaseLimit: 7 });
  const without = await settingsOf({ updateMask: { paths: ["calling_hours"] } });
  expect(without).toMatchObject({ leaseLimit: 7 });
  expect(without?.callingHours).toBeUndefined();
  const refused = await refusal(access.updateOrganization({ settings: { callingHours: {} } }));
  expect(refused).toMatchObject({ metadata: { field: "settings.calling_hours.windows" } });
});
