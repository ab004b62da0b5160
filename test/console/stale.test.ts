import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BatchJobStatus } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { badge, figure, sessionOf, useBrowser, withoutSharedWorker } from "./browser.ts";
import { getJob, startWorker } from "./service.ts";

const open = useBrowser();
const stack = new AsyncDisposableStack();
let service: Awaited<ReturnType<typeof startTestService>>;
beforeAll(async () => {
  service = stack.use(await startTestService());
});
afterAll(() => stack.disposeAsync());

async function makeJob() {
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(3),
  });
  return { client, batchJobId, url: `${service.httpUrl}/jobs/${batchJobId}` };
}

test("of two tabs one acts, and the other follows by itself", async () => {
  const { client, batchJobId, url } = await makeJob();
  await using one = await open(url, service);
  await using other = await open(url, service);
  await start(one.page);
  await badge(other.page, "Running").waitFor();
  const told = one.page.locator('[role="status"][data-tone="good"]');
  await told.waitFor();
  await other.page.getByRole("button", { name: "Pause" }).click();
  await badge(one.page, "Paused").waitFor();
  // That it was started says nothing of a job that has paused since.
  await told.waitFor({ state: "detached" });
  await one.page.getByRole("button", { name: "Resume" }).click();
  await one.page.getByRole("dialog").getByText("3 people are left to be called").waitFor();
  await one.page.getByRole("button", { name: "Go on with the calls" }).click();
  await badge(other.page, "Running").waitFor();
  await other.page.getByRole("button", { name: "Cancel job" }).click();
  const dialog = other.page.getByRole("dialog");
  await dialog.getByText("3 contacts that are still open will not be called any more.").waitFor();
  await dialog.getByRole("button", { name: "Cancel the job" }).click();
  await badge(one.page, "Cancelled").waitFor();
  expect(await getJob(client, batchJobId)).toMatchObject({ status: BatchJobStatus.CANCELLED });
  // Whom nobody called is not finished.
  expect([await figure(one.page, "Finished"), await figure(one.page, "Cancelled")]).toEqual([0, 3]);

  // Deleted in one tab, gone in the list of the other.
  await one.page.getByRole("link", { name: "Jobs" }).first().click();
  await one.page.getByRole("link", { name: "Spring campaign" }).waitFor();
  await other.page.getByRole("button", { name: "Delete" }).click();
  await other.page.getByRole("dialog").getByRole("button", { name: "Delete the job" }).click();
  await other.page.getByText("“Spring campaign” was deleted.").waitFor();
  await one.page.getByText("There are no jobs yet.").waitFor({ timeout: 20_000 });
  expect([...one.complaints, ...other.complaints]).toEqual([]);
});

test("the second half of a double click does not hit the button that comes in the place of the first", async () => {
  const { client, batchJobId, url } = await makeJob();
  await using opened = await open("about:blank");
  const { page } = opened;
  await page.clock.install();
  await page.context().addCookies([sessionOf(url, service.apiKey)]);
  await page.goto(url);
  await page.getByRole("button", { name: "Start now" }).waitFor();
  await page.getByRole("button", { name: "Start now" }).click();
  await page.getByRole("dialog").waitFor();
  // From here on the page's time stands still.
  await page.clock.pauseAt((await page.evaluate<number>("Date.now()")) + 1_000);
  await page.getByRole("button", { name: "Start the calls" }).click();
  await badge(page, "Running").waitFor();
  const started = await getJob(client, batchJobId);
  const pause = page.getByRole("button", { name: "Pause" });
  await pause.click({ force: true });
  await page.getByRole("button", { name: "Cancel job" }).click({ force: true });
  await page.getByText("Starting immediately.").waitFor();
  expect(await page.getByRole("dialog").count()).toBe(0);
  expect(await getJob(client, batchJobId)).toEqual(started);
  await page.clock.fastForward(1_000);
  await pause.click();
  await page.getByText("Paused.", { exact: true }).waitFor();
});

async function start(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Start now" }).click();
  await page.getByRole("button", { name: "Start the calls" }).click();
}

