import { expect, test } from "vitest";
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

test("a chunk whose answer was lost is sent again and added once, and a stopped upload goes on where it was", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  await using opened = await open(`${service.httpUrl}/#/jobs/new`, service);
  const { page, complaints } = opened;
  await page
    .getByLabel("CSV file")
    .setInputFiles({ name: "Größe.csv", mimeType: "text/csv", buffer: csvOf(7_000) });
  await page.getByText("7,000 ready to send").waitFor({ timeout: 20_000 });
  await page.getByLabel("Column of phone numbers").selectOption("Ort");
  await page.getByText("7,000 invalid numbers").waitFor();
  await page.getByLabel("Column of phone numbers").selectOption("Telefon");
  await page.getByText("7,000 ready to send").waitFor();
  await page.getByLabel("Call from").fill("pn_1");

  let chunks = 0;
  const path = "**/callsheet.v1.BatchJobService/AddContacts";
  await page.route(path, async (route) => {
    chunks++;
    // The second chunk arrives, and its answer does not; then it is let through. The third arrives as well, and is
    // stopped before its answer comes.
    if (chunks !== 2 && chunks !== 4) return await route.continue();
    await route.fetch();
    if (chunks === 4) await page.getByRole("button", { name: "Stop" }).click();
    return await route.abort();
  });
  await page.getByRole("button", { name: "Create the job with 7,000 contacts" }).dblclick();
  await page.getByText("Stopped. What was sent is in the job.").waitFor({ timeout: 20_000 });
  await page.getByText("1,000 of 7,000 contacts sent").waitFor();
  await page.unroute(path);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByText("Created with 7,000 contacts. It waits to be started.").waitFor({ timeout: 20_000 });

  const { batchJobs } = await client.listBatchJobs({});
  expect(batchJobs).toMatchObject([{ name: "Größe", counts: { total: 7_000, pending: 7_000 } }]);
  const { contacts } = await client.listContacts({ batchJobId: batchJobs[0]?.batchJobId ?? "", pageSize: 2 });
  expect(contacts).toMatchObject([
    { phone: "+491510000000", name: "Müller; 0", fields: { Ort: "Köln" } },
    { phone: "+491510000001", name: "Müller; 1", fields: { Ort: "Köln" } },
  ]);
  expect(complaints).toEqual([]);
});

test("contacts are added to a job that there is, and what it has already is said not to be accepted", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: [{ phone: "+15551000000" }],
  });
  await using opened = await open(`${service.httpUrl}/#/jobs/${batchJobId}`, service);
  const { page } = opened;
  await page.getByRole("link", { name: "Add contacts" }).click();
  await page.getByLabel("CSV file").setInputFiles({
    name: "more.csv",
    mimeType: "text/csv",
    buffer: Buffer.from("phone\n+15551000000\n+15551000001\n+15551000002\n"),
  });
  await page.getByRole("button", { name: "Add 3 contacts" }).click();
  await page.getByText("2 contacts added. 1 contact was not accepted.").waitFor();
  const { contacts } = await client.listContacts({ batchJobId });
  expect(contacts.map(({ phone }) => phone)).toEqual(["+15551000000", "+15551000001", "+15551000002"]);
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
  await using opened = await open(`${service.httpUrl}/#/jobs/new`, service);
  await opened.page.getByLabel("CSV file").setInputFiles({ name: "x.csv", mimeType: "text/csv", buffer });
  const notice = opened.page.locator(".notice.bad");
  await notice.waitFor();
  expect(await notice.innerText()).toContain(words);
});
