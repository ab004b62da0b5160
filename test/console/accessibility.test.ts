import axe from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Clients, createClients } from "../../src/client/clients.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { badge, focusIsOn, tableOf, useBrowser } from "./browser.ts";
import { startWorker } from "./service.ts";

const open = useBrowser();
const stack = new AsyncDisposableStack();
let service: Awaited<ReturnType<typeof startTestService>>;
let webhooks: Clients["webhooks"];
let finishedJob = "";
let pendingJob = "";
let waitingJob = "";

beforeAll(async () => {
  service = stack.use(
    await startTestService({ webhookPolicy: { allowInsecure: true, allowedNetworks: undefined } }),
  );
  const client = service.clientWith(service.apiKey);
  ({ webhooks } = createClients({ url: service.grpcUrl, apiKey: service.apiKey }));
  const aJob = { fromPhoneNumberId: "pn_1", concurrentCallLimit: 50, retryDelays: [{ seconds: 0n }] };
  const finished = await client.createBatchJob({ ...aJob, name: "Finished", contacts: makeContacts(24) });
  finishedJob = finished.batchJobId;
  await using worker = startWorker(service, 20);
  await client.startBatchJob({ batchJobId: finishedJob });
  for await (const { batchJob } of client.watchBatchJobs({ batchJobIds: [finishedJob] })) {
    if (batchJob?.finishedAt) break;
  }
  await worker[Symbol.asyncDispose]();
  const pending = await client.createBatchJob({
    ...aJob,
    name: "عملة الربيع 🌸 مع اسم طويل جداً حتى لا يتسع له السطر الواحد في الشاشة الضيقة",
    description: "x".repeat(200),
    labels: { ["label ".repeat(10).trim()]: "x".repeat(60) },
    contacts: makeContacts(3),
  });
  pendingJob = pending.batchJobId;
  const waiting = await client.createBatchJob({ ...aJob, name: "Waiting", contacts: makeContacts(3) });
  waitingJob = waiting.batchJobId;
  await client.rescheduleBatchJob({
    batchJobId: pendingJob,
    scheduledStartTime: "2035-03-01T10:00",
    timezone: "America/New_York",
  });
});
afterAll(() => stack.disposeAsync());

const csv = "phone,name,plan\n+15551000000,Ada,basic\n0151,Bob,pro\n";

