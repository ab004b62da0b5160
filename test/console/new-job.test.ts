import { readFile } from "node:fs/promises";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { BatchJobStatus, Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { startTestService } from "../support/service.ts";
import { badge, textOf, useBrowser } from "./browser.ts";
import { makeWorkbook } from "./make-workbook.ts";
import { getJob } from "./service.ts";

const open = useBrowser();

const choose = async (page: Page, name: string, buffer: Buffer): Promise<void> =>
  await page.getByLabel("File of contacts").setInputFiles({ name, mimeType: "", buffer });

/** The rows of a table, each as its words. */
const rowsOf = async (page: Page, selector: string): Promise<string[]> => {
  const rows = await page.locator(`${selector} tbody tr`).allInnerTexts();
  return rows.map((row) => row.replaceAll(/\s+/g, " ").trim());
};

const preview = "[aria-label='The first rows']";

async function create(page: Page, people: string): Promise<string> {
  await page.getByRole("button", { name: `Review the job with ${people}` }).click();
  await page.getByRole("heading", { name: "Review the new job" }).waitFor();
  await page.getByRole("button", { name: `Create the job with ${people}` }).click();
  await page.getByRole("heading", { name: "Start the calls" }).waitFor();
  return page.url().split("/").at(-2) ?? "";
}

const contactsOf = async (service: Awaited<ReturnType<typeof startTestService>>, batchJobId: string) => {
  const { contacts } = await service.clientWith(service.apiKey).listContacts({ batchJobId });
  return contacts.map(({ phone, name, fields, timezone }) => ({ phone, name, fields, timezone }));
};

test("a file without titles is read as its columns are chosen, and goes into its job so", async () => {
  await using service = await startTestService();
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page, complaints } = opened;
  const rows = [
    "Ada;0151 23456789;Köln;geheim;Asia/Tokyo",
    "Bob;+49 151 23456780;Bonn;geheim;",
    "Cy;(0)151 x;Bonn;geheim;",
  ];
  await choose(page, "Liste.csv", Buffer.from(`sep=;\n${rows.join("\n")}\n`));
  expect(await page.getByLabel("The first row names the columns").isChecked()).toBe(false);
  await page.getByText("Choose the country above").waitFor();
  await page.getByLabel("Numbers without a plus sign are of").selectOption("Germany");
  await page.getByText("2 ready to send").waitFor();
  await page.getByLabel("Read “Column 1” as").selectOption("Name");
  await page.getByLabel("Read “Column 4” as").selectOption("Leave out");
  await page.getByLabel("Read “Column 5” as").selectOption("Time zone");
  await page.getByLabel("Name of the field of “Column 3”").fill("city");
  await page.getByLabel("Name of the field of “Column 3”").press("Tab");
  await page.locator(`${preview} th`, { hasText: "city" }).waitFor();
  await page.getByText("2 ready to send").waitFor();
  expect(await rowsOf(page, preview)).toEqual([
    "2 +4915123456789 Ada Asia/Tokyo Köln",
    "3 +4915123456780 Bob Bonn",
    expect.stringMatching(/^4 \(0\)151 x is not sent: This is no whole phone number \(Germany\)$/),
  ]);

  // With titles the first row would be none of a contact, and one number of two says too little of its column.
  await page.getByLabel("The first row names the columns").check();
  await page.getByText("do not say which of them holds the phone numbers").waitFor();
  await page.getByLabel("The first row names the columns").uncheck();
  await page.getByText("2 ready to send").waitFor();
  await page.getByLabel("Read “Column 1” as").selectOption("Name");
  for (const column of [4, 3]) await page.getByLabel(`Read “Column ${column}” as`).selectOption("Leave out");
  await page.getByLabel("Read “Column 5” as").selectOption("Time zone");
  await page.getByText("2 ready to send").waitFor();
  await page.getByLabel("Call from").fill("pn_1");
  const batchJobId = await create(page, "2 contacts");
  expect(await contactsOf(service, batchJobId)).toEqual([
    { phone: "+4915123456789", name: "Ada", fields: {}, timezone: "Asia/Tokyo" },
    { phone: "+4915123456780", name: "Bob", fields: {}, timezone: "" },
  ]);
  expect(complaints).toEqual([]);
});

