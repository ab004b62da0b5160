import { afterAll, expect, test } from "vitest";
import { makeApiKey } from "../support/api-key.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { badge, signIn, useBrowser } from "./browser.ts";

const open = useBrowser();
const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const makeJob = (name: string) =>
  service
    .clientWith(service.apiKey)
    .createBatchJob({ name, fromPhoneNumberId: "pn_1", contacts: makeContacts(3) });

test("a viewer's key sees everything and no command", async () => {
  const { key } = await makeApiKey(db, { role: "viewer" });
  const { batchJobId } = await makeJob("Seen by a viewer");
  await using opened = await open(service.httpUrl, { apiKey: key });
  const { page } = opened;
  await page.getByRole("link", { name: "Seen by a viewer" }).click();
  await badge(page, "Pending").waitFor();
  const buttons = await page.getByRole("button").allInnerTexts();
  expect(buttons).toEqual(["Sign out"]);
  await page.getByRole("link", { name: "Contacts", exact: true }).click();
  await page.getByRole("link", { name: "+14155000000" }).waitFor();
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByText("These settings cannot be changed: this key may only look.").waitFor();
  expect(await page.getByRole("button", { name: "Save" }).count()).toBe(0);
  await page.goto(`${service.httpUrl}/jobs`);
  await page.getByRole("heading", { name: "Jobs" }).waitFor();
  expect(await page.getByRole("link", { name: "New job" }).count()).toBe(0);
  await page.goto(`${service.httpUrl}/jobs/new`);
  await page.getByText("This key may look, and not create.").waitFor();
  await page.goto(`${service.httpUrl}/jobs/${batchJobId}/add`);
  await page.getByText("The service takes no more contacts for this job from this key.").waitFor();
});

test("an operator's key creates nothing by signing in", async () => {
  const { key } = await makeApiKey(db, { role: "operator", organization: "signs in" });
  await using opened = await open(service.httpUrl, { apiKey: key });
  await opened.page.getByText("There are no jobs yet.").waitFor();
  await opened.page.getByRole("link", { name: "New job" }).waitFor();
  expect(await service.clientWith(key).listBatchJobs({})).toMatchObject({ batchJobs: [] });
});

test.each([
  ["is misspelt", () => Promise.resolve("cs_ not a key"), "An API key starts with cs_"],
  ["nobody knows", () => Promise.resolve(`cs_${"x".repeat(40)}`), "The service does not know this key."],
  ["is a worker's", async () => (await makeApiKey(db, { role: "worker" })).key, "This is a worker's key."],
] as const)("a key that %s is refused in words", async (_why, keyOf, words) => {
  await using opened = await open(service.httpUrl);
  const { page } = opened;
  await page.getByLabel("API key").fill(await keyOf());
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText(words).waitFor();
  expect(await page.getByRole("button", { name: "Sign out" }).count()).toBe(0);
});

test("all tabs of a browser are signed in together, no script reads the key, and signing out is for all", async () => {
  const { batchJobId } = await makeJob("In two tabs");
  await using opened = await open(service.httpUrl);
  const { page } = opened;
  await signIn(page, service.apiKey);
  const before = page.url();
  const opensTab = page.context().waitForEvent("request", (request) => request.resourceType() === "document");
  await page.getByRole("link", { name: "In two tabs" }).click({ modifiers: ["Control"] });
  const address = (await opensTab).url();
  expect([new URL(address).pathname, page.url()]).toEqual([`/jobs/${batchJobId}`, before]);
  // Playwright does not always hear that the tab is there, which is of no account to the tab.
  const second = await page.context().newPage();
  await second.goto(address);
  await badge(second, "Pending").waitFor();
  expect(await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")).toEqual([
    0,
    0,
    "",
  ]);

  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("API key").waitFor();
  await second.getByLabel("API key").waitFor();
  await page.reload();
  await page.getByLabel("API key").waitFor();
});

test("a key that the service no longer takes ends the session, and the page says so", async () => {
  const { key, id } = await makeApiKey(db, { role: "operator" });
  await using opened = await open(service.httpUrl, { apiKey: key });
  const { page } = opened;
  await db.deleteFrom("api_keys").where("id", "=", id).execute();
  await page.getByText("The service no longer accepts this key.").waitFor({ timeout: 20_000 });
  await signIn(page, service.apiKey);
  expect(await page.getByText("The service no longer accepts this key.").count()).toBe(0);
});

test("that the service does not answer is said no longer than it is so, also where nothing else is asked for", async () => {
  await using opened = await open(`${service.httpUrl}/jobs/new`, service);
  const { page } = opened;
  await page.getByRole("heading", { name: "New job" }).waitFor();
  await page.route("**/session", (route) => route.abort());
  await page.route("**/readyz", (route) => route.abort());
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("The service does not answer.").waitFor();
  await page.unroute("**/readyz");
  await page.getByText("The service does not answer.").waitFor({ state: "detached" });
  expect(await page.getByRole("heading", { name: "New job" }).count()).toBe(1);
});