/** Each view, and how to get there from the start. */
const views: Record<string, (page: Page) => Promise<void>> = {
  "the list of jobs": async (page) => await page.getByRole("link", { name: "Finished" }).waitFor(),
  "jobs that are selected, by day and label": async (page) => {
    await page.goto(`${service.httpUrl}/jobs?day=created&from=2020-01-01&to=2099-01-01`);
    await page.getByRole("link", { name: `${"label ".repeat(10).trim()}=${"x".repeat(60)}` }).click();
    await page.getByRole("button", { name: "Select all that match" }).click();
    await page.getByRole("button", { name: "Cancel" }).waitFor();
  },
  "the dialog to cancel many": async (page) => {
    await page.getByRole("button", { name: "Select all that match" }).click();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("A cancelled job cannot be started again.").waitFor();
  },
  "the dialog to move many, with what comes of it": async (page) => {
    await page.getByRole("button", { name: "Select all that match" }).click();
    await page.getByRole("button", { name: "Reschedule" }).click();
    await page.getByRole("dialog").getByLabel("By how much").fill("3");
    await page.getByRole("button", { name: "Show what comes of it" }).click();
    await page.getByText("1 job would be rescheduled").waitFor();
  },
  "a person in all jobs": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/find#%2B14155000000`);
    await page.getByRole("table", { name: "Where this person is" }).waitFor();
  },
  "a person by a number as it is dialed, who is to be erased": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/find?country=US#(415)%20500-0000`);
    await page.getByLabel("Numbers without a plus sign are of").waitFor();
    await page.getByRole("button", { name: "Erase this person" }).click();
    await page.getByRole("button", { name: "Erase for good" }).click();
    await page.getByText("Say why, for the log.").waitFor();
  },
  "commands as curl": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${pendingJob}`);
    await page.getByRole("button", { name: "As curl" }).click();
    await page.getByRole("dialog").getByText("As curl").nth(1).click();
    await page.locator("[data-curl]").getByText("StartBatchJob").waitFor();
  },
  "a list in which nothing is found": async (page) => {
    await page.getByRole("searchbox").fill("nothing");
    await page.getByText("No job matches.").waitFor();
  },
  "a job that waits": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${pendingJob}`);
    await badge(page, "Scheduled").waitFor();
    await page.getByRole("table", { name: "Calls that begin in each hour" }).waitFor();
  },
  "a job that has ended": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${finishedJob}`);
    await tableOf(page, "outcomes").waitFor();
  },
  "the contacts of a job": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${finishedJob}/contacts`);
    await tableOf(page, "contacts").waitFor();
  },
  "the settings of a job": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${pendingJob}/settings`);
    await page.getByRole("button", { name: "Call only at some hours" }).click();
    await page.getByLabel("From", { exact: true }).fill("9");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Give each line its days").waitFor();
  },
  "the dialog to start": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${pendingJob}`);
    await page.getByRole("button", { name: "Start now" }).click();
    await page.getByRole("dialog").getByText("That takes about").waitFor();
  },
  "the dialog to reschedule": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${pendingJob}`);
    await page.getByRole("button", { name: "Reschedule" }).click();
    await page.getByRole("dialog").getByLabel("Time zone").fill("Nowhere");
    await page.getByText("is not an IANA time zone").waitFor();
  },
  "the dialog to cancel": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${pendingJob}`);
    await page.getByRole("button", { name: "Cancel job" }).click();
    await page.getByRole("dialog").waitFor();
  },
  "who did what with a job": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${finishedJob}/activity`);
    await page.locator("[aria-label='What was done'] li").first().waitFor();
  },
  "people and keys": async (page) => {
    await page.goto(`${service.httpUrl}/keys`);
    await page.getByLabel("For whom, or for what").fill("x".repeat(200));
    await page.getByRole("button", { name: "Make a key" }).click();
    await page.locator("[data-secret]").waitFor();
    await page.getByRole("row", { name: "xxx" }).waitFor();
  },
  "those who are never called": async (page) => {
    await page.goto(`${service.httpUrl}/never-call`);
    await page.getByLabel("Phone numbers").fill("+14155559999");
    await page.getByLabel("Reason").fill("asked not to be called ".repeat(8));
    await page.getByRole("button", { name: "Add to the list" }).click();
    await page.getByRole("cell", { name: "+14155559999" }).waitFor();
  },
  "the webhooks": async (page) => {
    await page.goto(`${service.httpUrl}/webhooks`);
    await page.getByLabel("URL").fill(`https://203.0.113.1/${"x".repeat(500)}`);
    await page.getByRole("button", { name: "Send events there" }).click();
    await page.getByText("must lead to a public address").waitFor();
    await page.getByLabel("URL").fill(`http://127.0.0.1:1/${"x".repeat(500)}`);
    await page.getByLabel("What it is for").fill("x".repeat(200));
    await page.getByLabel("contact.attempt_ended").check();
    await page.getByRole("button", { name: "Send events there" }).click();
    await page.locator("[data-secret]").waitFor();
    await page.getByRole("row", { name: "127.0.0.1:1" }).waitFor();
  },
  "a webhook, and what does not arrive": async (page) => {
    const url = `http://127.0.0.1:1/${"y".repeat(500)}`;
    const { webhookEndpoint } = await webhooks.createWebhookEndpoint({ url, description: "y".repeat(200) });
    await page.goto(`${service.httpUrl}/webhooks/${webhookEndpoint?.webhookEndpointId}`);
    await page.getByRole("button", { name: "Send a test event" }).click();
    await page
      .getByRole("row", { name: "webhook_endpoint.test" })
      .getByText("nobody listens there")
      .waitFor();
  },
  "the organization": async (page) => {
    await page.goto(`${service.httpUrl}/organization`);
    await page.getByRole("button", { name: "Call only at some hours" }).click();
  },
  "a contact": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${finishedJob}/contacts/1`);
    await page.locator("[aria-label=Attempts] li").first().waitFor();
  },
  "a new job": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/new`);
    await page
      .getByLabel("File of contacts")
      .setInputFiles({ name: "x.csv", mimeType: "text/csv", buffer: Buffer.from(csv) });
    await page.getByText("1 row will not be sent").click();
    await page.getByRole("button", { name: "Call only at some hours" }).click();
    await page.getByRole("button", { name: "Add a day" }).click();
    await page.getByText("Labels, end, and more").click();
    await page.getByRole("button", { name: "Add a label" }).click();
    await page.getByLabel("Pause when many calls fail").check();
    await page.getByLabel("End at a time").check();
    await page.getByRole("group", { name: "End" }).getByLabel("Date").fill("2035-11-04");
    await page.getByRole("button", { name: "Review the job" }).click();
    await page.locator("#fromPhoneNumberId-problem").waitFor();
  },
  "the review of a new job": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/new`);
    await page
      .getByLabel("File of contacts")
      .setInputFiles({ name: `${"x".repeat(100)}.csv`, mimeType: "text/csv", buffer: Buffer.from(csv) });
    await page.getByLabel("Call from").fill("pn_".repeat(40));
    await page.getByRole("button", { name: "Call only at some hours" }).click();
    await page.getByRole("button", { name: "Review the job with 1 contact" }).click();
    await page.getByText("is on the never-call list").waitFor();
  },
  "the start of a new job": async (page) => {
    await page.goto(`${service.httpUrl}/jobs/${waitingJob}/start`);
    await page.getByLabel("At a time").check();
    await page.getByLabel("Date").fill("2035-11-04");
    await page.getByLabel("Time", { exact: true }).fill("01:30");
    await page.getByLabel("Time zone").fill("America/New_York");
    await page.getByText("This time comes twice that day").waitFor();
    await page.getByText("That takes about").waitFor();
  },
  "signing in with a wrong key": async (page) => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API key").fill("wrong");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("An API key starts with cs_").waitFor();
  },
};

type Box = { left: number; right: number; top: number; bottom: number; width: number };

test("a date and a time stand beside each other, or one under the other, and never overlap", async () => {
  await using opened = await open(`${service.httpUrl}/jobs/${pendingJob}`, service);
  const { page } = opened;
  await page.setViewportSize({ width: 375, height: 700 });
  await page.getByRole("button", { name: "Reschedule" }).click();
  await page.getByRole("dialog").getByLabel("Date").waitFor();
  const [date, time] = await page.evaluate<[Box, Box]>(
    `["start-date", "start-time"].map((id) => document.getElementById(id).getBoundingClientRect().toJSON())`,
  );
  expect(date.right <= time.left || date.bottom <= time.top).toBe(true);
  // Neither is narrower than what a browser shows in it.
  expect(date.width).toBeGreaterThanOrEqual(150);
});

test("where colours are forced what is chosen, how far a job is, and what is off can still be seen", async () => {
  await using opened = await open(`${service.httpUrl}/jobs/${finishedJob}`, service);
  const { page } = opened;
  await page.emulateMedia({ forcedColors: "active" });
  const colorOf = (selector: string) =>
    page.evaluate<string>(
      `getComputedStyle(document.querySelector(${JSON.stringify(selector)})).backgroundColor`,
    );
  await tableOf(page, "outcomes").waitFor();
  const canvas = await colorOf("body");
  expect(await colorOf("[role=progressbar] span")).not.toBe(canvas);
  expect(await colorOf("td a > span")).not.toBe(canvas);
  const tab = `getComputedStyle(document.querySelector("nav ul [aria-current]")).borderBottomColor`;
  const other = `getComputedStyle(document.querySelector("nav ul a:not([aria-current])")).borderBottomColor`;
  expect(await page.evaluate(tab)).not.toBe(await page.evaluate(other));
});

const sizes = { wide: { width: 1280, height: 900 }, narrow: { width: 320, height: 640 } };

/** Of all rules only that of contrast depends on the colours. */
const rulesFor = { light: {}, dark: { runOnly: ["color-contrast"] } };

/** What axe finds wrong with the page as it is now. It must have been brought into the page. */
const runAxe = (page: Page, options: object) =>
  page.evaluate(
    `axe.run(${JSON.stringify(options)}).then(({ violations }) => violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => id + ": " + html + " " + failureSummary)))`,
  ) as Promise<string[]>;

test.each(Object.keys(views))(
  "axe finds nothing, and nothing is cut off: %s",
  async (name) => {
    await using opened = await open(service.httpUrl, { apiKey: service.apiKey, reducedMotion: "reduce" });
    const { page, complaints } = opened;
    await views[name]?.(page);
    await page.evaluate(axe.source);
    const found: string[] = [];
    for (const [width, viewport] of Object.entries(sizes)) {
      for (const colorScheme of ["light", "dark"] as const) {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme });
        const violations = await runAxe(page, rulesFor[colorScheme]);
        found.push(...violations.map((violation) => `${width} ${colorScheme} ${violation}`));
      }
      const pageWidth = await page.evaluate("document.documentElement.scrollWidth");
      expect(pageWidth).toBe(viewport.width);
    }
    expect(found).toEqual([]);
    expect(complaints).toEqual([]);
  },
  90_000,
);

test("everything can be done with the keyboard alone", async () => {
  await using opened = await open(service.httpUrl);
  const { page } = opened;
  const press = async (...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  await page.getByLabel("API key").waitFor();
  await press("Tab");
  await page.keyboard.type(service.apiKey);
  await press("Enter");
  const job = page.getByRole("link", { name: "عملة الربيع" });
  await job.waitFor();

  // On a page that was just loaded the first stop leads past the top; then everything is a stop of its own.
  await page.reload();
  await job.waitFor();
  await press("Tab");
  expect(await page.evaluate("document.activeElement.innerText")).toBe("Skip to the content");
  await press("Enter");
  const focusIs = `document.activeElement.matches('a[href*="${pendingJob}"]')`;
  for (let steps = 0; steps < 20 && !(await page.evaluate(focusIs)); steps++) await press("Tab");
  await press("Enter");
  await page.locator("h1:focus").waitFor();
  await badge(page, "Scheduled").waitFor();
  expect(await page.evaluate("document.activeElement.tagName")).toBe("H1");
  const isOnReschedule = "document.activeElement.innerText === 'Reschedule'";
  for (let steps = 0; steps < 5 && !(await page.evaluate(isOnReschedule)); steps++) await press("Tab");
  await press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await press("Escape");
  await dialog.waitFor({ state: "detached" });
  await focusIsOn(page, "Reschedule");
});
