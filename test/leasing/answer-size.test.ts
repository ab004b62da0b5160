import { randomUUID } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { type Transport, createClient } from "@connectrpc/connect";
import { afterAll, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  ContactWorkerService,
  LeaseContactsResponseSchema,
  RecordedOutcome_Result as Result,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { ensureOrganization } from "../../src/postgres/api-keys.ts";
import { writeLine } from "../../src/postgres/contacts/contact-blocks.ts";
import { largestAnswerBytes } from "../../src/domain/answer-size.ts";
import { createGrpcJsTransport } from "../rpc/grpc-js-transport.ts";
import { eventually } from "../support/eventually.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());
await db.updateTable("organizations").set({ lease_limit: 1_000 }).execute();

const withKey =
  (transport: Transport): Transport["unary"] =>
  (method, signal, timeoutMs, header, ...rest) => {
    const headers = new Headers(header);
    headers.set("authorization", `Bearer ${service.apiKey}`);
    return transport.unary(method, signal, timeoutMs, headers, ...rest);
  };

/** A stock client, which takes answers of 4 MiB. */
function stockWorker() {
  const transport = createGrpcJsTransport(new URL(service.grpcUrl).host);
  return createClient(ContactWorkerService, { ...transport, unary: withKey(transport) });
}

/** A running job of contacts as they can be in a database, larger than what is taken today. */
async function runJob(count: number, fields: Record<string, string>, name = ""): Promise<string> {
  const backend = service.clientWith(service.apiKey);
  const creation = { name: "Large", fromPhoneNumberId: "ü".repeat(128), concurrentCallLimit: 1_000 };
  const { batchJobId } = await backend.createBatchJob(creation);
  const organization_id = await ensureOrganization(db, "default");
  for (let number = 1; number <= count; number += 1) {
    const contacts = writeLine(`+1415${5_000_000 + number}`, name, JSON.stringify(fields));
    const block = { organization_id, job_id: batchJobId, first_number: number, contacts };
    await db.insertInto("contact_blocks").values(block).execute();
  }
  await db
    .updateTable("batch_jobs")
    .set({ total_contacts: count, pending_contacts: count })
    .where("id", "=", batchJobId)
    .execute();
  await backend.startBatchJob({ batchJobId });
  return batchJobId;
}

const manyFields = (count: number, key: (i: number) => string, value: string) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [key(i), value]));

const bytesOf = (
  contacts: Awaited<ReturnType<ReturnType<typeof stockWorker>["leaseContacts"]>>["contacts"],
) => toBinary(LeaseContactsResponseSchema, create(LeaseContactsResponseSchema, { contacts })).length;

test("contacts that are leased with a report come in answers as large", async () => {
  const fields = manyFields(50, (i) => `field ${i}`, "x".repeat(1_000));
  const batchJobId = await runJob(200, fields);
  const worker = stockWorker();
  const asking = { workerId: "worker", maxContacts: 200, batchJobIds: [batchJobId] };
  const answers = [
    (await worker.leaseContacts({ ...asking, requestId: randomUUID(), wait: { seconds: 5n } })).contacts,
  ];
  for (let last = answers[0] ?? []; last.length > 0; last = answers.at(-1) ?? []) {
    const outcomes = last.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
    const { contacts } = await worker.reportOutcomes({ outcomes, leaseNext: asking });
    expect(bytesOf(contacts)).toBeLessThanOrEqual(largestAnswerBytes);
    answers.push(contacts);
  }
  expect(answers.flat().map(({ number }) => number)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
  expect(answers.length).toBeGreaterThan(4);
  expect(answers.length).toBeLessThan(10);
});

test("400 contacts of 50 kB reach a stock gRPC client in several answers, in their order, and none is lost", async () => {
  const fields = manyFields(50, (i) => `field ${i}`, "x".repeat(1_000));
  const batchJobId = await runJob(400, fields);
  const worker = stockWorker();
  const answers: number[][] = [];
  while (answers.flat().length < 400) {
    const { contacts } = await worker.leaseContacts({
      workerId: "worker",
      requestId: randomUUID(),
      maxContacts: 400,
      wait: { seconds: 5n },
      batchJobIds: [batchJobId],
    });
    expect(contacts).not.toEqual([]);
    expect(bytesOf(contacts)).toBeLessThanOrEqual(largestAnswerBytes);
    answers.push(contacts.map(({ number }) => number));
    const outcomes = contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
    const reported = await worker.reportOutcomes({ outcomes });
    expect(new Set(reported.outcomes.map(({ result }) => result))).toEqual(new Set([Result.RECORDED]));
  }
  expect(answers.flat()).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
  // Each answer but the last is filled.
  expect(answers).toHaveLength(Math.ceil(400 / (answers[0]?.length ?? 0)));
  const counts = { completed_contacts: 400, unknown_contacts: 0, dialing_contacts: 0 };
  await eventually(async () =>
    expect(
      await db.selectFrom("batch_jobs").selectAll().where("id", "=", batchJobId).executeTakeFirst(),
    ).toMatchObject({ status: "completed", ...counts }),
  );
});

test.each([
  ["many short fields of wide letters", manyFields(50, (i) => `${"𝔘".repeat(60)}${i}`, "")],
  ["many marks that JSON escapes", manyFields(50, (i) => `"${i}`, `"\\`.repeat(500))],
  ["long fields of wide letters", manyFields(50, (i) => `${"𝔘".repeat(60)}${i}`, "𝔘".repeat(1_000))],
  ["no fields", {}],
])("no answer is larger, whatever contacts hold: %s", async (_, fields) => {
  const count = 200;
  const batchJobId = await runJob(count, fields, "𝔘".repeat(200));
  const worker = stockWorker();
  const request = { workerId: "worker", requestId: "", maxContacts: count, batchJobIds: [batchJobId] };
  const { contacts } = await worker.leaseContacts({ ...request, wait: { seconds: 5n } });
  expect(contacts).not.toEqual([]);
  expect(bytesOf(contacts)).toBeLessThanOrEqual(largestAnswerBytes);
});

test("a repeat gets no more than an answer holds, and the rest is released", async () => {
  const batchJobId = await runJob(
    100,
    manyFields(50, (i) => `field ${i}`, "x".repeat(1_000)),
  );
  const worker = stockWorker();
  const request = { workerId: "worker", maxContacts: 100, batchJobIds: [batchJobId], wait: { seconds: 5n } };
  const requestId = randomUUID();
  const first = await worker.leaseContacts({ ...request, requestId });
  const second = await worker.leaseContacts({ ...request, requestId: randomUUID() });
  const both = first.contacts.length + second.contacts.length;
  // As if two calls with the same request id had been served at the same time.
  await db.updateTable("leases").set({ request_id: requestId }).where("job_id", "=", batchJobId).execute();
  const again = await worker.leaseContacts({ ...request, requestId });
  expect(bytesOf(again.contacts)).toBeLessThanOrEqual(largestAnswerBytes);
  expect(again.contacts.length).toBeGreaterThan(0);
  expect(again.contacts.length).toBeLessThan(both);
  await eventually(async () => {
    const live = await db.selectFrom("leases").select("number").where("job_id", "=", batchJobId).execute();
    expect(live).toHaveLength(again.contacts.length);
  });
});
