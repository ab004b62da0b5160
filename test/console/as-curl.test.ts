import { execFile } from "node:child_process";
import { mkdtempDisposable, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { BatchJobStatus } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { badge, useBrowser } from "./browser.ts";
import { getJob } from "./service.ts";

const open = useBrowser();

/** Has a shell read the command, and sends what curl would be told to send. */
async function runInShell(command: string, apiKey: string): Promise<unknown> {
  const env = { PATH: process.env["PATH"] ?? "", CALLSHEET_API_KEY: apiKey };
  const script = `curl() { printf '%s\\0' "$@"; }; ${command}`;
  const { stdout } = await promisify(execFile)("sh", ["-c", script], { env });
  const [url = "", ...rest] = stdout.split("\0").slice(0, -1);
  const values = (flag: string) => rest.flatMap((word, i) => (rest[i - 1] === flag ? [word] : []));
  const headers = values("-H").map((line) => line.split(": ", 2) as [string, string]);
  const response = await fetch(url, { method: "POST", headers, body: values("-d")[0] ?? null });
  if (!response.ok) throw new Error(await response.text());
  return await response.json();
}

/** Has a shell run the commands, with the curl of this machine; answers what they print. */
async function runScript(script: string, apiKey: string, cwd = tmpdir()): Promise<string> {
  const env = { PATH: process.env["PATH"] ?? "", CALLSHEET_API_KEY: apiKey };
  return (await promisify(execFile)("sh", ["-c", script], { env, cwd })).stdout;
}

test("a command as curl does in a shell what its button does, and holds no key", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "It's $(touch x)",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(1),
  });
  await using opened = await open(`${service.httpUrl}/jobs/${batchJobId}`, service);
  const { page, complaints } = opened;
  const dialog = page.getByRole("dialog");
  const text = dialog.locator("[data-curl]");
  const run = (command: string) => runInShell(command, service.apiKey);

  // Under the revision that is seen, in the words that were picked.
  await page.getByRole("button", { name: "Schedule", exact: true }).click();
  await dialog.getByLabel("Date").fill("2035-03-01");
  await dialog.getByLabel("Time", { exact: true }).fill("10:00");
  await dialog.getByLabel("Time zone").fill("America/New_York");
  await dialog.getByText("As curl").click();
  await text.getByText("2035-03-01T10:00").waitFor();
  const scheduling = await text.innerText();
  expect(scheduling).not.toContain(service.apiKey);
  expect(scheduling).toContain(`${service.httpUrl}/callsheet.v1.BatchJobService/RescheduleBatchJob`);
  expect(await run(scheduling)).toMatchObject({ success: true, status: "BATCH_JOB_STATUS_SCHEDULED" });
  expect(await getJob(client, batchJobId)).toMatchObject({ requestedStartTime: "2035-03-01T10:00" });
  await page.keyboard.press("Escape");
  await badge(page, "Scheduled").waitFor();

  // What needs no more than the job.
  await page.getByRole("button", { name: "As curl" }).click();
  const start = dialog.getByRole("region", { name: "Start now" });
  await start.getByText("As curl").click();
  await start.getByText("StartBatchJob").waitFor();
  expect(await run(await start.locator("[data-curl]").innerText())).toMatchObject({ success: true });
  expect(await getJob(client, batchJobId)).toMatchObject({ status: BatchJobStatus.RUNNING });
  await page.keyboard.press("Escape");
  await badge(page, "Running").waitFor();

  // Of a form, with whatever quotes there are in it.
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByLabel("Description").fill('Isn\'t "it" $HOME `x`?');
  await page.getByText("As curl").last().click();
  await page.locator("[data-curl]").getByText("UpdateBatchJob").waitFor();
  await run(await page.locator("[data-curl]").innerText());
  expect(await getJob(client, batchJobId)).toMatchObject({ description: 'Isn\'t "it" $HOME `x`?' });
  expect(complaints).toEqual([]);
});

test("a new job as curl is created in a shell, and a file goes into it", async () => {
  await using service = await startTestService();
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page, complaints } = opened;
  const buffer = Buffer.from("Telefon,Ort\n+15551000000,Köln\n");
  await page.getByLabel("File of contacts").setInputFiles({ name: "a.csv", mimeType: "text/csv", buffer });
  await page.getByText("1 ready to send").waitFor();
  await page.getByLabel("Name", { exact: true }).fill("It's $HOME");
  await page.getByLabel("Call from").fill("pn_1");
  await page.getByRole("button", { name: "Review the job with 1 contact" }).click();
  await page.getByText("As curl").click();
  await page.locator("[data-curl]").getByText("contacts.csv has the columns phone, Ort").waitFor();
  const script = await page.locator("[data-curl]").innerText();
  expect(script).not.toContain(service.apiKey);

  await using folder = await mkdtempDisposable(join(tmpdir(), "callsheet-curl-"));
  await writeFile(join(folder.path, "contacts.csv"), "phone,Ort\n+15551000001,Bonn\n");
  expect(JSON.parse(await runScript(script, service.apiKey, folder.path))).toMatchObject({
    acceptedCount: 1,
  });
  const { batchJobs } = await service.clientWith(service.apiKey).listBatchJobs({});
  expect(batchJobs).toMatchObject([{ name: "It's $HOME", counts: { total: 1 } }]);
  expect(complaints).toEqual([]);
});

