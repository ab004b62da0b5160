import type { JsonObject } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { afterAll, describe, expect, test } from "vitest";
import { SuppressionService } from "../../src/gen/callsheet/v1/suppression_service_pb.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { grpcTo } from "../support/transports.ts";
import { answered, bothListeners, callerFor } from "./callers.ts";

/* PlanBatchJob, as clients see it; what it reckons is in test/domain/plan.test.ts. */

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());

describe.each(bothListeners)("over %s", (name) => {
  const call = callerFor(name, service);

  async function create(fields: JsonObject = {}): Promise<string> {
    const job = {
      name: "Spring campaign",
      fromPhoneNumberId: "pn_1",
      contacts: makeContacts(100),
      ...fields,
    };
    return (await answered<{ batchJobId: string }>(call("createBatchJob", job))).batchJobId;
  }

  const plan = (batchJobId: string, fields: JsonObject = {}) =>
    answered<JsonObject>(call("planBatchJob", { batchJobId, assumedCallDuration: "60s", ...fields }));

  const office = { windows: [{ days: [1, 2, 3, 4, 5], start: "09:00", end: "17:00" }], closeEarly: "0s" };
  const atNight = { scheduledStartTime: "2099-01-05T03:00:00", timezone: "Europe/Paris" };

  test("a run is planned by the job's time, hours and limits", async () => {
    const batchJobId = await create({ ...atNight, callingHours: office, concurrentCallLimit: 1 });
    const open = "2099-01-05T08:00:00Z";
    expect(await plan(batchJobId)).toEqual({
      startTime: "2099-01-05T02:00:00Z",
      zoneSets: [{ zones: ["Europe/Paris"], contacts: 100, opensAt: open }],
      hours: [
        { from: open, calls: 60 },
        { from: "2099-01-05T09:00:00Z", calls: 40 },
      ],
      contactsNeverCalled: 0,
      contactsSuppressed: 0,
      contactsLeft: 0,
      lastCallAt: expect.stringMatching(/^2099-01-05T09:(39|40)/),
    });
  });

  test("a run at the end of all time is planned up to there", async () => {
    const batchJobId = await create({ concurrentCallLimit: 1 });
    expect(await plan(batchJobId, { startTime: "9999-12-31T23:30:00Z" })).toMatchObject({
      hours: [{ from: "9999-12-31T23:30:00Z", calls: 60 }],
      lastCallAt: "9999-12-31T23:59:59.999Z",
    });
  });

  test("another time may be asked for, and outcomes assumed", async () => {
    const retries = { retryOn: ["OUTCOME_BUSY"], retryDelays: ["3600s"], maxAttempts: 2 };
    const batchJobId = await create({ ...retries, concurrentCallLimit: 100 });
    const assumedOutcomes = [
      { outcome: "OUTCOME_BUSY", share: 0.3 },
      { outcome: "OUTCOME_FAILED", share: 0.2 },
    ];
    expect(await plan(batchJobId, { startTime: "2099-01-05T10:00:00Z", assumedOutcomes })).toMatchObject({
      startTime: "2099-01-05T10:00:00Z",
      hours: [
        { from: "2099-01-05T10:00:00Z", calls: 100 },
        { from: "2099-01-05T11:00:00Z", calls: 30 },
      ],
    });
  });

  test("a run over several zones is planned by each, and who is in none is never called", async () => {
    const contacts = [
      ...makeContacts(3).map((contact) => ({ ...contact, timezone: "Asia/Tokyo" })),
      ...["+33123456789", "+33123456780", "+672100000"].map((phone) => ({ phone })),
    ];
    const batchJobId = await create({ ...atNight, callingHours: office, contacts, zonesFromPhone: true });
    expect(await plan(batchJobId)).toMatchObject({
      zoneSets: [
        { zones: ["Asia/Tokyo"], contacts: 3, opensAt: "2099-01-05T02:00:00Z" },
        { zones: ["Europe/Paris"], contacts: 2, opensAt: "2099-01-05T08:00:00Z" },
        { zones: [], contacts: 1 },
      ],
      hours: [
        { from: "2099-01-05T02:00:00Z", calls: 3 },
        { from: "2099-01-05T08:00:00Z", calls: 2 },
      ],
      contactsNeverCalled: 1,
      contactsLeft: 0,
    });
    const { batchJob } = await answered<{ batchJob: JsonObject }>(call("getBatchJob", { batchJobId }));
    expect(batchJob["zonesFromPhone"]).toBe(true);
    const { contact } = await answered<{ contact: JsonObject }>(
      call("getContact", { batchJobId, number: 1 }),
    );
    expect(contact["timezone"]).toBe("Asia/Tokyo");
  });

  test("who can never be called is told before the start", async () => {
    const closed = {
      windows: [],
      exceptions: [{ date: "2099-01-01", windows: [{ start: "09:00", end: "17:00" }] }],
    };
    const batchJobId = await create({ ...atNight, callingHours: closed });
    expect(await plan(batchJobId)).toEqual({
      startTime: "2099-01-05T02:00:00Z",
      zoneSets: [{ zones: ["Europe/Paris"], contacts: 100 }],
      hours: [],
      contactsNeverCalled: 100,
      contactsSuppressed: 0,
      contactsLeft: 0,
    });
  });

  test("whose phone is suppressed is told apart, and in no set and no hour", async () => {
    const contacts = makeContacts(6, 1_000).map((contact, i) => ({
      ...contact,
      timezone: i < 3 ? "Asia/Tokyo" : "",
    }));
    const batchJobId = await create({ ...atNight, callingHours: office, contacts });
    const phones = [0, 1, 2, 5].map((i) => ({ phone: contacts[i]?.phone ?? "", reason: "opted out" }));
    const list = createClient(SuppressionService, grpcTo(service.grpcUrl, service.apiKey));
    await list.addSuppressedPhones({ phones });
    expect(await plan(batchJobId)).toMatchObject({
      zoneSets: [{ zones: ["Europe/Paris"], contacts: 2, opensAt: "2099-01-05T08:00:00Z" }],
      hours: [{ from: "2099-01-05T08:00:00Z", calls: 2 }],
      contactsNeverCalled: 0,
      contactsSuppressed: 4,
      contactsLeft: 0,
    });
  });

  test("of a job that has ended nothing is left, and a time that has passed is now", async () => {
    const batchJobId = await create();
    await call("cancelBatchJob", { batchJobId });
    const before = new Date().toISOString();
    const planned = await plan(batchJobId, { startTime: "2020-01-01T00:00:00Z" });
    expect(planned).toMatchObject({ hours: [], zoneSets: [], contactsNeverCalled: 0 });
    expect(String(planned["startTime"]) > before.slice(0, 16)).toBe(true);
  });

  test.each<[string, JsonObject, string]>([
    ["without a duration", { assumedCallDuration: null }, "assumed_call_duration"],
    ["with calls of no time", { assumedCallDuration: "0s" }, "assumed_call_duration"],
    ["with calls of hours", { assumedCallDuration: "3601s" }, "assumed_call_duration"],
    [
      "with more outcomes than attempts",
      {
        assumedOutcomes: [
          { outcome: "OUTCOME_BUSY", share: 0.6 },
          { outcome: "OUTCOME_FAILED", share: 0.5 },
        ],
      },
      "assumed_outcomes",
    ],
    [
      "with an outcome twice",
      {
        assumedOutcomes: [
          { outcome: "OUTCOME_BUSY", share: 0.1 },
          { outcome: "OUTCOME_BUSY", share: 0.1 },
        ],
      },
      "assumed_outcomes",
    ],
    [
      "with a share below 0",
      { assumedOutcomes: [{ outcome: "OUTCOME_BUSY", share: -0.1 }] },
      "assumed_outcomes[0].share",
    ],
    [
      "with an outcome that ends no attempt",
      { assumedOutcomes: [{ outcome: "OUTCOME_NOT_DIALED", share: 0.1 }] },
      "assumed_outcomes[0].outcome",
    ],
  ])("a plan %s is refused", async (_, fields, field) => {
    const batchJobId = await create();
    const reply = await call("planBatchJob", { batchJobId, assumedCallDuration: "60s", ...fields });
    expect(JSON.stringify(reply)).toContain(`"field":"${field}"`);
    expect(JSON.stringify(reply)).toContain("INVALID_ARGUMENT");
  });
});