test("of a workbook the chosen sheet is read, with the numbers and dates that people see in it", async () => {
  await using service = await startTestService();
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page, complaints } = opened;
  const workbook = makeWorkbook(
    {
      Notes: { rows: [["Do not forget"]] },
      People: {
        rows: [
          ["Mobile", "name", "Due", "Plan"],
          [[15123456789, 1], "Ada", [46000, 2], "pro"],
          [[15123456780, 1], "Bob", [46001, 2], "pro"],
          ["0151 23456781", "Cy", [46002, 2]],
          [[15123456782, 0], "Di", [46003, 2], "basic"],
        ],
        hiddenRows: [3],
        merged: ["D3:D4"],
      },
    },
    { formats: [0, "00000000000", "dd.mm.yyyy"] },
  );
  await choose(page, "Frühling.xlsx", workbook);
  await page.getByLabel("Sheet").selectOption("Notes");
  await page.locator("[data-tone=bad]", { hasText: "no row below it" }).waitFor();
  await page.getByLabel("Sheet").selectOption("People");
  await page.getByLabel("Numbers without a plus sign are of").selectOption("Germany");
  await page.getByText("3 ready to send").waitFor();
  expect(await rowsOf(page, preview)).toEqual([
    "2 +4915123456789 Ada 09.12.2025 pro",
    "4 +4915123456781 Cy 11.12.2025 pro",
    "5 +4915123456782 Di 12.12.2025 basic",
  ]);
  await page.getByLabel("Take 1 hidden row, too").check();
  await page.getByText("4 ready to send").waitFor();
  await page.getByLabel("Take 1 hidden row, too").uncheck();
  await page.getByText("3 ready to send").waitFor();
  await page.getByLabel("Call from").fill("pn_1");
  const batchJobId = await create(page, "3 contacts");
  expect((await contactsOf(service, batchJobId)).map(({ phone, name }) => [phone, name])).toEqual([
    ["+4915123456789", "Ada"],
    ["+4915123456781", "Cy"],
    ["+4915123456782", "Di"],
  ]);
  expect(await getJob(service.clientWith(service.apiKey), batchJobId)).toMatchObject({ name: "Frühling" });
  expect(complaints).toEqual([]);
});

test("rows that are not sent are kept as a file, mended, and added to the job", async () => {
  await using service = await startTestService();
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page, complaints } = opened;
  await choose(page, "Spring.csv", Buffer.from('phone,plan\n+15551000000,pro\n0151,"a, b"\n'));
  await page.getByText("1 ready to send").waitFor();
  const [kept] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Save these rows as a file" }).click(),
  ]);
  expect(kept.suggestedFilename()).toBe("Spring-rejected.csv");
  const csv = await readFile(await kept.path(), "utf8");
  expect(csv).toMatch(
    /^rejected_line,rejected_reason,rejected_rule,phone,plan\r\n3,invalid_phone_format,"?phone must be E\.164.*,0151,"a, b"\r\n$/,
  );
  await page.getByLabel("Call from").fill("pn_1");
  const batchJobId = await create(page, "1 contact");
  await page.getByRole("button", { name: "Leave it waiting" }).click();
  await badge(page, "Pending").waitFor();
  await page.getByRole("link", { name: "Add contacts" }).click();
  await choose(page, "Spring-rejected.csv", Buffer.from(csv.replace("0151", "+15551000001")));
  await page.getByRole("button", { name: "Add 1 contact" }).click();
  await page.getByText("1 contact added.").waitFor();
  expect(await contactsOf(service, batchJobId)).toMatchObject([
    { phone: "+15551000000", fields: { plan: "pro" } },
    { phone: "+15551000001", fields: { plan: "a, b" } },
  ]);
  expect(complaints).toEqual([]);
});

test("a heading above the titles is left out, and more or fewer rows where somebody says so", async () => {
  await using service = await startTestService();
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page, complaints } = opened;
  await choose(
    page,
    "Spring.csv",
    Buffer.from("Spring campaign,\nphone,name\n+15551000000,Ada\n+15551000001,Bo\n"),
  );
  await page.getByText("2 ready to send").waitFor();
  await page.getByLabel("Row 2 names the columns").waitFor();
  await page.getByLabel("Leave out at the top").selectOption("2 rows");
  await page.getByLabel("Row 3 names the columns").uncheck();
  await page.getByLabel("Read “Column 1” as").selectOption("Phone number");
  await page.getByText("2 ready to send").waitFor();
  await page.getByLabel("Leave out at the top").selectOption("Nothing");
  await page.getByLabel("The first row names the columns").waitFor();
  expect(complaints).toEqual([]);
});

