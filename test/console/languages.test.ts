import { expect, test } from "vitest";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { sessionOf, useBrowser } from "./browser.ts";

const open = useBrowser();

test.each(["en-US@posix", "C", "de-DE"])(
  "a job's page opens where the browser's language is %s",
  async (language) => {
    await using service = await startTestService();
    const client = service.clientWith(service.apiKey);
    const contacts = makeContacts(2);
    const { batchJobId } = await client.createBatchJob({
      name: "Spring campaign",
      fromPhoneNumberId: "pn_1",
      contacts,
    });
    await client.startBatchJob({ batchJobId });
    await using session = await open("about:blank");
    const { page, complaints } = session;
    await page.addInitScript((value) => {
      Object.defineProperty(navigator, "language", { value, configurable: true });
    }, language);
    await page.context().addCookies([sessionOf(service.httpUrl, service.apiKey)]);
    await page.goto(`${service.httpUrl}/jobs/${batchJobId}`);
    await page.getByRole("heading", { name: "Spring campaign" }).waitFor();
    await page.locator(".uplot").first().waitFor();
    expect(complaints).toEqual([]);
  },
);

test("a view that throws says so, and the browser's console has the error", async () => {
  await using service = await startTestService();
  await using session = await open("about:blank");
  const { page, complaints } = session;
  await page.addInitScript(() => {
    Object.defineProperty(Intl.NumberFormat.prototype, "format", {
      get() {
        throw new Error("no numbers today");
      },
    });
  });
  await page.goto(service.httpUrl);
  const { batchJobId } = await service
    .clientWith(service.apiKey)
    .createBatchJob({ name: "Spring campaign", fromPhoneNumberId: "pn_1", contacts: makeContacts(2) });
  expect(batchJobId).not.toBe("");
  await page.getByLabel("API key").fill(service.apiKey);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("This part of the console cannot be shown.").waitFor();
  await page.getByText("no numbers today").waitFor();
  expect(complaints.join("\n")).toContain("no numbers today");
});

test("the console opens where the browser's time zone is none that it can reckon with", async () => {
  await using service = await startTestService();
  await using session = await open("about:blank");
  const { page, complaints } = session;
  await page.context().addCookies([sessionOf(service.httpUrl, service.apiKey)]);
  await page.addInitScript(() => {
    const { resolvedOptions } = Intl.DateTimeFormat.prototype;
    Intl.DateTimeFormat.prototype.resolvedOptions = function told() {
      return { ...resolvedOptions.call(this), timeZone: "Etc/Unknown" };
    };
  });
  await page.goto(service.httpUrl);
  await page.getByText("There are no jobs yet.").waitFor();
  expect(complaints).toEqual([]);
});

test("what cannot be loaded at all is told in words, and no page stays white", async () => {
  await using service = await startTestService();
  await using session = await open("about:blank");
  const { page } = session;
  await page.addInitScript(() => {
    Object.defineProperty(globalThis, "BroadcastChannel", { value: undefined });
  });
  await page.goto(service.httpUrl);
  await page.getByText("What happened:").waitFor();
  expect(await page.locator("h1").innerText()).toBe("The console cannot be shown");
});
