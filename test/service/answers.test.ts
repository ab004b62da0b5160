import { type MessageInitShape, create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pieceBytes } from "../../src/jobs/export/contact-export.ts";
import { largestAnswerBytes } from "../../src/domain/answer-size.ts";
import {
  type AttemptSchema,
  type BatchJobSchema,
  type ContactSchema,
  type RejectedContactSchema,
} from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  BatchJobService,
  ListBatchJobsResponseSchema,
  ListContactsResponseSchema,
} from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { EventService } from "../../src/gen/callsheet/v1/event_service_pb.ts";
import { SuppressionService } from "../../src/gen/callsheet/v1/suppression_service_pb.ts";
import type { WebhookEndpointSchema } from "../../src/gen/callsheet/v1/webhook_pb.ts";
import { WebhookService } from "../../src/gen/callsheet/v1/webhook_service_pb.ts";
import { toBatchJob, toContact } from "../../src/rpc/convert/convert.ts";
import { aNewJob, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";

/*
 * The largest answer of each RPC, made of what the proto's rules let in: text of four bytes to a character, numbers at
 * their longest. Lists are asked for of a real job: their pages end before an entry that would not fit.
 */

const four = "\u{1F4DE}";
const text = (characters: number) => four.repeat(characters);
const id = "0a4e2f4a-9d47-4c9a-8f55-6f3d2f9f7c01";
const int32 = 2 ** 31 - 1;
const time = { seconds: 253_402_300_799n, nanos: 999_000_000 };
const times = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

const counts = {
  total: int32,
  pending: int32,
  waitingRetry: int32,
  dialing: int32,
  completed: int32,
  noAnswer: int32,
  busy: int32,
  timeout: int32,
  voicemail: int32,
  blocked: int32,
  invalidNumber: int32,
  carrierError: int32,
  failed: int32,
  unknown: int32,
  suppressed: int32,
  cancelled: int32,
};

const largestEndpoint = (): MessageInitShape<typeof WebhookEndpointSchema> => ({
  webhookEndpointId: id,
  url: text(2_048),
  types: times(100, () => text(40)),
  batchJobIds: times(1_000, () => id),
  description: text(200),
  enabled: true,
  createdAt: time,
  updatedAt: time,
  sequence: 2n ** 53n,
  behind: 2n ** 53n,
  pendingDeliveries: int32,
  failingSince: time,
  lastDeliveredAt: time,
  missedEvents: 2n ** 53n,
  oldSecretExpiresAt: time,
  replayAfterSequence: 2n ** 53n,
  replayToSequence: 2n ** 53n,
});

const largestJob = (): MessageInitShape<typeof BatchJobSchema> => ({
  batchJobId: id,
  name: text(200),
  description: text(1_000),
  fromPhoneNumberId: text(128),
  status: 7,
  failureReason: "no_call_completed",
  allowedCommands: [1, 2, 3, 4, 5, 6, 7, 8],
  revision: 2n ** 53n,
  timezone: "x".repeat(64),
  requestedStartTime: "x".repeat(60),
  scheduledStartTime: time,
  scheduledJobId: id,
  createdAt: time,
  updatedAt: time,
  startedAt: time,
  finishedAt: time,
  startLag: time,
  concurrentCallLimit: 1_000,
  maxAttempts: 10,
  retryOn: [2, 3, 4, 5, 6, 7, 8, 9, 10],
  retryDelays: times(10, () => time),
  callsPerSecond: 1_000,
  rampUp: time,
  priority: 10,
  startWithin: time,
  pauseWhen: { window: 10_000, share: 1, outcomes: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] },
  pauseReason: "pause_when",
  resumeAt: time,
  counts,
  endedAttempts: int32,
});

const largestFields = Object.fromEntries(
  times(50, (i) => [`${text(62)}${String(i).padStart(2, "0")}`, text(1_000)]),
);

const largestContact = (): MessageInitShape<typeof ContactSchema> => ({
  batchJobId: id,
  number: int32,
  phone: "+123456789012345",
  name: text(200),
  fields: largestFields,
  status: 14,
  attempts: 10,
  lastOutcome: 10,
  nextAttemptAt: time,
});

const largestAttempt = (): MessageInitShape<typeof AttemptSchema> => ({
  attempt: 10,
  leaseId: "x".repeat(64),
  workerId: text(128),
  leasedAt: time,
  leaseExpiresAt: time,
  endedAt: time,
  outcome: 10,
  errorCode: text(128),
  failureReason: text(1_000),
  callDuration: time,
  providerCallId: text(128),
});

const rejected = (): MessageInitShape<typeof RejectedContactSchema> => ({
  index: int32,
  phone: text(50),
  reason: 3,
});

