import { createClient } from "@connectrpc/connect";
import { sql } from "kysely";
import { expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { grpcTo } from "../support/transports.ts";
import { figure, useBrowser } from "./browser.ts";
import { startWorker } from "./service.ts";

const open = useBrowser();

test("a page that is opened late shows the whole job, from its start on", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Seen late",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(40),
    concurrentCallLimit: 10,
    maxAttempts: 1,
  });
  await client.startBatchJob({ batchJobId });
  {
    await using opened = await open(`${service.httpUrl}/jobs/${batchJobId}`, service);
    const { page, complaints } = opened;
    // While it runs, and nothing has been seen change.
    await page.getByText("Calls in progress", { exact: true }).first().waitFor();
    await page.reload();
    await page.locator("figure canvas").first().waitFor();
    await page.getByText("From the start, ").waitFor();
    expect(await figure(page, "Contacts")).toBe(40);
    expect(complaints).toEqual([]);
  }
  const worker = startWorker(service, 50);
  for await (const { batchJob } of client.watchBatchJobs({ batchJobIds: [batchJobId] })) {
    if (batchJob?.finishedAt) break;
  }
  await worker[Symbol.asyncDispose]();

  // Once it is over.
  await using opened = await open(`${service.httpUrl}/jobs/${batchJobId}`, service);
  const { page, complaints } = opened;
  await page.getByText("Contacts finished, by outcome").waitFor();
  await page.getByText("From the start, ").waitFor();
  await page.locator("figure canvas").nth(1).waitFor();
  const legend = page.locator("figure").first().getByText("Completed").locator("strong");
  expect(Number(await legend.innerText())).toBe(await figure(page, "Completed"));
  expect(complaints).toEqual([]);
});

test("calls a minute are calls, those of people who are tried again too", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const worker = createClient(ContactWorkerService, grpcTo(service.grpcUrl, service.apiKey));
  const { batchJobId } = await client.createBatchJob({
    name: "Nobody is in",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(20),
    concurrentCallLimit: 20,
  });
  await client.startBatchJob({ batchJobId });
  const asked = { workerId: "w", maxContacts: 20, batchJobIds: [batchJobId], wait: { seconds: 20n } };
  for (let called = 0; called < 20;) {
    const { contacts } = await worker.leaseContacts(asked);
    const outcomes = contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.BUSY }));
    await worker.reportOutcomes({ outcomes });
    called += contacts.length;
  }
  const { db } = service;
  await sql`update batch_jobs set started_at = started_at - interval '20 seconds'`.execute(db);

  await using opened = await open(`${service.httpUrl}/jobs/${batchJobId}`, service);
  const { page, complaints } = opened;
  await page.getByText("Calls a minute", { exact: true }).waitFor();
  expect(await figure(page, "Finished")).toBe(0);
  expect(await figure(page, "Calls a minute")).toBeGreaterThan(0);
  expect(complaints).toEqual([]);
});
