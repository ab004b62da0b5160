import { randomUUID } from "node:crypto";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { afterAll, expect, test } from "vitest";
import { createClients } from "../../src/client/clients.ts";
import { rescheduleBatchJobs } from "../../src/client/rescheduling.ts";
import type { RescheduleBatchJobsResponse } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ensureOrganization } from "../../src/postgres/api-keys.ts";
import { allOf } from "../support/all-of.ts";
import { makeApiKey } from "../support/api-key.ts";
import { makeJobs } from "../support/make-many.ts";
import { startProxy } from "../support/servers/proxy.ts";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const { db } = service;

const shift = durationFromMs(24 * 3_600_000);
const jobCount = 400;

async function anOrganization() {
  const organization = `Storm ${randomUUID()}`;
  const organizationId = await ensureOrganization(db, organization);
  await makeJobs({ db, caller: { apiKeyId: "", organizationId, role: "admin" } }, jobCount, {
    status: "scheduled",
    contacts: 0,
  });
  const { key: apiKey } = await makeApiKey(db, { role: "operator", organization });
  const revisions = async () =>
    (
      await db
        .selectFrom("batch_jobs")
        .select("revision")
        .where("organization_id", "=", organizationId)
        .execute()
    ).map(({ revision }) => revision);
  return { apiKey, revisions };
}

const movedIds = (messages: readonly RescheduleBatchJobsResponse[]): string[] =>
  messages.flatMap(({ part }) => (part.case === "moved" ? part.value.batchJobId : []));

test.each(["grpc", "connect"] as const)(
  "over %s a stream that breaks off is begun again, until each job is moved once, and told once",
  async (protocol) => {
    const { apiKey, revisions } = await anOrganization();
    await using proxy = await startProxy(protocol === "grpc" ? service.grpcUrl : service.httpUrl);
    const { jobs } = createClients({ url: proxy.url, protocol, apiKey });
    const messages: RescheduleBatchJobsResponse[] = [];
    for await (const message of rescheduleBatchJobs(jobs, { filter: {}, shift })) {
      messages.push(message);
      if (messages.length !== 100) continue;
      await proxy.cut();
      await proxy.mend();
    }
    expect(messages.at(-1)?.part).toMatchObject({
      case: "summary",
      value: { movedCount: jobCount, refusedCount: 0 },
    });
    expect(new Set(movedIds(messages)).size).toBe(jobCount);
    expect(messages).toHaveLength(jobCount + 1);
    expect(await revisions()).toEqual(Array<number>(jobCount).fill(2));
  },
);

test("what does not pass is thrown", async () => {
  const { apiKey } = await anOrganization();
  const { jobs } = createClients({ url: service.grpcUrl, apiKey });
  const call = allOf(rescheduleBatchJobs(jobs, { filter: {}, scheduledStartTime: "tomorrow" }));
  expect(await refusal(call)).toMatchObject({ reason: "invalid_datetime" });
});

test("a caller that aborts is not answered on", async () => {
  const { apiKey } = await anOrganization();
  const { jobs } = createClients({ url: service.grpcUrl, apiKey });
  const controller = new AbortController();
  const moving = rescheduleBatchJobs(jobs, { filter: {}, shift }, { signal: controller.signal });
  await moving.next();
  controller.abort();
  await expect(allOf(moving)).rejects.toMatchObject({ code: Code.Canceled });
});

test("a caller that aborts while it waits to ask again is told at once", async () => {
  const { apiKey } = await anOrganization();
  await using proxy = await startProxy(service.grpcUrl);
  await proxy.cut();
  const controller = new AbortController();
  let tries = 0;
  const { jobs } = createClients({
    url: proxy.url,
    apiKey,
    interceptors: [
      (next) => async (request) => {
        tries += 1;
        // It waits for most of a second after this one.
        if (tries === 4) setTimeout(() => controller.abort(), 100);
        return await next(request);
      },
    ],
  });
  const moving = allOf(rescheduleBatchJobs(jobs, { filter: {}, shift }, { signal: controller.signal }));
  await expect(moving).rejects.toMatchObject({ code: Code.Canceled });
  expect(tries).toBe(4);
});
