import { createClient } from "@connectrpc/connect";
import { afterAll, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  ContactWorkerService,
  RecordedOutcome_Result as Result,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { makeContacts } from "../support/make.ts";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";
import { connectTo, grpcTo } from "../support/transports.ts";
import { allRows } from "./refused.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const backend = service.clientWith(service.apiKey);
const asking = { workerId: "worker-1", requestId: "", maxContacts: 1 };

async function leaseFirst(contacts: number) {
  const { batchJobId } = await backend.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(contacts),
  });
  await backend.startBatchJob({ batchJobId });
  const worker = createClient(ContactWorkerService, grpcTo(service.grpcUrl, service.apiKey));
  const batchJobIds = [batchJobId];
  const request = { ...asking, batchJobIds, wait: { seconds: 10n } };
  const { contacts: leased } = await worker.leaseContacts(request);
  const outcomes = leased.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
  return { batchJobId, outcomes, leaseNext: { ...asking, batchJobIds } };
}

const transports = {
  gRPC: () => grpcTo(service.grpcUrl, service.apiKey),
  "Connect with JSON": () => connectTo(service.httpUrl, service.apiKey, { useBinaryFormat: false }),
};

test.each(Object.entries(transports))("one call over %s reports and takes next", async (_, transport) => {
  const { batchJobId, outcomes, leaseNext } = await leaseFirst(2);
  const worker = createClient(ContactWorkerService, transport());
  const answer = await worker.reportOutcomes({ outcomes, leaseNext });
  expect(answer).toMatchObject({
    outcomes: [{ result: Result.RECORDED, outcome: Outcome.COMPLETED }],
    contacts: [{ batchJobId, number: 2, attempt: 1, fromPhoneNumberId: "pn_1" }],
  });
  const last = answer.contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
  const end = await worker.reportOutcomes({ outcomes: last, leaseNext });
  expect(end).toMatchObject({ outcomes: [{ result: Result.RECORDED }], contacts: [] });
  expect((await backend.getBatchJob({ batchJobId })).batchJob?.counts).toMatchObject({ completed: 2 });
});

test.each([
  [
    "a wait",
    { wait: { seconds: 1n } },
    "lease_next.wait",
    "ReportOutcomes does not wait; leave it out, and call LeaseContacts with wait if the answer has no contacts.",
  ],
  ["no worker", { workerId: "" }, "lease_next.worker_id", "must be at least 1 characters."],
  [
    "no contacts",
    { maxContacts: 0 },
    "lease_next.max_contacts",
    "must be greater than or equal to 1 and less than or equal to 1000.",
  ],
  [
    "a lease of a second",
    { leaseDuration: { seconds: 1n } },
    "lease_next.lease_duration",
    "must be greater than or equal to 10s and less than or equal to 3600s.",
  ],
])("what asks for %s is refused, and nothing is recorded", async (_, fields, field, words) => {
  const { outcomes, leaseNext } = await leaseFirst(2);
  const worker = createClient(ContactWorkerService, transports.gRPC());
  const before = await allRows(db);
  expect(
    await refusal(worker.reportOutcomes({ outcomes, leaseNext: { ...leaseNext, ...fields } })),
  ).toMatchObject({
    code: "InvalidArgument",
    reason: "invalid_argument",
    message: `The request's field ${field} is wrong: ${words}`,
    metadata: { field },
  });
  expect(await allRows(db)).toEqual(before);
});

test("a wait of nothing is none", async () => {
  const { outcomes, leaseNext } = await leaseFirst(2);
  const worker = createClient(ContactWorkerService, transports.gRPC());
  const { contacts } = await worker.reportOutcomes({ outcomes, leaseNext: { ...leaseNext, wait: {} } });
  expect(contacts).toHaveLength(1);
});
