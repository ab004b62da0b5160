import { randomUUID } from "node:crypto";
import type { DescEnum, JsonObject } from "@bufbuild/protobuf";
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchJobStatusSchema,
  ContactStatusSchema,
  OutcomeSchema,
} from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { type Method, answered, bothListeners, callerFor } from "./callers.ts";
import { allRows, refusedAs, wrongFields } from "./refused.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const prepare = callerFor("plain fetch", service);
const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1" };
const { batchJobId } = await answered<{ batchJobId: string }>(
  prepare("createBatchJob", { ...aJob, contacts: makeContacts(2), requestId: "the first one" }),
);

/** The answer of the call, which must not have changed a row. */
async function withoutEffect<T>(call: () => Promise<T>): Promise<T> {
  const before = await allRows(db);
  const answer = await call();
  expect(await allRows(db)).toEqual(before);
  return answer;
}

const manyFields = (count: number): JsonObject =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`field ${i}`, "x"]));

/** A number after all that the enum has. */
const unknownOf = ({ values }: DescEnum) => Math.max(...values.map(({ number }) => number)) + 1;

const times = (count: number, text: string) => text.repeat(count);

const wrongCreations: [string, JsonObject, string[]][] = [
  ["no name", { name: "" }, ["name"]],
  ["a name of 201 characters", { name: times(201, "x") }, ["name"]],
  ["a name of 201 emoji", { name: times(201, "🦜") }, ["name"]],
  ["a line feed in the name", { name: "two\nlines" }, ["name"]],
  ["a NUL in the name", { name: "nul\0" }, ["name"]],
  ["a DEL in the name", { name: "del\u007f" }, ["name"]],
  ["a C1 control character in the name", { name: "nel\u0085" }, ["name"]],
  ["a description of 1,001 characters", { description: times(1001, "x") }, ["description"]],
  ["a NUL in the description", { description: "nul\0" }, ["description"]],
  ["a carriage return in the description", { description: "dos\r\n" }, ["description"]],
  ["a label without a key", { labels: { "": "x" } }, ['labels[""]']],
  ["a copy of nothing", { copyContacts: { batchJobId: "" } }, ["copy_contacts.batch_job_id"]],
  ["no number to call from", { fromPhoneNumberId: "" }, ["from_phone_number_id"]],
  ["a long number to call from", { fromPhoneNumberId: times(129, "x") }, ["from_phone_number_id"]],
  ["a control character in the number", { fromPhoneNumberId: "pn\t1" }, ["from_phone_number_id"]],
  ["an explicit call limit of 0", { concurrentCallLimit: 0 }, ["concurrent_call_limit"]],
  ["a negative call limit", { concurrentCallLimit: -5 }, ["concurrent_call_limit"]],
  ["a call limit of 1,001", { concurrentCallLimit: 1001 }, ["concurrent_call_limit"]],
  ["an explicit 0 attempts", { maxAttempts: 0 }, ["max_attempts"]],
  ["11 attempts", { maxAttempts: 11 }, ["max_attempts"]],
  ["retries after a completed call", { retryOn: ["OUTCOME_COMPLETED"] }, ["retry_on[0]"]],
  ["retries after no outcome", { retryOn: ["OUTCOME_BUSY", "OUTCOME_UNSPECIFIED"] }, ["retry_on[1]"]],
  ["retries after an outcome that there is not", { retryOn: [unknownOf(OutcomeSchema)] }, ["retry_on[0]"]],
  ["retries of those that were not dialed", { retryOn: ["OUTCOME_NOT_DIALED"] }, ["retry_on[0]"]],
  ["retries after a negative outcome", { retryOn: [-1] }, ["retry_on[0]"]],
  ["retries after one outcome twice", { retryOn: ["OUTCOME_BUSY", 3] }, ["retry_on"]],
  ["a pace of 0", { callsPerSecond: 0 }, ["calls_per_second"]],
  ["a pace that is not a number", { callsPerSecond: "NaN" }, ["calls_per_second"]],
  ["a pace of 1,001 a second", { callsPerSecond: 1_001 }, ["calls_per_second"]],
  ["a ramp of 31 days", { rampUp: "2678400s" }, ["ramp_up"]],
  ["a ramp that goes back", { rampUp: "-1s" }, ["ramp_up"]],
  ["a priority of 0", { priority: 0 }, ["priority"]],
  ["a priority of 11", { priority: 11 }, ["priority"]],
  ["no time to start within", { startWithin: "0s" }, ["start_within"]],
  ["a window of 19", { pauseWhen: { window: 19, share: 0.5 } }, ["pause_when.window"]],
  ["a share of none", { pauseWhen: { window: 20, share: 0 } }, ["pause_when.share"]],
  ["a share of more than all", { pauseWhen: { window: 20, share: 1.1 } }, ["pause_when.share"]],
  ["a negative delay", { retryDelays: ["60s", "-1s"] }, ["retry_delays[1]"]],
  ["a delay just below 0", { retryDelays: ["-0.000000001s"] }, ["retry_delays[0]"]],
  ["a delay of more than 30 days", { retryDelays: ["2592000.001s"] }, ["retry_delays[0]"]],
  ["a delay of 10,000 years", { retryDelays: ["315576000000s"] }, ["retry_delays[0]"]],
  ["a request id of 65 characters", { requestId: times(65, "x") }, ["request_id"]],
  ["a control character in the request id", { requestId: "tab\t" }, ["request_id"]],
  [
    "everything wrong",
    {
      requestId: "\n",
      name: "",
      description: "\0",
      fromPhoneNumberId: "",
      concurrentCallLimit: 0,
      maxAttempts: 0,
      retryOn: [1, unknownOf(OutcomeSchema)],
      retryDelays: ["-1s"],
    },
    [
      "request_id",
      "name",
      "description",
      "from_phone_number_id",
      "concurrent_call_limit",
      "max_attempts",
      "retry_on[0]",
      "retry_on[1]",
      "retry_delays[0]",
    ],
  ],
];