const added = {
  acceptedCount: int32,
  totalContacts: int32,
  rejectedContactsCount: int32,
  rejectedContacts: times(100, rejected),
};
const done = { success: true, message: text(200), batchJobId: id, status: 7 };

const suppressedPhone = () => ({
  phone: "+123456789012345",
  reason: text(200),
  addedAt: time,
  expiresAt: time,
  isErased: true,
});

const suppressed = {
  addedCount: int32,
  alreadyCount: int32,
  rejectedCount: int32,
  rejected: times(100, () => ({ phone: text(50), reason: 3, field: "expires_at", rule: text(200) })),
};

/** Undefined where a real page is looked at below, and for leases, which are bounded before they are given. */
const answers: Record<string, Record<string, unknown> | undefined> = {
  CreateBatchJob: { ...done, ...added, scheduledStartTime: time },
  AddContacts: added,
  ImportContacts: {
    ...added,
    rejectedContacts: times(100, () => ({ line: int32, phone: text(50), reason: 3 })),
    importId: id,
    keptRejectedContactsCount: int32,
  },
  StartBatchJob: { ...done, contactsEnqueued: int32, redisJobCancelled: true, startedAt: time },
  RescheduleBatchJob: { ...done, scheduledStartTime: time, oldJobCancelled: true, newScheduledJobId: id },
  RescheduleBatchJobs: {
    refused: { batchJobId: id, code: text(30), message: text(1_000), metadata: { field: text(1_000) } },
  },
  PauseBatchJob: done,
  ResumeBatchJob: done,
  CancelBatchJob: { ...done, redisJobCancelled: true, contactsCancelled: int32 },
  UpdateBatchJob: { batchJob: largestJob() },
  DeleteBatchJob: {},
  GetBatchJob: {
    batchJob: { ...largestJob(), history: times(500, () => ({ at: time, counts, endedAttempts: int32 })) },
  },
  PlanBatchJob: {
    startTime: time,
    lastCallAt: time,
    hours: times(9_601, () => ({ from: time, calls: int32 })),
    zoneSets: times(100, () => ({ zones: times(40, () => text(40)), contacts: int32, opensAt: time })),
    contactsNeverCalled: int32,
    contactsSuppressed: int32,
    contactsLeft: int32,
  },
  ReadStartTime: { scheduledStartTime: time, timezone: text(64), localTime: text(30), occursAgainAt: time },
  WatchBatchJobs: { batchJob: largestJob() },
  ExportContacts: { csv: new Uint8Array(pieceBytes) },
  // A part ends with the row that fills it, which has 256 Ki characters at most.
  ExportRejectedRows: { csv: new Uint8Array(1024 * 1024) },
  GetContact: { contact: largestContact(), attempts: times(10, largestAttempt) },
  ListBatchJobs: undefined,
  CountBatchJobs: { counts: times(7, () => ({ status: 7, count: int32, isAtLeast: true })) },
  ListContacts: undefined,
  FindContacts: undefined,
  EraseContacts: { erasedContacts: int32 },
  LeaseContacts: undefined,
  ExtendLeases: { leases: times(1_000, () => ({ leaseId: text(64), leaseExpiresAt: time })) },
  CheckLeases: { leases: times(1_000, () => ({ leaseId: text(64), state: 3, leaseExpiresAt: time })) },
  AddSuppressedPhones: suppressed,
  RemoveSuppressedPhones: { removedCount: int32, erasedCount: int32 },
  CheckSuppressedPhones: { suppressedPhones: times(1_000, suppressedPhone) },
  ListSuppressedPhones: { suppressedPhones: times(1_000, suppressedPhone), nextPageToken: text(100) },
  ImportSuppressedPhones: suppressed,
  ListEvents: undefined,
  WatchEvents: undefined,
  CreateWebhookEndpoint: { webhookEndpoint: largestEndpoint(), secret: text(60) },
  GetWebhookEndpoint: { webhookEndpoint: largestEndpoint() },
  ListWebhookEndpoints: { webhookEndpoints: times(20, largestEndpoint) },
  UpdateWebhookEndpoint: { webhookEndpoint: largestEndpoint() },
  DeleteWebhookEndpoint: {},
  RotateWebhookSecret: { webhookEndpoint: largestEndpoint(), secret: text(60) },
  SendTestEvent: { webhookId: id },
  ListWebhookDeliveries: undefined,
  ReplayEvents: { webhookEndpoint: largestEndpoint() },
  ReleaseLeases: { leases: times(1_000, () => ({ leaseId: text(64), released: true })) },
  ReportOutcomes: {
    outcomes: times(1_000, () => ({
      leaseId: text(64),
      result: 3,
      outcome: 10,
      contactStatus: 14,
      nextAttemptAt: time,
    })),
  },
};

