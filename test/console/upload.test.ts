import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";
import { useBrowser } from "./browser.ts";

const open = useBrowser();

/**
 * `count` rows in the way of a German spreadsheet: with semicolons, a byte order mark, quotes and line ends of its
 * own.
 */
const csvOf = (count: number): Buffer =>
  Buffer.from(
    `\uFEFFName;Telefon;Ort\r\n${Array.from({ length: count }, (_, i) => `"Müller; ${i}";+4915${String(10_000_000 + i)};Köln\r\n`).join("")}`,
  );

const upload = "**/batch-jobs/*/contacts.csv*";

async function chooseFile(page: Page, count: number): Promise<void> {
  await page
    .getByLabel("File of contacts")
    .setInputFiles({ name: "Größe.csv", mimeType: "text/csv", buffer: csvOf(count) });
  await page.getByText(`${count.toLocaleString("en")} ready to send`).waitFor({ timeout: 20_000 });
}

test("a file whose answer was lost is sent again and added once, as a whole", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page, complaints } = opened;
  await chooseFile(page, 7_000);
  await page.getByLabel("Read “Ort” as").selectOption("Phone number");
  await page.getByText("7,000 invalid numbers").waitFor();
  await page.getByLabel("Read “Telefon” as").selectOption("Phone number");
  await page.getByText("7,000 ready to send").waitFor();
  await page.getByLabel("Call from").fill("pn_1");

  let sent = 0;
  await page.route(upload, async (route) => {
    sent++;
    if (sent > 1) return await route.continue();
    await route.fetch();
    return await route.abort();
  });
  await page.getByRole("button", { name: "Review the job with 7,000 contacts" }).click();
  await page.getByRole("button", { name: "Create the job with 7,000 contacts" }).dblclick();
  await page.getByText("7,000 contacts added.").waitFor({ timeout: 20_000 });
  expect(sent).toBe(2);

  const { batchJobs } = await client.listBatchJobs({});
  expect(batchJobs).toMatchObject([{ name: "Größe", counts: { total: 7_000, pending: 7_000 } }]);
  const { contacts } = await client.listContacts({ batchJobId: batchJobs[0]?.batchJobId ?? "", pageSize: 2 });
  expect(contacts).toMatchObject([
    { phone: "+491510000000", name: "Müller; 0", fields: { Ort: "Köln" } },
    { phone: "+491510000001", name: "Müller; 1", fields: { Ort: "Köln" } },
  ]);
  expect(complaints).toEqual([]);
});

test("an upload goes on when its form is left, and says on every page how it ends", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page, complaints } = opened;
  await chooseFile(page, 3_000);
  await page.getByLabel("Call from").fill("pn_1");
  const { promise: left, resolve: leave } = Promise.withResolvers<void>();
  await page.route(upload, async (route) => {
    await left;
    await route.continue();
  });
  await page.getByRole("button", { name: "Review the job with 3,000 contacts" }).click();
  const isCreated = page.waitForResponse("**/CreateBatchJob");
  await page.getByRole("button", { name: "Create the job with 3,000 contacts" }).click();
  await isCreated;
  await page.getByRole("region", { name: "Upload" }).waitFor();
  await page.getByRole("navigation", { name: "Where you are" }).getByRole("link", { name: "Jobs" }).click();
  const tray = page.getByRole("region", { name: "Uploads" });
  await tray.waitFor();
  // The job is there, and nothing of the file in it can be started.
  const { batchJobs } = await client.listBatchJobs({});
  expect(batchJobs).toMatchObject([{ name: "Größe", counts: { total: 0 } }]);
  const [{ batchJobId = "" } = {}] = batchJobs;
  expect(await refusal(client.startBatchJob({ batchJobId }))).toMatchObject({ reason: "no_contacts" });

  // The tab cannot be left by mistake.
  const asked = page.waitForEvent("dialog");
  await page.close({ runBeforeUnload: true });
  const dialog = await asked;
  expect(dialog.type()).toBe("beforeunload");
  await dialog.dismiss();
  leave();
  await tray.getByText("3,000 contacts added.").waitFor({ timeout: 20_000 });
  await tray.getByRole("link", { name: "Open “Größe”" }).click();
  await page.getByRole("heading", { name: "Größe" }).waitFor();
  expect(await client.getBatchJob({ batchJobId })).toMatchObject({ batchJob: { counts: { total: 3_000 } } });
  expect(complaints).toEqual([]);
});

