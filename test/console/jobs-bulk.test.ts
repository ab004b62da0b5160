import type { Page } from "playwright-core";
import { afterAll, expect, test } from "vitest";
import { BatchJobStatus } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { tableOf, useBrowser } from "./browser.ts";
import { getJob } from "./service.ts";

const open = useBrowser();
const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

/** An organization of its own, with so many jobs, the last one the newest. */
async function makeOrganization(name: string, jobs: number, labels: Record<string, string> = {}) {
  const { key } = await makeApiKey(db, { role: "operator", organization: name });
  const client = service.clientWith(key);
  const ids: string[] = [];
  for (let i = 0; i < jobs; i++) {
    const contacts = makeContacts(2, 2 * i);
    const request = { name: `${name} ${i}`, fromPhoneNumberId: "pn_1", contacts, labels };
    ids.push((await client.createBatchJob(request)).batchJobId);
  }
  return { key, client, ids };
}

const rowsOf = (page: Page) => tableOf(page, "jobs").locator("tbody tr");
const bar = (page: Page) => page.getByRole("group", { name: "Selected jobs" });
const counter = (page: Page, status: string) =>
  page.getByRole("group", { name: "Status" }).locator("label", { hasText: status });

test("counters tell how many jobs there are, and filters by label and day stay in the address", async () => {
  const { key, client, ids } = await makeOrganization("counted", 3, { team: "north" });
  await client.startBatchJob({ batchJobId: ids[0] ?? "" });
  const day = { scheduledStartTime: "2035-03-01T23:30", timezone: "Europe/Berlin" };
  await client.createBatchJob({ name: "On the day", fromPhoneNumberId: "pn_1", ...day });
  await client.createBatchJob({
    name: "On the next",
    fromPhoneNumberId: "pn_1",
    scheduledStartTime: "2035-03-02T00:00",
    timezone: "Europe/Berlin",
    labels: { "with space & =": "a,b" },
  });
  await using opened = await open(`${service.httpUrl}/jobs`, { apiKey: key });
  const { page, complaints } = opened;
  await eventually(async () => expect(await rowsOf(page).count()).toBe(5));
  const figures = async () =>
    Object.fromEntries(
      await Promise.all(
        ["Pending", "Scheduled", "Running", "Paused"].map(
          async (word) => [word, await counter(page, word).locator("strong").innerText()] as const,
        ),
      ),
    );
  await eventually(async () =>
    expect(await figures()).toEqual({ Pending: "2", Scheduled: "2", Running: "1", Paused: "0" }),
  );

  // Pressed, a counter is a filter, and the counters go on to tell of all.
  await counter(page, "Running").click();
  await eventually(async () => expect(await rowsOf(page).count()).toBe(1));
  expect(await figures()).toMatchObject({ Pending: "2", Running: "1" });
  await page.goBack();
  await eventually(async () => expect(await rowsOf(page).count()).toBe(5));

  // By the days of the viewer's clock, with all of their hours.
  await page.getByLabel("Day of").selectOption("Scheduled start");
  await page.getByLabel("from").fill("2035-03-01");
  await eventually(async () =>
    expect(await page.getByLabel("to", { exact: true }).inputValue()).toBe("2035-03-01"),
  );
  await eventually(async () =>
    expect(await rowsOf(page).allInnerTexts()).toEqual([expect.stringContaining("On the day")]),
  );
  await eventually(async () => expect(await figures()).toMatchObject({ Pending: "0", Scheduled: "1" }));
  await page.reload();
  await eventually(async () => expect(await rowsOf(page).count()).toBe(1));
  expect(await page.getByLabel("from").inputValue()).toBe("2035-03-01");
  await page.getByLabel("Day of").selectOption("Any day");

  // By a label: of a job, or as it is typed.
  await page.getByRole("link", { name: "with space & ==a,b" }).click();
  await eventually(async () =>
    expect(await rowsOf(page).allInnerTexts()).toEqual([expect.stringContaining("On the next")]),
  );
  await page.reload();
  await page.getByRole("button", { name: "Without the label with space & ==a,b" }).click();
  await eventually(async () => expect(await rowsOf(page).count()).toBe(5));
  await page.getByLabel("Label", { exact: true }).fill("team = north");
  await page.getByLabel("Label", { exact: true }).press("Enter");
  await eventually(async () => expect(await rowsOf(page).count()).toBe(3));
  await page.goBack();
  await eventually(async () => expect(await rowsOf(page).count()).toBe(5));
  expect(complaints).toEqual([]);
});

