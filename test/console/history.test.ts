import { expect, test } from "vitest";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
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
  expect(await page.locator("figure canvas").count()).toBe(2);
  const legend = page.locator("figure").first().getByText("Completed").locator("strong");
  expect(Number(await legend.innerText())).toBe(await figure(page, "Completed"));
  expect(complaints).toEqual([]);
});