test("rows that the service rejects are had as a file, mended, and added", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const contacts = [{ phone: "+15551000000" }];
  const { batchJobId } = await client.createBatchJob({ name: "Spring", fromPhoneNumberId: "pn_1", contacts });
  await using opened = await open(`${service.httpUrl}/jobs/${batchJobId}/add`, service);
  const { page, complaints } = opened;
  await choose(page, "More.csv", Buffer.from("phone,plan\n+15551000000,pro\n+15551000001,free\n"));
  await page.getByRole("button", { name: "Add 2 contacts" }).click();
  const tray = page.getByRole("region", { name: "Uploads" });
  await tray
    .getByText("1 contact added. 1 contact was not accepted: 1 is in the job already.", { exact: true })
    .waitFor();
  const [kept] = await Promise.all([
    page.waitForEvent("download"),
    tray.getByRole("button", { name: "Save the rows that were not accepted" }).click(),
  ]);
  expect(kept.suggestedFilename()).toBe("Spring-rejected.csv");
  const csv = await readFile(await kept.path(), "utf8");
  expect(csv).toMatch(/\n\d+,duplicate_phone,.*\+15551000000.*pro\r\n$/);
  await tray.getByRole("button", { name: "Dismiss" }).click();
  await page.getByRole("link", { name: "Add contacts" }).click();
  await choose(page, "Spring-rejected.csv", Buffer.from(csv.replace("+15551000000", "+15551000002")));
  await page.getByRole("button", { name: "Add 1 contact" }).click();
  await page.getByText("1 contact added.").waitFor();
  expect((await contactsOf(service, batchJobId)).map(({ phone }) => phone)).toEqual([
    "+15551000000",
    "+15551000001",
    "+15551000002",
  ]);
  expect(complaints).toEqual([]);
});

test("a review says who is never called and what was set, and what comes of it before the start", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const before = await client.createBatchJob({ name: "Before", fromPhoneNumberId: "pn_7" });
  await fetch(`${service.httpUrl}/suppressed-phones.csv?reason=asked`, {
    method: "POST",
    headers: { authorization: `Bearer ${service.apiKey}` },
    body: "phone\n+15551000001\n",
  });
  await client.eraseContacts({ phone: "+15551000002", reason: "asked for it" });
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page, complaints } = opened;
  const rows = Array.from({ length: 1_500 }, (_, i) => `+1555${String(1_000_000 + i)}`);
  await choose(page, "Spring.csv", Buffer.from(`phone\n${rows.join("\n")}\n`));
  await page.getByText("1,500 ready to send").waitFor();
  await page.locator("datalist option[value=pn_7]").waitFor({ state: "attached" });
  await page.getByLabel("Call from").fill("pn_1");
  await page.getByLabel("Calls at once, at most").fill("50");
  await page.getByRole("button", { name: "Call only at some hours" }).click();
  await page.getByLabel("From", { exact: true }).fill("08:00");
  await page.getByLabel("Time zone of the hours").fill("Asia/Tokyo");
  await page.getByRole("button", { name: "Add a day" }).click();
  await page.getByRole("group", { name: "Holidays" }).getByLabel("Date").fill("2035-12-25");
  await page.getByText("Labels, end, and more").click();
  await page.getByRole("button", { name: "Add a label" }).click();
  await page.getByLabel("Label", { exact: true }).fill("team");
  await page.getByLabel("Value").fill("north");
  await page.getByLabel("End at a time").check();
  await page.getByRole("group", { name: "End" }).getByLabel("Date").fill("2036-01-01");
  await page.getByRole("textbox", { name: "Time", exact: true }).fill("12:00");
  await page.locator("[data-instant='2036-01-01T11:00:00.000Z']").waitFor();
  await page.getByLabel("Minutes until as many calls").fill("10");
  await page.getByLabel("Minutes that a scheduled start may be late").fill("0.5");
  await page.getByLabel("Pause when many calls fail").check();
  await page.getByLabel("This share, in %").fill("30");
  await page.getByRole("button", { name: "Review the job with 1,500 contacts" }).click();
  await page.getByText("1 person is on the never-call list, and will not be called.").waitFor();
  await page.getByText("1 person was erased, and will not be in the job.").waitFor();
  await page.getByText("Their numbers").last().click();
  expect(await textOf(page, "[aria-label='Who was erased']")).toBe("+15551000002");
  const facts = await textOf(page, "[aria-labelledby='calls-title'] dl");
  for (const words of [
    "Mon, Tue, Wed, Thu, Fri: 08:00 to 18:00",
    "2035-12-25: closed",
    "by the time in Asia/Tokyo",
    "at most 50, reached within 10 minutes",
    "is made at most 0.5 minutes late, or not at all",
    "Between attempts 5, then 30 minutes",
    "when 30 % of the last 100 calls end as carrier error, failed",
    "Tue, 1 Jan 2036, 12:00",
    "team: north",
  ]) {
    expect(facts).toContain(words);
  }
  const { batchJobId: only } = before;
  expect(await client.listBatchJobs({})).toMatchObject({ batchJobs: [{ batchJobId: only }] });

  // What was chosen is there when one goes back.
  await page.getByRole("button", { name: "Change it" }).click();
  expect(await page.getByLabel("Time zone of the hours").inputValue()).toBe("Asia/Tokyo");
  const batchJobId = await create(page, "1,500 contacts");
  const job = await getJob(client, batchJobId);
  expect(job).toMatchObject({
    status: BatchJobStatus.PENDING,
    timezone: "Asia/Tokyo",
    callingHours: {
      windows: [{ days: [1, 2, 3, 4, 5], start: "08:00", end: "18:00" }],
      exceptions: [{ date: "2035-12-25", windows: [] }],
    },
    rampUp: { seconds: 600n },
    startWithin: { seconds: 30n },
    pauseWhen: { window: 100, share: 0.3, outcomes: [Outcome.CARRIER_ERROR, Outcome.FAILED] },
    labels: { team: "north" },
    counts: { total: 1_499 },
  });
  await page
    .getByText("1,499 contacts added. 1 contact was not accepted: 1 is of a person who was erased.")
    .waitFor();
  expect(job.endAt && timestampDate(job.endAt).toISOString()).toBe("2036-01-01T11:00:00.000Z");

  // When the calls would begin and end is said for now, and for a time that is picked; one person is on the list.
  await page.getByText("1,498 people will be called, at most 50 calls at once.").waitFor();
  await page.getByText("The last call begins about").waitFor();
  await page.getByLabel("At a time").check();
  await page.getByLabel("Date").fill("2035-03-03");
  await page.getByLabel("Time", { exact: true }).fill("09:00");
  // That is a Saturday.
  await page
    .getByText("The calling hours open at Mon, 5 Mar 2035, 00:00; nobody is called before.")
    .waitFor();
  await page.getByLabel("Now").check();
  await page.getByRole("button", { name: "Start the calls" }).dblclick();
  await badge(page, "Running").waitFor();
  expect(await getJob(client, batchJobId)).toMatchObject({ status: BatchJobStatus.RUNNING });

  // What was said of the start is not said of a job that has ended.
  await page.getByText("Starting immediately.").waitFor();
  await client.cancelBatchJob({ batchJobId });
  await badge(page, "Cancelled").waitFor();
  await page.getByText("Starting immediately.").waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Contacts", exact: true }).click();
  await page.getByRole("link", { name: "+15551000000" }).click();
  await page.getByText("The job was cancelled before anybody was reached.").waitFor();
  await page.goto(`${service.httpUrl}/jobs/${batchJobId}/settings`);
  await page.getByText("These settings cannot be changed: the job has ended.").waitFor();
  expect(complaints).toEqual([]);
});

