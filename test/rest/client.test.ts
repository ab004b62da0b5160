import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import createApiClient from "openapi-fetch";
import { afterAll, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { ReportOutcomesRequestSchema } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { eventually } from "../support/eventually.ts";
import { rowsOf } from "../support/exports.ts";
import { root } from "../support/readme.ts";
import { createClients } from "../support/replica.ts";
import { startTestService } from "../support/service.ts";
import type { paths } from "./client/schema.d.ts";
import { createValidator } from "./validator.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const judge = createValidator();

/** A client as openapi-typescript and openapi-fetch make it; every answer that it gets is judged. */
const client = createApiClient<paths>({
  baseUrl: service.httpUrl,
  headers: { authorization: `Bearer ${service.apiKey}` },
});
const judged: (string | undefined)[] = [];
client.use({
  async onResponse({ request, schemaPath, response }) {
    const text = await response.clone().text();
    const contentType = response.headers.get("content-type") ?? "";
    const { method } = request;
    judged.push(judge({ method, path: schemaPath, status: response.status, contentType, text }));
  },
});

test("the types of the client are those of the document", () => {
  const document = readFileSync(join(root, "docs/openapi.json"));
  const [first] = readFileSync(join(root, "test/rest/client/schema.d.ts"), "utf8").split("\n", 1);
  const hash = createHash("sha256").update(document).digest("hex");
  // node test/rest/client/generate.ts
  expect(first).toBe(`// Of the docs/openapi.json whose SHA-256 is ${hash}.`);
});

test("a generated client creates a job from a file, moves it, starts it, and reads its results", async () => {
  const form = new FormData();
  form.set("name", "Spring campaign");
  form.set("fromPhoneNumberId", "pn_1");
  form.set("file", new Blob(["phone,name,plan\n+14155550100,Ada,gold\n+14155550101,Bo,=1\n"]), "list.csv");
  const created = await client.POST("/batch/create", {
    body: { name: "", fromPhoneNumberId: "", file: "" },
    bodySerializer: () => form,
  });
  expect(created.data).toMatchObject({ success: true, totalContacts: 2, status: "pending" });
  const path = { batch_job_id: created.data?.batchJobId ?? "" };

  const query = { scheduledStartTime: "2035-03-01T10:00:00", timezone: "America/New_York" };
  const moved = await client.PATCH("/batch/jobs/{batch_job_id}/reschedule", { params: { path, query } });
  expect(moved.data).toMatchObject({ status: "scheduled", scheduledStartTime: "2035-03-01T15:00:00.000Z" });

  const late = { scheduledStartTime: "2001-01-01T00:00:00" };
  const refused = await client.PATCH("/batch/jobs/{batch_job_id}/reschedule", {
    params: { path, query: late },
  });
  expect(refused.error).toMatchObject({ success: false, code: "past_scheduled_time" });

  const started = await client.POST("/batch/jobs/{batch_job_id}/start", { params: { path } });
  expect(started.data).toMatchObject({ status: "running", contactsEnqueued: 2, redisJobCancelled: true });

  const { worker } = createClients(service.grpcUrl, service.apiKey);
  for (let left = 2; left > 0;) {
    const lease = { workerId: "worker-1", maxContacts: 2, wait: { seconds: 5n } };
    const { contacts } = await worker.leaseContacts(lease);
    left -= contacts.length;
    const outcomes = contacts.map(({ leaseId, number }) => ({
      leaseId,
      outcome: number === 1 ? Outcome.COMPLETED : Outcome.INVALID_NUMBER,
      callDuration: { seconds: 61n },
    }));
    await worker.reportOutcomes(create(ReportOutcomesRequestSchema, { outcomes }));
  }
  await eventually(async () => {
    const detail = await client.GET("/batch/jobs/{batch_job_id}", { params: { path } });
    expect(detail.data).toMatchObject({ status: "completed", successfulCalls: 1, failedCalls: 1 });
  });
  const list = await client.GET("/batch/jobs", { params: { query: { status: "completed" } } });
  expect(list.data).toMatchObject({ total: 1, batchJobs: [{ id: path.batch_job_id }] });
  await client.GET("/batch/jobs/{batch_job_id}/redis-status", { params: { path } });

  const results = async (filter: "all" | "successful" | "failed") => {
    const exported = await client.POST("/batch/jobs/{batch_job_id}/export", {
      params: { path },
      body: { format: "csv", filter },
      parseAs: "text",
    });
    return rowsOf(Buffer.from(exported.data ?? "")).map(({ phone, plan, status }) => [phone, plan, status]);
  };
  const [ada, bo] = [
    ["'+14155550100", "gold", "completed"],
    ["'+14155550101", "'=1", "invalid_number"],
  ];
  expect(await results("all")).toEqual([ada, bo]);
  expect(await results("successful")).toEqual([ada]);
  expect(await results("failed")).toEqual([bo]);

  const again = await client.POST("/batch/jobs/{batch_job_id}/cancel", { params: { path } });
  expect(again.error).toMatchObject({ code: "already_terminal" });
  await client.DELETE("/batch/{batch_job_id}", { params: { path } });
  expect(judged.filter((wrong) => wrong !== undefined)).toEqual([]);
  expect(judged.length).toBeGreaterThan(10);
});
