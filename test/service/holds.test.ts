import type { JsonObject } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { afterAll, describe, expect, test } from "vitest";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { connectTo } from "../support/transports.ts";
import { answered, bothListeners, callerFor } from "./callers.ts";

/* Why contacts are not called, as clients see it. */

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());

const worker = createClient(ContactWorkerService, connectTo(service.httpUrl, service.apiKey));

describe.each(bothListeners)("over %s", (name) => {
  const call = callerFor(name, service);

  async function create(fields: JsonObject = {}): Promise<string> {
    const job = { name: "Spring campaign", fromPhoneNumberId: "pn_1", contacts: makeContacts(3), ...fields };
    return (await answered<{ batchJobId: string }>(call("createBatchJob", job))).batchJobId;
  }

  const holds = async (batchJobId: string) =>
    (await answered<{ batchJob: { holds: JsonObject[] } }>(call("getBatchJob", { batchJobId }))).batchJob
      .holds;

  const holdOf = async (batchJobId: string, number: number) =>
    (await answered<{ contact: { hold?: JsonObject } }>(call("getContact", { batchJobId, number }))).contact
      .hold;

  test("a job and a contact are held until their time comes, and lists do not tell", async () => {
    const batchJobId = await create({ scheduledStartTime: "2099-01-01T10:00:00", timezone: "Europe/Paris" });
    const held = { reason: "HOLD_REASON_NOT_STARTED", until: "2099-01-01T09:00:00Z" };
    expect(await holds(batchJobId)).toEqual([{ ...held, contacts: 3 }]);
    expect(await holdOf(batchJobId, 3)).toEqual({ ...held, contacts: 1 });
    const { batchJobs } = await answered<{ batchJobs: { batchJobId: string; holds: JsonObject[] }[] }>(
      call("listBatchJobs", {}),
    );
    expect(batchJobs.find((job) => job.batchJobId === batchJobId)?.holds).toEqual([]);
    const { contacts } = await answered<{ contacts: { hold?: JsonObject }[] }>(
      call("listContacts", { batchJobId }),
    );
    expect(contacts.flatMap(({ hold }) => hold ?? [])).toEqual([]);
  });

  test("a worker that asks with its reports is one", async () => {
    const batchJobId = await create({ concurrentCallLimit: 1 });
    await call("startBatchJob", { batchJobId });
    const jobs = { workerId: "worker-1", maxContacts: 1, batchJobIds: [batchJobId] };
    const { contacts } = await worker.leaseContacts({ ...jobs, wait: { seconds: 20n } });
    const [leased] = contacts;
    expect(await holds(batchJobId)).toEqual([{ reason: "HOLD_REASON_JOB_LIMIT", contacts: 2 }]);
    expect(await holdOf(batchJobId, leased?.number ?? 0)).toBeUndefined();
    await worker.releaseLeases({ leaseIds: [leased?.leaseId ?? ""] });
    await eventually(async () => expect(await holds(batchJobId)).toEqual([]));
  });
});