const jobMethods: Method[] = [
  "addContacts",
  "startBatchJob",
  "rescheduleBatchJob",
  "cancelBatchJob",
  "updateBatchJob",
  "deleteBatchJob",
  "getBatchJob",
  "listContacts",
];
const jobCommands = jobMethods.filter((method) => !["getBatchJob", "listContacts"].includes(method));

/** What a method needs besides its job. */
const besides: Partial<Record<Method, JsonObject>> = {
  addContacts: { contacts: makeContacts(1, 500) },
  updateBatchJob: { name: "Another" },
  rescheduleBatchJob: { scheduledStartTime: "2031-03-01T10:00:00" },
};

const unknownIds: [string, string][] = [
  ["unknown", randomUUID()],
  ["not a UUID", "7"],
  ["a UUID in braces", `{${randomUUID()}}`],
  ["a UUID and more", `${batchJobId} `],
  ["SQL", "' or true --"],
  ["emoji", "🦜"],
  ["a NUL", "\0"],
];

const wrongLists: [string, Method, JsonObject, string[]][] = [
  ["a negative page size", "listBatchJobs", { pageSize: -1 }, ["page_size"]],
  ["the smallest page size", "listBatchJobs", { pageSize: -2_147_483_648 }, ["page_size"]],
  ["an unspecified status", "listBatchJobs", { statuses: [0] }, ["statuses[0]"]],
  [
    "a status that there is not",
    "listBatchJobs",
    { statuses: [1, unknownOf(BatchJobStatusSchema)] },
    ["statuses[1]"],
  ],
  ["a status twice", "listBatchJobs", { statuses: [1, 1] }, ["statuses"]],
  ["a label without a key", "listBatchJobs", { labels: { "": "x" } }, ['labels[""]']],
  ["a long label", "listBatchJobs", { labels: { team: times(201, "x") } }, ['labels["team"]']],
  ["a long name", "listBatchJobs", { nameContains: times(201, "x") }, ["name_contains"]],
  ["a control character", "listBatchJobs", { nameContains: "\0" }, ["name_contains"]],
  ["a negative page size", "listContacts", { batchJobId, pageSize: -1 }, ["page_size"]],
  ["an unspecified status", "listContacts", { batchJobId, statuses: [0] }, ["statuses[0]"]],
  [
    "a status that there is not",
    "listContacts",
    { batchJobId, statuses: [unknownOf(ContactStatusSchema)] },
    ["statuses[0]"],
  ],
  ["a status twice", "listContacts", { batchJobId, statuses: [1, 1] }, ["statuses"]],
];

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

