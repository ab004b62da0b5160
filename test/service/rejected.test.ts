import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, describe, expect, test } from "vitest";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { makeApiKey } from "../support/api-key.ts";
import { joined, rowsOf } from "../support/exports.ts";
import { startTestService } from "../support/service.ts";

/* Rejected rows over the RPC and over HTTP. */

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const { db } = service;
const client = service.clientWith(service.apiKey);
const [viewer, worker] = await Promise.all(
  (["viewer", "worker"] as const).map((role) => makeApiKey(db, { role, organization: "default" })),
);

type Imported = { importId: string; rejectedContactsCount: number; keptRejectedContactsCount: number };

async function makeRejected(): Promise<{ batchJobId: string; importId: string }> {
  const { batchJobId } = await client.createBatchJob({ name: "A job", fromPhoneNumberId: "pn_1" });
  const response = await fetch(`${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv`, {
    method: "POST",
    headers: { authorization: `Bearer ${service.apiKey}` },
    body: "phone,city\n+14155550100,Rome\n12,Bonn\n+14155550100,Linz\n",
  });
  const imported = (await response.json()) as Imported;
  expect(imported).toMatchObject({ rejectedContactsCount: 2, keptRejectedContactsCount: 2 });
  return { batchJobId, importId: imported.importId };
}

const { batchJobId, importId } = await makeRejected();
const path = (id = importId) => `/batch-jobs/${batchJobId}/imports/${id}/rejected.csv`;
const ask = (url: string, key = service.apiKey, method = "GET") =>
  fetch(`${service.httpUrl}${url}`, { method, headers: { authorization: `Bearer ${key}` } });

const expected = [
  { rejected_line: "3", rejected_reason: "invalid_phone_format", phone: "12", city: "Bonn" },
  { rejected_line: "4", rejected_reason: "duplicate_phone", phone: "'+14155550100", city: "Linz" },
];

test.each([
  ["Connect", client],
  ["gRPC", createClient(BatchJobService, createGrpcTransport({ baseUrl: service.grpcUrl }))],
])("are had over %s", async (_, over) => {
  async function* read() {
    const headers = { authorization: `Bearer ${service.apiKey}` };
    for await (const { csv } of over.exportRejectedRows({ batchJobId, importId }, { headers })) yield csv;
  }
  expect(rowsOf(await joined(read()))).toMatchObject(expected);
});

describe("GET rejected.csv", () => {
  test("is a file to keep, for a viewer too", async () => {
    const response = await ask(path(), viewer?.key);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/csv; charset=utf-8; header=present",
      "content-disposition": `attachment; filename="rejected-${importId}.csv"`,
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    });
    expect(rowsOf(Buffer.from(await response.arrayBuffer()))).toMatchObject(expected);
  });

  test.each([
    ["a worker's key", () => ask(path(), worker?.key), 403],
    ["a wrong key", () => ask(path(), "cs_wrong"), 401],
    ["another import", () => ask(path(crypto.randomUUID())), 404],
    ["no import", () => ask(path("junk")), 404],
    ["a query", () => ask(`${path()}?statuses=pending`), 400],
    ["another method", () => ask(path(), service.apiKey, "POST"), 405],
  ])("refuses %s", async (__, work, status) => {
    const response = await work();
    expect(response.status).toBe(status);
    await response.body?.cancel();
  });
});

test("the RPC says what is not kept any more", async () => {
  const reading = joined(
    (async function* () {
      for await (const { csv } of client.exportRejectedRows({ batchJobId, importId: crypto.randomUUID() }))
        yield csv;
    })(),
  );
  const error = ConnectError.from(await reading.catch((thrown: unknown) => thrown));
  expect([error.code, error.rawMessage]).toEqual([Code.NotFound, expect.stringContaining("24 hours")]);
});
