import { createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { mainSettings, startMain } from "../support/main.ts";
import { startProxy } from "../support/servers/proxy.ts";
import { makeContacts } from "../support/make.ts";
import { connectTo } from "../support/transports.ts";
import { badge, figure, sessionOf, useBrowser } from "./browser.ts";

const open = useBrowser();

test("pages that are open while the service is killed say so, and catch up by themselves once it is back", async () => {
  await using database = await cloneDatabase();
  const apiKey = generateApiKey();
  const settings = mainSettings(database.url, apiKey);
  await using first = await startMain(settings);
  const url = first.httpUrl;
  const client = createClient(BatchJobService, connectTo(url, apiKey));
  const aJob = { fromPhoneNumberId: "pn_1", contacts: makeContacts(3) };
  const { batchJobId } = await client.createBatchJob({ ...aJob, name: "Spring campaign" });
  await using list = await open(url, { apiKey });
  await using job = await open(`${url}/jobs/${batchJobId}`, { apiKey });
  await list.page.getByRole("link", { name: "Spring campaign" }).waitFor();
  await badge(job.page, "Pending").waitFor();
  expect(await figure(job.page, "Contacts")).toBe(3);

  first.child.kill("SIGKILL");
  await first.ended;
  await list.page.getByText("The service does not answer.").waitFor();
  await job.page.getByText("The service does not answer.").waitFor();
  // What was known stays to be seen.
  expect(await figure(job.page, "Contacts")).toBe(3);

  await using second = await startMain({ ...settings, PORT: new URL(url).port });
  expect(second.httpUrl).toBe(url);
  await client.addContacts({ batchJobId, contacts: makeContacts(2, 100) });
  await client.startBatchJob({ batchJobId });
  await badge(list.page, "Running").waitFor();
  await badge(job.page, "Running").waitFor();
  await eventually(async () => expect(await figure(job.page, "Contacts")).toBe(5));
  await list.page.getByText("The service does not answer.").waitFor({ state: "detached" });
  await job.page.getByText("The service does not answer.").waitFor({ state: "detached" });
  expect([...list.complaints, ...job.complaints]).toEqual([]);
});

test("pages that are open while the database is away say so, and catch up by themselves once it is back", async () => {
  await using database = await cloneDatabase();
  await using proxy = await startProxy(database.url);
  const apiKey = generateApiKey();
  await using program = await startMain(mainSettings(proxy.url, apiKey));
  const url = program.httpUrl;
  const jobs = createClient(BatchJobService, connectTo(url, apiKey));
  const { batchJobId } = await jobs.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(3),
  });
  await using job = await open("about:blank");
  await job.page.context().addCookies([sessionOf(url, apiKey)]);
  await job.page.clock.install();
  await job.page.goto(`${url}/jobs/${batchJobId}`);
  await badge(job.page, "Pending").waitFor();
  await jobs.startBatchJob({ batchJobId });
  await badge(job.page, "Running").waitFor();
  await job.page.locator("figure canvas").first().waitFor();

  await proxy.cut();
  await job.page.getByText("The service does not answer.").waitFor();
  expect(await figure(job.page, "Contacts")).toBe(3);
  // Nobody knows how it goes on: the chart ends where the last word was.
  const lastTold = () => job.page.locator("figure li:last-child").last().innerText();
  const told = await lastTold();
  await job.page.clock.runFor(10_000);
  expect(await lastTold()).toBe(told);

  await proxy.mend();
  await eventually(async () => await jobs.pauseBatchJob({ batchJobId }), 20_000);
  await badge(job.page, "Paused").waitFor();
  await job.page.getByText("The service does not answer.").waitFor({ state: "detached" });
  expect(job.complaints).toEqual([]);
});
