import { createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
} from "../../src/gen/grpc/health/v1/health_pb.ts";
import { createGrpcJsTransport } from "../rpc/grpc-js-transport.ts";
import { startTestService } from "../support/service.ts";

test("a replica that leaves says so first, and takes every call until balancers have heard it", async () => {
  const service = await startTestService({ shutdownDelayMs: 4_000 });
  const readiness = async () => {
    const response = await fetch(`${service.httpUrl}/readyz`, { headers: { connection: "close" } });
    return [response.status, await response.text()];
  };
  expect(await readiness()).toEqual([200, "ready\n"]);
  const left = service[Symbol.asyncDispose]();
  expect(await readiness()).toEqual([503, "not ready: Callsheet is shutting down\n"]);
  const health = createClient(Health, createGrpcJsTransport(Number(new URL(service.grpcUrl).port)));
  expect((await health.check({})).status).toBe(Status.NOT_SERVING);
  const { batchJobId } = await service
    .clientWith(service.apiKey)
    .createBatchJob({ name: "Late", fromPhoneNumberId: "pn_1" });
  expect(batchJobId).not.toBe("");
  await left;
  await expect(readiness()).rejects.toThrow("fetch failed");
});