test("an upload that is stopped leaves no job and no contact, and its form can be sent again", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page } = opened;
  await chooseFile(page, 2_000);
  await page.getByLabel("Call from").fill("pn_1");
  const isCreated = page.waitForResponse("**/CreateBatchJob");
  await page.route("**/CreateBatchJob", async (route) => {
    const response = await route.fetch();
    await page.getByRole("button", { name: "Stop" }).click();
    await route.fulfill({ response });
  });
  await page.getByRole("button", { name: "Review the job with 2,000 contacts" }).click();
  await page.getByRole("button", { name: "Create the job with 2,000 contacts" }).click();
  await isCreated;
  await page.getByText("Stopped: nothing was added to “Größe”.").waitFor();
  expect(await client.listBatchJobs({})).toMatchObject({ batchJobs: [] });
  await page.unroute("**/CreateBatchJob");
  await page.getByRole("button", { name: "Create the job with 2,000 contacts" }).click();
  await page.getByText("2,000 contacts added.").waitFor({ timeout: 20_000 });
  expect(await client.listBatchJobs({})).toMatchObject({ batchJobs: [{ counts: { total: 2_000 } }] });
});

test("a form with a chosen file is left only by whoever says so", async () => {
  await using service = await startTestService();
  await using opened = await open(service.httpUrl, service);
  const { page } = opened;
  await page.getByRole("link", { name: "New job" }).click();
  await chooseFile(page, 3);
  const asked: string[] = [];
  page.once("dialog", (dialog) => {
    asked.push(dialog.message());
    void dialog.dismiss();
  });
  const jobs = page.getByRole("navigation", { name: "Where you are" }).getByRole("link", { name: "Jobs" });
  await jobs.click();
  expect(asked).toEqual(["The new job is not created yet. Leave it?"]);
  await page.getByText("3 ready to send").waitFor();
  page.once("dialog", (dialog) => void dialog.accept());
  await jobs.click();
  await page.getByText("There are no jobs yet.").waitFor();
});

test("a refused job says why, and its form can be mended and sent again", async () => {
  await using service = await startTestService();
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page } = opened;
  await chooseFile(page, 3);
  await page.getByLabel("Call from").fill("pn_1");
  await page.getByLabel("Name", { exact: true }).fill("Tab\u0007bed");
  await page.getByRole("button", { name: "Review the job with 3 contacts" }).click();
  await page.getByRole("button", { name: "Create the job with 3 contacts" }).click();
  await page.locator("[data-tone=bad]", { hasText: "name" }).waitFor();
  await page.getByRole("button", { name: "Change it" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Mended");
  await page.getByRole("button", { name: "Review the job with 3 contacts" }).click();
  await page.getByRole("button", { name: "Create the job with 3 contacts" }).click();
  await page.getByText("3 contacts added.").waitFor();
  const { batchJobs } = await service.clientWith(service.apiKey).listBatchJobs({});
  expect(batchJobs).toMatchObject([{ name: "Mended", counts: { total: 3 } }]);
});

test("contacts are added to a job that there is, and what it has already is said not to be accepted", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: [{ phone: "+15551000000" }],
  });
  await using opened = await open(`${service.httpUrl}/jobs/${batchJobId}`, service);
  const { page } = opened;
  const add = async (rows: string, count: number) => {
    await page.getByRole("link", { name: "Add contacts" }).click();
    const buffer = Buffer.from(`phone,__proto__\n${rows}`);
    await page
      .getByLabel("File of contacts")
      .setInputFiles({ name: "more.csv", mimeType: "text/csv", buffer });
    await page.getByRole("button", { name: `Add ${count} contact` }).click();
  };
  await add("+15551000000,\n+15551000001,kept\n+15551000002,\n", 3);
  await page.getByText("2 contacts added. 1 contact was not accepted").waitFor();
  const { contacts } = await client.listContacts({ batchJobId });
  expect(contacts.map(({ phone, fields }) => [phone, Object.entries(fields)])).toEqual([
    ["+15551000000", []],
    ["+15551000001", [["__proto__", "kept"]]],
    ["+15551000002", [["__proto__", ""]]],
  ]);
  // Nothing that was done is no good news.
  await add("+15551000001,\n", 1);
  await page.locator("[data-tone=warning]", { hasText: "0 contacts added." }).waitFor();
});

test.each([
  ["is empty", Buffer.from(""), "The file is empty;"],
  [
    "holds titles only",
    Buffer.from("phone,name\n"),
    "The file has a line that names its columns, and no row below it",
  ],
  [
    "is not UTF-8",
    Buffer.concat([
      Buffer.from("phone,name\n+15551000000,Zoë Müller\n+15551000001,M"),
      Buffer.from([0xfc, 0x0a]),
    ]),
    "The file is not UTF-8: line 3",
  ],
])("a file that %s is refused in words", async (_what, buffer, words) => {
  await using service = await startTestService();
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  await opened.page
    .getByLabel("File of contacts")
    .setInputFiles({ name: "x.csv", mimeType: "text/csv", buffer });
  const notice = opened.page.locator("[data-tone=bad]");
  await notice.waitFor();
  expect(await notice.innerText()).toContain(words);
});
