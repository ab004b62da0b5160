import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampDate } from "@bufbuild/protobuf/wkt";
import { type Transport, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, describe, expect, test } from "vitest";
import { BatchJobStatus } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  BatchJobService,
  type RescheduleBatchJobsResponse,
  RescheduleBatchJobsRequestSchema,
} from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { createGrpcJsTransport } from "../rpc/grpc-js-transport.ts";
import { allOf } from "../support/all-of.ts";
import { makeApiKey } from "../support/api-key.ts";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const { db } = service;

const headersOf = (apiKey: string) => ({ headers: { authorization: `Bearer ${apiKey}` } });
const connect = { baseUrl: service.httpUrl, httpVersion: "1.1" } as const;
const transports: Record<string, Transport> = {
  "grpc-js": createGrpcJsTransport(Number(new URL(service.grpcUrl).port)),
  "connect-node gRPC": createGrpcTransport({ baseUrl: service.grpcUrl }),
  Connect: createConnectTransport(connect),
  "Connect's JSON": createConnectTransport({ ...connect, useBinaryFormat: false }),
  "gRPC-Web": createGrpcWebTransport(connect),
};

const partsOf = (messages: readonly RescheduleBatchJobsResponse[]) => messages.map(({ part }) => part);

describe.each(Object.entries(transports))("over %s", (name, transport) => {
  const client = createClient(BatchJobService, transport);

  test("each job is answered as by RescheduleBatchJob, or with its refusal, and the last message is a summary", async () => {
    const options = headersOf((await makeApiKey(db, { role: "operator", organization: name })).key);
    const { batchJobId } = await client.createBatchJob(
      {
        name: "a",
        fromPhoneNumberId: "pn_1",
        scheduledStartTime: "2030-03-30T10:00",
        timezone: "Europe/Berlin",
      },
      options,
    );
    const refused = await client.createBatchJob(
      {
        name: "b",
        fromPhoneNumberId: "pn_1",
        scheduledStartTime: "2030-03-30T02:30",
        timezone: "Europe/Berlin",
      },
      options,
    );
    const request = { requestId: "once", filter: {}, shift: durationFromMs(24 * 3_600_000) };
    const move = async (more: { dryRun?: boolean } = {}) =>
      partsOf(await allOf(client.rescheduleBatchJobs({ ...request, ...more }, options)));

    const dry = await move({ dryRun: true });
    const parts = await move();
    const moved = parts.flatMap(({ case: kind, value }) => (kind === "moved" ? value : []));
    expect(moved).toHaveLength(1);
    expect(moved[0]).toMatchObject({
      success: true,
      message: "Rescheduled successfully (old job cancelled)",
      batchJobId,
      status: BatchJobStatus.SCHEDULED,
      oldJobCancelled: true,
    });
    expect(
      moved.flatMap((one) => (one.scheduledStartTime ? timestampDate(one.scheduledStartTime) : [])),
    ).toEqual([new Date("2030-03-31T08:00:00Z")]);
    const refusals = parts.flatMap(({ case: kind, value }) => (kind === "refused" ? value : []));
    expect(refusals).toHaveLength(1);
    expect(refusals[0]).toMatchObject({
      batchJobId: refused.batchJobId,
      code: "invalid_datetime",
      message:
        '"2030-03-31T02:30:00" does not occur in Europe/Berlin: the clocks skip from 2030-03-31T01:59:59 to 2030-03-31T03:00:00; give one of these.',
      metadata: { field: "scheduled_start_time", validAfter: "2030-03-31T03:00:00" },
    });
    expect(parts.at(-1)).toMatchObject({ case: "summary", value: { movedCount: 1, refusedCount: 1 } });
    expect(parts).toHaveLength(3);
    const { batchJob } = await client.getBatchJob({ batchJobId }, options);
    expect(batchJob).toMatchObject({ revision: 2n, scheduledJobId: moved[0]?.newScheduledJobId });

    expect(await move()).toEqual(parts);
    const wouldBe = parts.map((part) =>
      part.case === "moved"
        ? { ...part, value: { ...part.value, oldJobCancelled: false, newScheduledJobId: "" } }
        : part,
    );
    expect(dry).toEqual(wouldBe);
  });

  test.each([
    ["filter", { shift: durationFromMs(1_000) }],
    ["shift", { filter: {}, shift: durationFromMs(1_000), scheduledStartTime: "2030-01-01T00:00" }],
    ["timezone", { filter: {}, shift: durationFromMs(1_000), timezone: "UTC" }],
    ["shift", { filter: {}, shift: { seconds: 0n, nanos: 0 } }],
    ["shift", { filter: {}, shift: { seconds: 0n, nanos: 1 } }],
    ["shift", { filter: {}, shift: { seconds: 400_000_000n, nanos: 0 } }],
    [
      "filter.scheduled_start_time.to",
      {
        filter: { scheduledStartTime: { from: { seconds: 2n }, to: { seconds: 1n } } },
        shift: durationFromMs(1_000),
      },
    ],
    ["scheduled_start_time", { filter: {} }],
  ])("a request with a wrong %s is refused before any job", async (field, request) => {
    const options = headersOf(service.apiKey);
    const call = allOf(
      client.rescheduleBatchJobs(create(RescheduleBatchJobsRequestSchema, request), options),
    );
    expect((await refusal(call)).metadata).toMatchObject({ field });
  });
});
