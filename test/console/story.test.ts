import { readFileSync } from "node:fs";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { duration, msOf } from "../../src/console/ui/format/times.ts";
import { contactStatusWords, endings, finished, outcomeWords } from "../../src/console/ui/format/words.ts";
import { BatchJobStatus, ContactStatus } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { eventually } from "../support/eventually.ts";
import { startTestService } from "../support/service.ts";
import { badge, figure, focusIsOn, outcomesOn, signIn, tableOf, textOf, useBrowser } from "./browser.ts";
import { getJob, startWorker } from "./service.ts";

const open = useBrowser();

const contacts = Array.from({ length: 60 }, (_, i) => `+1555${String(1_000_000 + i)},Person ${i + 1},basic`);
const csv = ["Phone,Name,Plan", ...contacts, "0151 2345,No plus sign,pro", "+15551000000,Twice,pro"].join(
  "\n",
);

test("an operator creates a job from a CSV file, moves it, starts it, and sees it through to its end", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  await using opened = await open(service.httpUrl);
  const { page, complaints } = opened;
  await signIn(page, service.apiKey);
  await page.getByText("There are no jobs yet.").waitFor();
  await page.getByRole("link", { name: "Create the first job" }).click();

  // The file is dropped, and judged before anything is sent.
  await page.getByText("Drop a file here").waitFor();
  const dropped = await page.evaluateHandle(
    `(() => { const t = new DataTransfer(); t.items.add(new File([${JSON.stringify(csv)}], "Spring.csv")); return t; })()`,
  );
  await page.dispatchEvent("label:has([type=file])", "drop", { dataTransfer: dropped });
  await page.getByText("60 ready to send").waitFor();
  expect(await textOf(page, "[aria-label='What the file comes to']")).toBe(
    "60 ready to send 1 invalid number 1 duplicate number",
  );
  await page.getByText("2 rows will not be sent").click();
  expect(await textOf(page, "[aria-label='Rows that will not be sent'] tbody")).toBe(
    "62 0151 2345 Without a plus sign its country must be chosen above 63 +15551000000 The number is in an earlier row already",
  );
  expect(await client.listBatchJobs({})).toMatchObject({ batchJobs: [] });

  // It is to start at ten in the morning in New York, which is four in the afternoon for this viewer.
  await page.getByLabel("Call from").fill("pn_1");
  await page.getByLabel("Calls at once, at most").fill("20");
  await page.getByLabel("Minutes to wait").fill("0");
  await page.getByRole("button", { name: "Review the job with 60 contacts" }).click();
  await page.getByText("Nobody is on the never-call list.").waitFor();
  expect(await client.listBatchJobs({})).toMatchObject({ batchJobs: [] });
  await page.getByRole("button", { name: "Create the job with 60 contacts" }).click();
  await page.getByText("60 contacts added.").waitFor();
  await page.getByText("60 people will be called, at most 20 calls at once.").waitFor();
  await page.getByLabel("At a time").check();
  await page.getByLabel("Date").fill("2035-03-01");
  await page.getByLabel("Time", { exact: true }).fill("10:00");
  await page.getByLabel("Time zone").fill("America/New_York");
  await page.locator("[aria-label='What this time means']").waitFor();
  expect(await textOf(page, "[aria-label='What this time means']")).toMatch(
    /Thu, 1 Mar 2035, 10:00 UTC-05:00 America\/New_York.*2035-03-01T15:00:00Z.*Thu, 1 Mar 2035, 16:00/,
  );
  await page.getByText("The last call begins about Thu, 1 Mar 2035, 16:").waitFor();
  await page.getByRole("button", { name: "Schedule the start" }).click();
  await page.getByText("Scheduled successfully.").waitFor();
  const batchJobId = page.url().split("/").at(-1) ?? "";
  const created = await getJob(client, batchJobId);
  expect(created).toMatchObject({
    name: "Spring",
    status: BatchJobStatus.SCHEDULED,
    timezone: "America/New_York",
    concurrentCallLimit: 20,
    counts: { total: 60 },
  });
  expect(created.scheduledStartTime && timestampDate(created.scheduledStartTime).toISOString()).toBe(
    "2035-03-01T15:00:00.000Z",
  );

  // Moved: first to an hour that does not exist there, then to one that does.
  await page.getByRole("button", { name: "Reschedule" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Date").fill("2035-03-11");
  await dialog.getByLabel("Time", { exact: true }).fill("02:30");
  await dialog.getByText("the clocks skip from").waitFor();
  await dialog.getByLabel("Date").fill("2035-11-04");
  await dialog.getByLabel("Time", { exact: true }).fill("01:30");
  await dialog.getByText("This time comes twice that day").waitFor();
  expect(await dialog.locator("[data-instant]").getAttribute("data-instant")).toBe(
    "2035-11-04T05:30:00.000Z",
  );
  await dialog.getByRole("button", { name: "Reschedule" }).click();
  await page.getByText("Rescheduled successfully (old job cancelled).").waitFor();
  const moved = await getJob(client, batchJobId);
  expect(moved.scheduledStartTime && timestampDate(moved.scheduledStartTime).toISOString()).toBe(
    "2035-11-04T05:30:00.000Z",
  );

  // Started, once it is said what that comes to, by a double click, once.
  await page.getByRole("button", { name: "Start now" }).click();
  await dialog.getByText("60 people will be called, at most 20 calls at once.").waitFor();
  await dialog.getByText("It starts now instead of Sun, 4 Nov 2035, 01:30 America/New_York.").waitFor();
  await dialog.getByText("That takes about").waitFor();
  expect(await getJob(client, batchJobId)).toMatchObject({ status: BatchJobStatus.SCHEDULED });
  await page.getByRole("button", { name: "Start the calls" }).dblclick();
  await page.getByText("Cancelled scheduled job, starting immediately.").waitFor();
  expect(await getJob(client, batchJobId)).toMatchObject({
    status: BatchJobStatus.RUNNING,
    revision: moved.revision + 1n,
  });
  await badge(page, "Running").waitFor();
  // The button that was pressed is there no more: whoever uses the keyboard goes on at what became of it.
  await focusIsOn(page, "starting immediately");

  // Watched to its end.
  const worker = startWorker(service, 200);
  await badge(page, "Completed").waitFor({ timeout: 30_000 });
  await worker[Symbol.asyncDispose]();
  await page.getByText("Contacts finished, by outcome").waitFor();
  await page.locator("figure canvas").nth(1).waitFor();

  const [results] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download results" }).click(),
  ]);
  expect(
    readFileSync(await results.path(), "utf8")
      .trimEnd()
      .split("\r\n"),
  ).toHaveLength(1 + 60);

  // Every figure is the API's.
  const { counts } = await getJob(client, batchJobId);
  if (counts === undefined) throw new Error("there are no counts");
  expect(await outcomesOn(page)).toEqual(
    Object.fromEntries(
      endings.filter(({ key }) => counts[key] > 0).map(({ key, word }) => [word, counts[key]]),
    ),
  );
  expect({
    contacts: await figure(page, "Contacts"),
    finished: await figure(page, "Finished"),
    completed: await figure(page, "Completed"),
    calling: await figure(page, "Calling"),
    waiting: await figure(page, "Waiting to retry"),
    pending: await figure(page, "Not called yet"),
  }).toEqual({
    contacts: counts.total,
    finished: finished(counts),
    completed: counts.completed,
    calling: counts.dialing,
    waiting: counts.waitingRetry,
    pending: counts.pending,
  });
  await page.getByRole("link", { name: "Contacts", exact: true }).click();
  const listed = await client.listContacts({ batchJobId });
  await eventually(async () =>
    expect(await rowsOf(tableOf(page, "contacts").locator("tbody tr"))).toEqual(
      listed.contacts.map((contact) => [
        String(contact.number),
        contact.phone,
        contact.name,
        contactStatusWords.get(contact.status),
        `${contact.attempts} / 3`,
        outcomeWords.get(contact.lastOutcome) ?? "–",
      ]),
    ),
  );

  // The next page, from its top on, and a filter.
  await page.getByRole("link", { name: "Next" }).click();
  await eventually(async () => expect(await tableOf(page, "contacts").locator("tbody tr").count()).toBe(10));
  await eventually(async () => expect(await page.evaluate("scrollY")).toBe(0));
  await focusIsOn(page, "Contacts");
  // A row of the outcomes leads to the contacts that it counts, at the top of a page.
  await page.getByRole("link", { name: "Overview" }).click();
  await tableOf(page, "outcomes").getByRole("link", { name: "Voicemail" }).click();
  await page.getByRole("heading", { name: "Contacts", exact: true }).waitFor();
  expect(await page.getByRole("combobox", { name: "Status" }).inputValue()).toBe(
    String(ContactStatus.VOICEMAIL),
  );
  const voicemails = await client.listContacts({ batchJobId, statuses: [ContactStatus.VOICEMAIL] });
  await eventually(async () =>
    expect(await tableOf(page, "contacts").locator("a.phone").allInnerTexts()).toEqual(
      voicemails.contacts.map(({ phone }) => phone),
    ),
  );

  // What is listed, as a file.
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download these" }).click();
  const download = await downloading;
  expect(download.suggestedFilename()).toBe("Spring.csv");
  const file = readFileSync(await download.path(), "utf8").split("\r\n");
  expect(file[0]).toContain("phone,name,Plan,status,attempts");
  expect(file.length).toBe(voicemails.contacts.length + 2);

  // The same people again, in a job of their own.
  const here = page.url();
  await page.getByRole("button", { name: "Call these again" }).click();
  await page.getByRole("button", { name: "Make the job" }).click();
  await page.getByText("It waits to be started.").waitFor();
  const again = await getJob(client, page.url().split("/").at(-1) ?? "");
  expect(again).toMatchObject({
    name: "Spring, again",
    status: BatchJobStatus.PENDING,
    copiedFrom: batchJobId,
    concurrentCallLimit: 20,
    counts: { total: voicemails.contacts.length, pending: voicemails.contacts.length },
  });
  await page.goto(here);

  // One contact that was called more than once, with the history of its attempts.
  const retried = voicemails.contacts.find(({ attempts }) => attempts > 1);
  if (retried === undefined) throw new Error("no contact was called twice");
  await page.getByRole("link", { name: retried.phone }).click();
  const { attempts } = await client.getContact({ batchJobId, number: retried.number });
  await eventually(async () =>
    expect(await page.locator("[aria-label=Attempts] h3").allInnerTexts()).toEqual(
      attempts.map(({ attempt, outcome }) => `${attempt}. ${outcomeWords.get(outcome)}`),
    ),
  );
  // Who did what, the latest first.
  await page.goto(`${service.httpUrl}/jobs/${batchJobId}/activity`);
  await page.locator("[aria-label='What was done'] li").first().waitFor();
  expect(await page.locator("[aria-label='What was done'] strong").allInnerTexts()).toEqual([
    "Completed",
    "Started by hand",
    "Moved to Sun, 4 Nov 2035, 01:30 America/New_York",
    "Scheduled for Thu, 1 Mar 2035, 10:00 America/New_York",
    "60 contacts added",
    "Created",
  ]);
  await page.getByText("bootstrap", { exact: true }).first().waitFor();
  expect(complaints).toEqual([]);
});

test("a job that starts by itself shows how late that was", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: [{ phone: "+15551000000" }],
    scheduledStartTime: new Date(Date.now() + 3_000).toISOString(),
  });
  await using opened = await open(`${service.httpUrl}/jobs/${batchJobId}`, service);
  await badge(opened.page, "Running").waitFor();
  const { startLag } = await getJob(client, batchJobId);
  if (startLag === undefined) throw new Error("there is no start lag");
  await opened.page.getByText(`${duration(msOf(startLag))} after its time`).waitFor();
  expect(msOf(startLag)).toBeGreaterThanOrEqual(0);
});

type Rows = { all(): Promise<{ locator(selector: string): { allInnerTexts(): Promise<string[]> } }[]> };

const rowsOf = async (rows: Rows): Promise<string[][]> =>
  await Promise.all((await rows.all()).map(async (row) => await row.locator("td").allInnerTexts()));