describe.each(bothListeners)("%s", (name) => {
  const call = callerFor(name, service);

  test.each(wrongCreations)("refuses to create a job with %s", async (_, fields, wrong) => {
    const answer = await withoutEffect(() => call("createBatchJob", { ...aJob, ...fields }));
    expect(answer).toEqual(wrongFields(wrong));
  });

  test.each(jobMethods)(
    "refuses %s without the id of a job, and with one that is too long",
    async (method) => {
      for (const id of ["", times(65, "x"), times(50_000, "x")]) {
        const request = { ...besides[method], batchJobId: id };
        expect(await withoutEffect(() => call(method, request))).toEqual(wrongFields(["batch_job_id"]));
      }
    },
  );

  const combinations = jobMethods.flatMap((method) =>
    unknownIds.map(([what, id]) => [method, what, id] as const),
  );

  test.each(combinations)("finds no job for %s if its id is %s", async (method, _, id) => {
    const answer = await withoutEffect(() => call(method, { ...besides[method], batchJobId: id }));
    expect(answer).toEqual(refusedAs("job_not_found", "not_found", { batchJobId: id }));
  });

  test.each(jobCommands)("refuses %s with an impossible revision or request id", async (method) => {
    const request = { ...besides[method], batchJobId };
    for (const expectedRevision of ["0", "-1", "-9223372036854775808"]) {
      const answer = await withoutEffect(() => call(method, { ...request, expectedRevision }));
      expect(answer).toEqual(wrongFields(["expected_revision"]));
    }
    for (const requestId of [times(65, "x"), "\u001b[2J"]) {
      const answer = await withoutEffect(() => call(method, { ...request, requestId }));
      expect(answer).toEqual(wrongFields(["request_id"]));
    }
  });

  test.each(jobCommands)("refuses %s at a revision that the job has not reached", async (method) => {
    const request = { ...besides[method], batchJobId, expectedRevision: "2" };
    expect(await withoutEffect(() => call(method, request))).toEqual(
      refusedAs("revision_mismatch", "aborted", { batchJobId, revision: "1", expectedRevision: "2" }),
    );
  });

  test("repeats the largest revision as it was given", async () => {
    const request = { batchJobId, expectedRevision: "9223372036854775807" };
    expect(await withoutEffect(() => call("startBatchJob", request))).toEqual(
      refusedAs("revision_mismatch", "aborted", { ...request, revision: "1" }),
    );
  });

  test.each(wrongLists)("refuses a list with %s: %s", async (_, method, request, wrong) => {
    expect(await withoutEffect(() => call(method, request))).toEqual(wrongFields(wrong));
  });

  test("refuses to add contacts if there are none", async () => {
    const answer = await withoutEffect(() => call("addContacts", { batchJobId, contacts: [] }));
    expect(answer).toEqual(wrongFields(["contacts"]));
  });

  test("shows the first 20 of many violations, and says how many more there are", async () => {
    const retryOn = Array.from({ length: 20 }, () => 99);
    const answer = await call("createBatchJob", { ...aJob, name: "", retryOn, description: "\0" });
    expect(answer).toMatchObject({
      refused: {
        message: expect.stringMatching(/ [1-9]\d* more violations are not shown\.$/),
        details: [{}, { fieldViolations: Array.from({ length: 20 }, () => expect.anything()) }],
      },
    });
  });

  test("refuses a read of more than 64 KiB, whatever is in it", async () => {
    expect(await call("listBatchJobs", { nameContains: "x".repeat(70_000) })).toMatchObject({
      refused: { code: "resource_exhausted", message: expect.stringContaining("65536") },
    });
  });

  const tooMany: [Method, string, number, JsonObject][] = [
    ["createBatchJob", "retry_delays", 10, { ...aJob, retryDelays: Array.from({ length: 11 }, () => "1s") }],
    ["createBatchJob", "retry_on", 20, { ...aJob, retryOn: Array.from({ length: 21 }, () => 3) }],
    ["createBatchJob", "contacts", 10_000, { ...aJob, contacts: makeContacts(10_001) }],
    ["addContacts", "contacts", 10_000, { batchJobId, contacts: makeContacts(10_001) }],
    ["addContacts", "contacts[1].fields", 100, { batchJobId, contacts: [{}, { fields: manyFields(101) }] }],
    ["listBatchJobs", "statuses", 20, { statuses: Array.from({ length: 21 }, () => 1) }],
  ];

  test.each(tooMany)("refuses %s with more %s than %i", async (method, field, limit, request) => {
    const answer = await withoutEffect(() => call(method, request));
    expect(answer).toEqual(refusedAs("too_large", "invalid_argument", { field, limit: String(limit) }));
  });

  test.each([
    ["words", "page 2"],
    ["a number", "50"],
    ["JSON that is not encoded", '["jobs",0]'],
    ["no list", base64url({ digest: "x" })],
    ["null", base64url(null)],
    ["another digest", base64url(["AAAAAAAAAAAAAAAA", 0, batchJobId])],
    ["a digest and SQL", base64url(["AAAAAAAAAAAAAAAA", "0; drop table contacts", "x"])],
    ["a NUL", "\0"],
    ["fifty thousand letters", times(50_000, "A")],
  ])("refuses a page token that was made up: %s", async (_, pageToken) => {
    const expected = refusedAs("invalid_page_token", "invalid_argument", { field: "page_token" });
    expect(await call("listBatchJobs", { pageToken })).toEqual(expected);
    expect(await call("listContacts", { batchJobId, pageToken })).toEqual(expected);
  });

  test("refuses a page token with other filters, of another list, and with other keys in it", async () => {
    await prepare("createBatchJob", aJob);
    const jobs = await answered<{ nextPageToken: string }>(call("listBatchJobs", { pageSize: 1 }));
    const contacts = await answered<{ nextPageToken: string }>(
      call("listContacts", { batchJobId, pageSize: 1 }),
    );
    const [digest] = JSON.parse(Buffer.from(jobs.nextPageToken, "base64url").toString());
    const [contactDigest] = JSON.parse(Buffer.from(contacts.nextPageToken, "base64url").toString());
    const wrong: [Method, JsonObject][] = [
      ["listBatchJobs", { pageToken: jobs.nextPageToken, nameContains: "x" }],
      ["listBatchJobs", { pageToken: jobs.nextPageToken, statuses: [1] }],
      ["listBatchJobs", { pageToken: contacts.nextPageToken }],
      ["listBatchJobs", { pageToken: base64url([digest]) }],
      ["listBatchJobs", { pageToken: base64url([digest, 1e300, batchJobId]) }],
      ["listBatchJobs", { pageToken: base64url([digest, 0, "not a UUID"]) }],
      ["listContacts", { batchJobId, pageToken: jobs.nextPageToken }],
      ["listContacts", { batchJobId, pageToken: contacts.nextPageToken, statuses: [1] }],
      ["listContacts", { batchJobId, pageToken: base64url([contactDigest, -1]) }],
      ["listContacts", { batchJobId, pageToken: base64url([contactDigest, 2 ** 31]) }],
      ["listContacts", { batchJobId, pageToken: base64url([contactDigest, 1.5]) }],
    ];
    const replies = await Promise.all(wrong.map(([method, request]) => call(method, request)));
    const expected = refusedAs("invalid_page_token", "invalid_argument", { field: "page_token" });
    expect(replies).toEqual(wrong.map(() => expected));
  });

  test("lowers a page size that is too large", async () => {
    expect(await call("listContacts", { batchJobId, pageSize: 2_147_483_647 })).toMatchObject({
      ok: { contacts: [{ number: 1 }, { number: 2 }], nextPageToken: "" },
    });
  });

  test("refuses another request under an id that has been used", async () => {
    const request = { ...aJob, requestId: "the first one" };
    expect(await withoutEffect(() => call("createBatchJob", request))).toEqual(
      refusedAs("request_id_reused", "invalid_argument", { field: "request_id", requestId: "the first one" }),
    );
  });
});