test("all that match are paused, one is picked and resumed, and what is refused is told by job", async () => {
  const { key, client, ids } = await makeOrganization("bulk", 12);
  for (const batchJobId of ids.slice(1)) await client.startBatchJob({ batchJobId });
  await using opened = await open(`${service.httpUrl}/jobs`, { apiKey: key });
  const { page, complaints } = opened;
  const dialog = page.getByRole("dialog");
  await bar(page).getByText("12 jobs").waitFor();
  await bar(page).getByRole("button", { name: "Select all that match" }).click();
  await bar(page).getByText("All 12 that match are selected").waitFor();
  expect(await page.getByRole("checkbox", { name: "Select bulk 3" }).isChecked()).toBe(true);
  await bar(page).getByRole("button", { name: "Pause" }).click();
  await dialog.getByText("22 people will not be called until the jobs are resumed.").waitFor();

  // One of them is done with by somebody else while the question is open.
  await client.cancelBatchJob({ batchJobId: ids[5] ?? "" });
  await dialog.getByRole("button", { name: "Pause 11 jobs" }).click();
  await dialog.getByText("10 jobs paused.").waitFor();
  const refusals = dialog.getByRole("list", { name: "Jobs that were refused" });
  expect(await refusals.innerText()).toBe("bulk 5 It has changed meanwhile; nothing was done.");
  await dialog.getByRole("button", { name: "Close" }).click();
  const { batchJobs } = await client.listBatchJobs({ statuses: [BatchJobStatus.PAUSED] });
  expect(batchJobs.map(({ name }) => name).toSorted()).toEqual(
    [1, 2, 3, 4, 6, 7, 8, 9, 10, 11].map((i) => `bulk ${i}`).toSorted(),
  );

  await bar(page).getByRole("button", { name: "Select none" }).click();
  for (const i of [0, 3, 4])
    await page.getByRole("checkbox", { name: `Select bulk ${i}`, exact: true }).check();
  await bar(page).getByText("3 jobs selected").waitFor();
  await bar(page).getByRole("button", { name: "Resume" }).click();
  await dialog.getByText("1 job that is selected, too, will be left alone.").waitFor();
  await dialog.getByRole("button", { name: "Resume 2 jobs" }).click();
  await dialog.getByText("2 jobs resumed.").waitFor();
  expect(await getJob(client, ids[3] ?? "")).toMatchObject({ status: BatchJobStatus.RUNNING });
  expect(await getJob(client, ids[6] ?? "")).toMatchObject({ status: BatchJobStatus.PAUSED });
  expect(complaints).toEqual([]);
});

test("commands to many jobs are sent some at a time, under an id each, and can be stopped", async () => {
  const { key, client } = await makeOrganization("stopped", 12);
  await using opened = await open(`${service.httpUrl}/jobs`, { apiKey: key });
  const { page, complaints } = opened;
  const dialog = page.getByRole("dialog");
  const held = Promise.withResolvers<void>();
  const bodies: string[] = [];
  await page.route("**/CancelBatchJob", async (route) => {
    bodies.push(route.request().postDataBuffer()?.toString("latin1") ?? "");
    await held.promise;
    await route.continue();
  });
  await bar(page).getByRole("button", { name: "Select all that match" }).click();
  await bar(page).getByRole("button", { name: "Cancel" }).click();
  await dialog.getByText("24 people will not be called any more.").waitFor();
  await dialog.getByRole("button", { name: "Cancel 12 jobs" }).click();
  await dialog.getByText("0 of 12 jobs").waitFor();
  await eventually(() => expect(bodies).toHaveLength(8));
  await dialog.getByRole("button", { name: "Stop" }).click();
  await dialog.getByText("stopping").waitFor();
  held.resolve();
  await dialog.getByText("8 jobs cancelled. Stopped: 4 jobs were left as before.").waitFor();
  expect(bodies).toHaveLength(8);
  const requestIds = bodies.map((body) => /[\da-f]{32}/.exec(body)?.[0]);
  expect(new Set(requestIds).size).toBe(8);
  const { batchJobs } = await client.listBatchJobs({ statuses: [BatchJobStatus.CANCELLED] });
  expect(batchJobs).toHaveLength(8);
  expect(complaints).toEqual([]);
});