test("labels, end, days and pausing are changed on a job that there is, and taken away", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Spring",
    fromPhoneNumberId: "pn_1",
    contacts: [{ phone: "+15551000000" }],
    labels: { team: "north" },
    rampUp: { seconds: 90n },
    startWithin: { seconds: 3_600n },
    pauseWhen: { window: 200, share: 0.25, outcomes: [Outcome.BUSY] },
    endAt: { seconds: 2_082_000_000n },
    callingHours: {
      windows: [{ days: [1], start: "09:00", end: "17:00" }],
      exceptions: [{ date: "2035-12-24", windows: [{ start: "09:00", end: "12:00" }] }],
      closeEarly: { seconds: 300n },
    },
  });
  await using opened = await open(`${service.httpUrl}/jobs/${batchJobId}/settings`, service);
  const { page, complaints } = opened;
  expect(await page.getByLabel("Label", { exact: true }).inputValue()).toBe("team");
  expect(await page.getByLabel("Minutes until as many calls").inputValue()).toBe("1.5");
  expect(await page.getByLabel("Minutes that a scheduled start may be late").inputValue()).toBe("60");
  await page.getByLabel("Minutes that a scheduled start may be late").fill("90");
  expect(await page.getByLabel("This share, in %").inputValue()).toBe("25");
  await page.getByLabel("Value").fill("south");
  await page.getByLabel("Date").fill("2035-12-26");
  await page.getByLabel("Minutes until as many calls").fill("");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved. It holds from now on.").waitFor();
  const changed = await getJob(client, batchJobId);
  expect(changed).toMatchObject({
    labels: { team: "south" },
    startWithin: { seconds: 5_400n },
    pauseWhen: { window: 200, share: 0.25, outcomes: [Outcome.BUSY] },
    endAt: { seconds: 2_082_000_000n },
    callingHours: {
      exceptions: [{ date: "2035-12-26", windows: [{ start: "09:00", end: "12:00" }] }],
      closeEarly: { seconds: 300n },
    },
  });
  expect(changed.rampUp).toBeUndefined();
  await page.reload();
  await page.getByLabel("End at a time").uncheck();
  await page.getByLabel("Pause when many calls fail").uncheck();
  await page.getByRole("button", { name: "Remove the label" }).click();
  await page.getByRole("button", { name: "Remove the day" }).click();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved. It holds from now on.").waitFor();
  const cleared = await getJob(client, batchJobId);
  expect(cleared).toMatchObject({ labels: {}, callingHours: { exceptions: [] } });
  expect([cleared.endAt, cleared.pauseWhen]).toEqual([undefined, undefined]);
  expect(complaints).toEqual([]);
});
