import { expect, test } from "vitest";
import { makeContacts } from "../support/make.ts";
import { startProxy } from "../support/servers/proxy.ts";
import { startTestService } from "../support/service.ts";
import { badge, useBrowser } from "./browser.ts";

const open = useBrowser();

/** More than the connections that a browser has to a service over HTTP/1.1. */
const tabCount = 8;

test("of many visible tabs all load and follow their jobs, over one stream", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const ids: string[] = [];
  for (let i = 0; i < tabCount; i++) {
    const contacts = makeContacts(1, i);
    ids.push(
      (await client.createBatchJob({ name: `Job ${i}`, fromPhoneNumberId: "pn_1", contacts })).batchJobId,
    );
  }
  await using proxy = await startProxy(service.httpUrl);
  await using opened = await open(proxy.url, service);
  const { page, complaints } = opened;
  const tabs = await Promise.all(
    ids.map(async (id) => {
      const tab = await page.context().newPage();
      await tab.goto(`${proxy.url}jobs/${id}`);
      return tab;
    }),
  );
  for (const tab of tabs) await badge(tab, "Pending").waitFor();
  for (const batchJobId of ids) await client.startBatchJob({ batchJobId });
  for (const tab of tabs) await badge(tab, "Running").waitFor();
  const metrics = await (await fetch(`${service.httpUrl}/metrics`)).text();
  // Each job is watched by one stream, whatever shows it.
  expect(/^callsheet_watched_jobs (\d+)$/m.exec(metrics)?.[1]).toBe(String(tabCount));
  expect(complaints).toEqual([]);
});

test("behind a proxy that keeps streams back a job is shown, and followed all the same", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(3),
  });
  await using proxy = await startProxy(service.httpUrl);
  proxy.trap((request) => request.includes("/WatchBatchJobs "), "swallow the replies");
  await using opened = await open(`${proxy.url}jobs/${batchJobId}`, service);
  await badge(opened.page, "Pending").waitFor();
  await client.startBatchJob({ batchJobId });
  await badge(opened.page, "Running").waitFor();
  expect(opened.complaints).toEqual([]);
});
