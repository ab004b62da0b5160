import type { Locator } from "playwright-core";
import { afterAll, expect, test } from "vitest";
import { ensureOrganization } from "../../src/postgres/api-keys.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { makeJobs } from "../support/make-many.ts";
import { startProxy } from "../support/servers/proxy.ts";
import { startTestService } from "../support/service.ts";
import { tableOf, useBrowser } from "./browser.ts";

const open = useBrowser();
const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());
const organizationId = await ensureOrganization(db, "default");
const caller = { apiKeyId: "00000000-0000-0000-0000-000000000001", organizationId, role: "admin" } as const;
await makeJobs({ db, caller }, 1_000, { status: "pending", contacts: 1 });

test("a page of 1,000 jobs follows all of them over one stream", async () => {
  await using proxy = await startProxy(service.httpUrl);
  let streams = 0;
  proxy.onRequest((request) => (streams += request.includes("/WatchBatchJobs ") ? 1 : 0));
  await using opened = await open(`${proxy.url}jobs?size=1000`, service);
  const { page, complaints } = opened;
  const rows = tableOf(page, "jobs").locator("tbody tr");
  await eventually(async () => expect(await rows.count()).toBe(1_000), 20_000);

  // No command renames a job, but this is seen in its row.
  const ids = await db.selectFrom("batch_jobs").select("id").orderBy("created_at").execute();
  await db
    .updateTable("batch_jobs")
    .set({ name: "Renamed meanwhile", revision: 2, updated_at: new Date() })
    .where(
      "id",
      "in",
      ids.filter((_, i) => i % 10 === 0).map(({ id }) => id),
    )
    .execute();
  await eventually(
    async () => expect(await page.getByRole("link", { name: "Renamed meanwhile" }).count()).toBe(100),
    20_000,
  );
  expect(streams).toBe(1);

  // What is not on the screen is not drawn until one comes to it.
  const isDrawn = async () =>
    await rows.last().evaluate((row) => {
      const { lastElementChild: cell } = row as unknown as { lastElementChild: Drawable };
      return cell.checkVisibility({ contentVisibilityAuto: true });
    });
  expect(await isDrawn()).toBe(false);
  await rows.last().scrollIntoViewIfNeeded();
  await eventually(async () => expect(await isDrawn()).toBe(true));
  expect(complaints).toEqual([]);
});

type Drawable = { checkVisibility: (options: { contentVisibilityAuto: boolean }) => boolean };

test("the list is filtered, searched and gone through by pages, and the address keeps it", async () => {
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Needle & thread 🧵",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(2),
    scheduledStartTime: "2035-03-01T10:00",
    timezone: "America/New_York",
  });
  await using opened = await open(service.httpUrl, service);
  const { page, complaints } = opened;
  const rows = tableOf(page, "jobs").locator("tbody tr");
  await eventually(async () => expect(await rows.count()).toBe(50));
  const needle = page.locator("tr", { hasText: "Needle" });
  expect((await needle.locator("[data-label='Scheduled start']").innerText()).split("\n")).toEqual([
    "Thu, 1 Mar 2035, 10:00 New York",
    "Thu, 1 Mar 2035, 16:00 your time",
  ]);

  // What cannot be pressed can be read all the same.
  const off = await page.evaluate("getComputedStyle(document.querySelector('nav .disabled')).opacity");
  expect(off).toBe("1");
  await page.getByRole("link", { name: "Next" }).click();
  await page.getByText("Page 2").waitFor();
  await needle.waitFor({ state: "detached" });
  await page.reload();
  await page.getByText("Page 2").waitFor();
  await page.getByRole("link", { name: "Previous" }).click();
  await needle.waitFor();

  await page.getByRole("searchbox").fill("NEEDLE &");
  await eventually(async () => expect(await rows.count()).toBe(1));
  await page.getByLabel("Paused").check();
  await page.getByText("No job matches.").waitFor();
  await page.getByLabel("Paused").uncheck();
  await page.getByLabel("Scheduled").check();
  await needle.getByRole("link").click();
  await page.getByRole("heading", { name: "Needle & thread 🧵" }).waitFor();
  expect(page.url()).toContain(batchJobId);
  await page.goBack();
  await eventually(async () => expect(await rows.count()).toBe(1));
  expect(await page.getByRole("searchbox").inputValue()).toBe("NEEDLE &");
  expect(await page.getByLabel("Scheduled").isChecked()).toBe(true);

  // A job that is created meanwhile comes by itself.
  await page.goto(`${service.httpUrl}/jobs`);
  await needle.waitFor();
  await client.createBatchJob({ name: "Created meanwhile", fromPhoneNumberId: "pn_1" });
  await page.getByRole("link", { name: "Created meanwhile" }).waitFor({ timeout: 25_000 });
  expect(complaints).toEqual([]);
});

const boxOf = async (place: Locator) =>
  (await place.boundingBox()) ?? { x: Number.NaN, y: Number.NaN, width: Number.NaN };

test("on a phone the field for a person is as wide as the list, below the title and the button", async () => {
  await using opened = await open(`${service.httpUrl}/jobs`, {
    ...service,
    viewport: { width: 375, height: 800 },
  });
  const { page } = opened;
  const field = await boxOf(page.getByRole("search", { name: "A person in all jobs" }));
  const list = await boxOf(page.getByRole("search", { name: "Jobs", exact: true }));
  const title = await boxOf(page.getByRole("heading", { name: "Jobs", exact: true }));
  const button = await boxOf(page.getByRole("link", { name: "New job" }));
  expect([field.x, field.width]).toEqual([list.x, list.width]);
  expect(Math.abs(button.y - title.y)).toBeLessThan(20);
  expect(field.y).toBeGreaterThan(button.y);
});

test("whoever comes back to a list is where they left it", async () => {
  await using opened = await open(`${service.httpUrl}/jobs`, service);
  const { page } = opened;
  const rows = tableOf(page, "jobs").locator("tbody tr");
  await eventually(async () => expect(await rows.count()).toBe(50));
  await rows.nth(40).getByRole("link").scrollIntoViewIfNeeded();
  const left = await page.evaluate<number>("scrollY");
  expect(left).toBeGreaterThan(0);
  await rows.nth(40).getByRole("link").click();
  await page.getByRole("link", { name: "Overview" }).waitFor();
  expect(await page.evaluate<number>("scrollY")).toBeLessThan(left);
  await page.goBack();
  await eventually(async () => expect(await page.evaluate("scrollY")).toBe(left));
});

test("a search through very many jobs says that it has not come to the end, and goes on when asked to", async () => {
  const client = service.clientWith(service.apiKey);
  await makeJobs({ db, caller }, 10_000, { status: "pending", contacts: 0 });
  const { batchJobId } = await client.createBatchJob({ name: "The oldest", fromPhoneNumberId: "pn_1" });
  await db
    .updateTable("batch_jobs")
    .set({ created_at: new Date(0) })
    .where("id", "=", batchJobId)
    .execute();
  await using opened = await open(`${service.httpUrl}/jobs?search=oldest`, service);
  await opened.page.getByText("None of the jobs looked at so far matches.").waitFor();
  await opened.page.getByRole("link", { name: "Search further" }).click();
  await opened.page.getByRole("link", { name: "The oldest" }).waitFor();
  expect(opened.complaints).toEqual([]);
});