test("jobs that were picked all get one start", async () => {
  const { key, client, ids } = await makeOrganization("moved", 3);
  await using opened = await open(`${service.httpUrl}/jobs`, { apiKey: key });
  const { page, complaints } = opened;
  const dialog = page.getByRole("dialog");
  for (const i of [0, 2]) await page.getByRole("checkbox", { name: `Select moved ${i}` }).check();
  await bar(page).getByRole("button", { name: "Reschedule" }).click();
  await dialog.getByText("2 jobs of those that are selected wait for their start.").waitFor();
  await dialog.getByLabel("Date").fill("2035-03-01");
  await dialog.getByLabel("Time", { exact: true }).fill("10:00");
  await dialog.getByLabel("Time zone").fill("America/New_York");
  await dialog.getByText("2035-03-01T15:00:00Z").waitFor();
  await dialog.getByRole("button", { name: "Reschedule 2 jobs" }).click();
  await dialog.getByText("2 jobs rescheduled.").waitFor();
  const moved = await Promise.all(ids.map((id) => getJob(client, id)));
  expect(moved.map(({ requestedStartTime }) => requestedStartTime)).toEqual([
    "2035-03-01T10:00",
    "",
    "2035-03-01T10:00",
  ]);
  expect(complaints).toEqual([]);
});

test("all that match are moved by the same time, once it was shown what comes of it", async () => {
  const { key, client } = await makeOrganization("shifted", 1);
  const create = async (name: string, scheduledStartTime: string, timezone: string) =>
    (await client.createBatchJob({ name, fromPhoneNumberId: "pn_1", scheduledStartTime, timezone }))
      .batchJobId;
  const far = await create("Far", "2035-03-12T10:00", "America/New_York");
  const soon = new Date(Date.now() + 3_600_000).toISOString().slice(0, 16);
  const near = await create("Near", soon, "UTC");
  await using opened = await open(`${service.httpUrl}/jobs`, { apiKey: key });
  const { page, complaints } = opened;
  const dialog = page.getByRole("dialog");
  await bar(page).getByRole("button", { name: "Select all that match" }).click();
  await bar(page).getByRole("button", { name: "Reschedule" }).click();
  await dialog.getByText("3 jobs that match wait for their start.").waitFor();
  await dialog.getByLabel("By how much").fill("2");
  await dialog.getByLabel("Unit").selectOption("days");
  await dialog.getByLabel("Later or earlier").selectOption("earlier");
  await dialog.getByRole("button", { name: "Show what comes of it" }).click();
  await dialog.getByText("1 job would be rescheduled, 1 job refused.").waitFor();
  const told = dialog.getByRole("table", { name: "Jobs and their new starts" }).locator("tbody tr");
  // The clocks there go forward in between: the same time of the day is another hour here.
  expect(await told.nth(1).locator("td").allInnerTexts()).toEqual([
    "Far",
    "Mon, 12 Mar 2035, 10:00 New York\nMon, 12 Mar 2035, 15:00 your time",
    "Sat, 10 Mar 2035, 16:00",
  ]);
  expect(await told.nth(0).innerText()).toContain("Near");
  expect(await getJob(client, far)).toMatchObject({ requestedStartTime: "2035-03-12T10:00" });

  await dialog.getByRole("button", { name: "Reschedule 1 job" }).click();
  await dialog.getByText("1 job rescheduled, 1 job refused.").waitFor();
  expect(await getJob(client, far)).toMatchObject({ requestedStartTime: "2035-03-10T10:00:00" });
  expect(await getJob(client, near)).toMatchObject({ requestedStartTime: soon });
  expect(complaints).toEqual([]);
});

test("whoever may only look can select nothing", async () => {
  await makeOrganization("looked at", 1);
  const { key } = await makeApiKey(db, { role: "viewer", organization: "looked at" });
  await using opened = await open(`${service.httpUrl}/jobs`, { apiKey: key });
  const { page } = opened;
  await page.getByRole("link", { name: "looked at 0" }).waitFor();
  expect(await tableOf(page, "jobs").getByRole("checkbox").count()).toBe(0);
  expect(await bar(page).count()).toBe(0);
});