test("a file for a job that is there already, and its results, go through a shell as curl says", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({ name: "Spring", fromPhoneNumberId: "pn_1" });
  await using opened = await open(`${service.httpUrl}/jobs/${batchJobId}/add`, service);
  const { page, complaints } = opened;
  const text = page.locator("[data-curl]");
  await using folder = await mkdtempDisposable(join(tmpdir(), "callsheet-curl-"));
  const buffer = Buffer.from("Telefon,Ort\n+15551000000,Köln\n");
  await page.getByLabel("File of contacts").setInputFiles({ name: "a.csv", mimeType: "text/csv", buffer });
  await page.getByText("1 ready to send").waitFor();
  await page.getByText("As curl").click();
  await text.getByText("contacts.csv has the columns phone, Ort").waitFor();
  await writeFile(join(folder.path, "contacts.csv"), "phone,Ort\n+15551000001,Bonn\n+1555,Ulm\n");
  const adding = await text.innerText();
  expect(adding).not.toContain(service.apiKey);
  const answer = await runScript(adding, service.apiKey, folder.path);
  expect(JSON.parse(answer)).toMatchObject({ acceptedCount: 1, rejectedContactsCount: 1 });

  await page.goto(`${service.httpUrl}/jobs/${batchJobId}/contacts?status=not-called-yet`);
  await page.getByText("+15551000001").waitFor();
  await page.getByText("The download as curl").click();
  await text.getByText("contacts.csv").waitFor();
  await runScript(await text.innerText(), service.apiKey, folder.path);
  expect(await readFile(join(folder.path, "results.csv"), "utf8")).toMatch(/\+15551000001.*Bonn/);
  expect(complaints).toEqual([]);
});

test("commands to many jobs as curl are given to each of them by a shell", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  for (const name of ["Spring", "Sommer größer", "Autumn"]) {
    await client.createBatchJob({
      name,
      fromPhoneNumberId: "pn_1",
      contacts: makeContacts(1),
      scheduledStartTime: "2035-03-01T10:00",
      labels: { "It's": "größer" },
    });
  }
  await using opened = await open(
    `${service.httpUrl}/jobs?${new URLSearchParams({ labels: "It%27s=gr%C3%B6%C3%9Fer" })}`,
    service,
  );
  const { page, complaints } = opened;
  const dialog = page.getByRole("dialog");
  const text = dialog.locator("[data-curl]");
  await page.getByRole("button", { name: "Select all that match" }).click();

  // A stream: of what would come of it, and then of what has.
  await page.getByRole("button", { name: "Reschedule" }).click();
  await dialog.getByLabel("By how much").fill("3");
  await dialog.getByText("As curl").click();
  await text.getByText('"dryRun":true').waitFor();
  const tried = (await runScript(await text.innerText(), service.apiKey)).trim().split("\n");
  expect(tried.map((line) => Object.keys(JSON.parse(line) as object))).toEqual([
    ["moved"],
    ["moved"],
    ["moved"],
    ["summary"],
  ]);
  await dialog.getByRole("button", { name: "Show what comes of it" }).click();
  await page.getByText("3 jobs would be rescheduled").waitFor();
  await dialog.getByText("As curl").click();
  await text.getByText("RescheduleBatchJobs").waitFor();
  await runScript(await text.innerText(), service.apiKey);
  const { batchJobs } = await client.listBatchJobs({});
  expect(batchJobs.map(({ scheduledStartTime: at }) => at && timestampDate(at).toISOString())).toEqual(
    Array(3).fill("2035-03-01T13:00:00.000Z"),
  );
  await page.keyboard.press("Escape");

  await page.getByRole("button", { name: "Cancel" }).click();
  await dialog.getByText("As curl").click();
  await text.getByText("CancelBatchJob").waitFor();
  await runScript(await text.innerText(), service.apiKey);
  const cancelled = await client.listBatchJobs({ statuses: [BatchJobStatus.CANCELLED] });
  expect(cancelled.batchJobs).toHaveLength(3);
  expect(complaints).toEqual([]);
});