/** A page that shows the job, and from then on hears of no change before it has sent a command. */
async function openDeaf(batchJobId: string) {
  const opened = await open("about:blank");
  const { page } = opened;
  await page.context().addCookies([sessionOf(service.httpUrl, service.apiKey)]);
  await page.addInitScript(withoutSharedWorker);
  let isDeaf = false;
  const jobs = "**/callsheet.v1.BatchJobService";
  await page.route(`${jobs}/WatchBatchJobs`, (route) => route.abort());
  await page.route(`${jobs}/GetBatchJob`, (route) => (isDeaf ? route.abort() : route.continue()));
  await page.route(`${jobs}/StartBatchJob`, (route) => {
    isDeaf = false;
    return route.continue();
  });
  await page.goto(`${service.httpUrl}/jobs/${batchJobId}`);
  await page.getByRole("button", { name: "Start now" }).waitFor();
  isDeaf = true;
  return opened;
}

test("a page that has not heard of a change does nothing, says so, and shows what has changed", async () => {
  const { client, batchJobId } = await makeJob();
  await using deaf = await openDeaf(batchJobId);
  await client.rescheduleBatchJob({ batchJobId, scheduledStartTime: "2035-03-01T10:00", timezone: "UTC" });
  const before = await getJob(client, batchJobId);
  await start(deaf.page);
  const notice = deaf.page.locator("[data-tone=warning]");
  await notice.getByText("Nothing was done: the job has changed since this page showed it.").waitFor();
  expect(await notice.locator("li").allInnerTexts()).toEqual([
    "Status: Pending → Scheduled",
    "Scheduled start: none → Thu, 1 Mar 2035, 10:00 UTC",
  ]);
  expect(await getJob(client, batchJobId)).toEqual(before);
});

test("a dialog says at once that the job has changed under it, and goes on only once that was read", async () => {
  const { client, batchJobId, url } = await makeJob();
  await using opened = await open(url, service);
  const { page } = opened;
  await page.getByRole("button", { name: "Cancel job" }).click();
  await client.rescheduleBatchJob({ batchJobId, scheduledStartTime: "2035-03-01T10:00", timezone: "UTC" });
  const dialog = page.getByRole("dialog");
  await dialog.getByText("The job has changed while this was open.").waitFor();
  await dialog.getByText("Status: Pending → Scheduled").waitFor();
  const cancel = dialog.getByRole("button", { name: "Cancel the job" });
  expect(await cancel.getAttribute("aria-disabled")).toBe("true");
  await cancel.click({ force: true });
  expect(await getJob(client, batchJobId)).toMatchObject({ status: BatchJobStatus.SCHEDULED });
  await dialog.getByRole("button", { name: "Go on with the job as it is now" }).click();
  await cancel.click();
  await badge(page, "Cancelled").waitFor();
});

test("a click that got no answer may be repeated, and does nothing twice", async () => {
  const { client, batchJobId } = await makeJob();
  await using deaf = await openDeaf(batchJobId);
  const { page } = deaf;
  const path = "**/callsheet.v1.BatchJobService/StartBatchJob";
  const sent: string[] = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/StartBatchJob")) sent.push(String(request.postDataBuffer()));
  });
  // The service does it, and its answer is lost.
  await page.route(path, async (route) => {
    await route.fetch();
    await route.abort();
  });
  await start(page);
  await page.getByText("The service did not answer, so that this page does not know").waitFor();
  const started = await getJob(client, batchJobId);
  expect(started).toMatchObject({ status: BatchJobStatus.RUNNING });

  await page.unroute(path);
  await start(page);
  await page.getByText("Starting immediately.").waitFor();
  expect(sent.length).toBeGreaterThan(2);
  expect(new Set(sent).size).toBe(1);
  expect(await getJob(client, batchJobId)).toMatchObject({ revision: started.revision });
});

test("why contacts are not called is what holds now, however much the stream tells meanwhile", async () => {
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Long",
    fromPhoneNumberId: "pn_1",
    concurrentCallLimit: 2,
    contacts: makeContacts(2_000),
  });
  await client.startBatchJob({ batchJobId });
  await using opened = await open(`${service.httpUrl}/jobs/${batchJobId}`, service);
  const { page } = opened;
  const noWorker = page.getByText("wait for a calling program");
  await noWorker.waitFor();
  await using worker = startWorker(service, 100);
  await noWorker.waitFor({ state: "detached" });
  expect(await figure(page, "Not called yet")).toBeGreaterThan(0);
  await client.cancelBatchJob({ batchJobId });
  await worker[Symbol.asyncDispose]();
});