const methods = [
  BatchJobService,
  ContactWorkerService,
  SuppressionService,
  EventService,
  WebhookService,
].flatMap((service) => service.methods);

test("every RPC has its largest answer here", () => {
  expect(methods.map(({ name }) => name).toSorted()).toEqual(Object.keys(answers).toSorted());
});

test.each(methods.filter(({ name }) => answers[name] !== undefined))(
  "the largest answer of $name fits",
  ({ name, output }) => {
    expect(toBinary(output, create(output, answers[name])).length).toBeLessThan(largestAnswerBytes);
  },
);

describe("a list of the largest entries", () => {
  let parts: Parts;
  beforeAll(async () => {
    parts = await startParts();
  });
  afterAll(() => parts[Symbol.asyncDispose]());

  test("of jobs comes in pages that fit and lack none", async () => {
    const made: string[] = [];
    for (let i = 0; i < 450; i += 1) {
      const job = aNewJob({
        name: text(200),
        description: text(1_000),
        fromPhoneNumberId: text(128),
        // Some have labels, as many and as large as can be.
        labels:
          i % 50 === 0
            ? Object.fromEntries(times(20, (n) => [text(62) + String(n).padStart(2, "0"), text(200)]))
            : {},
        contacts: [],
        retryOn: ["no_answer", "busy", "timeout", "voicemail", "blocked", "invalid_number", "carrier_error"],
        retryDelaysMs: times(10, () => 2_592_000_000),
        requestedStartTime: `2999-01-01T10:00:00.${"0".repeat(30)}`,
        timeZone: "America/Argentina/ComodRivadavia",
      });
      made.push((await parts.jobs.create(onJob(parts, ""), job)).batchJobId);
    }
    const seen: string[] = [];
    const bytes: number[] = [];
    for (let token = ""; ;) {
      const page = await parts.jobs.list(
        parts.caller,
        { statuses: [], nameContains: "" },
        { size: 1_000, token },
      );
      const batchJobs = page.jobs.map((job) => toBatchJob(job, "admin"));
      const answer = create(ListBatchJobsResponseSchema, { batchJobs, nextPageToken: page.nextPageToken });
      bytes.push(toBinary(ListBatchJobsResponseSchema, answer).length);
      seen.push(...page.jobs.map((job) => job.id));
      token = page.nextPageToken;
      if (token === "") break;
    }
    expect(seen.toSorted()).toEqual(made.toSorted());
    expect(bytes.length).toBeGreaterThan(1);
    expect(Math.max(...bytes)).toBeLessThanOrEqual(largestAnswerBytes);
    // Full all the same: not more than a tenth is left free.
    expect(bytes[0]).toBeGreaterThan(0.9 * largestAnswerBytes);
  });

  test.each([[[]], [["pending" as const]]])(
    "of contacts comes in pages that fit and lack none, with the statuses %j",
    async (statuses) => {
      const fields = Object.fromEntries(times(7, (i) => [`key ${i}`, text(1_000)]));
      const { batchJobId } = await parts.jobs.create(
        onJob(parts, ""),
        aNewJob({
          contacts: times(200, (i) => ({ phone: `+1415${5_000_000 + i}`, name: text(200), fields })),
        }),
      );
      const seen: number[] = [];
      const bytes: number[] = [];
      for (let token = ""; ;) {
        const page = await parts.jobs.listContacts(parts.caller, batchJobId, statuses, {
          size: 1_000,
          token,
        });
        const contacts = page.contacts.map((contact) => toContact(contact));
        const answer = create(ListContactsResponseSchema, { contacts, nextPageToken: page.nextPageToken });
        bytes.push(toBinary(ListContactsResponseSchema, answer).length);
        seen.push(...page.contacts.map(({ number }) => number));
        token = page.nextPageToken;
        if (token === "") break;
      }
      expect(seen).toEqual(times(200, (i) => i + 1));
      expect(bytes.length).toBeGreaterThan(1);
      expect(Math.max(...bytes)).toBeLessThanOrEqual(largestAnswerBytes);
      expect(bytes[0]).toBeGreaterThan(0.9 * largestAnswerBytes);
    },
  );
});

test("a start time is not kept at any length", async () => {
  await using parts = await startParts();
  const endless = aNewJob({ requestedStartTime: `2999-01-01T10:00:00.${"0".repeat(31)}` });
  await expect(parts.jobs.create(onJob(parts, ""), endless)).rejects.toMatchObject({
    reason: "invalid_datetime",
  });
});
