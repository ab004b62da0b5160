import { type Client, createClient } from "@connectrpc/connect";
import { afterAll, expect, test } from "vitest";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { EventService } from "../../src/gen/callsheet/v1/event_service_pb.ts";
import { startTestService } from "../support/service.ts";
import { grpcTo } from "../support/transports.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());

const overConnect = service.clientWith(service.apiKey);
const overGrpc = createClient(BatchJobService, grpcTo(service.grpcUrl, service.apiKey));
const headers = { authorization: `Bearer ${service.apiKey}` };

/** The names that a watch of this job sends. After a sign of life the job is cancelled, which ends it. */
async function namesSeen(client: Client<typeof BatchJobService>, batchJobId: string) {
  const seen: (string | undefined)[] = [];
  for await (const { batchJob } of client.watchBatchJobs({ batchJobIds: [batchJobId] })) {
    seen.push(batchJob?.name);
    if (batchJob === undefined) await client.cancelBatchJob({ batchJobId });
  }
  return seen;
}

test.concurrent.for([
  ["gRPC", overGrpc],
  ["Connect", overConnect],
] as const)("a watch in which nothing changes sends a message without a job over %s", async ([, client]) => {
  const { batchJobId } = await client.createBatchJob({ name: "Quiet", fromPhoneNumberId: "pn_1" });
  expect(await namesSeen(client, batchJobId)).toEqual(["Quiet", undefined, "Quiet"]);
});

test.concurrent.for([
  ["gRPC", createGrpcTransport({ baseUrl: service.grpcUrl })],
  ["Connect", createConnectTransport({ baseUrl: service.httpUrl, httpVersion: "1.1" })],
] as const)(
  "a stream of events to which none comes tells where the log ends over %s",
  async ([, transport]) => {
    const events = createClient(EventService, transport);
    const asked = { types: ["batch_job.deleted"] };
    const told: number[] = [];
    for await (const message of events.watchEvents(asked, { headers })) {
      told.push(message.events.length);
      expect(message.headSequence).toBeGreaterThanOrEqual(message.lastSequence);
      if (told.length === 2) break;
    }
    expect(told).toEqual([0, 0]);
  },
);
