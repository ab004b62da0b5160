import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { badge, sessionOf, useBrowser, withoutSharedWorker } from "./browser.ts";

const open = useBrowser();

const isStream = (url: string): boolean => url.endsWith("/WatchBatchJobs");

test("a page that is hidden gives its connection back after a while, and is up to date once it is seen", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(3),
  });
  await using opened = await open("about:blank");
  const { page } = opened;
  await page.clock.install();
  let streams = 0;
  page.on("request", (request) => (streams += isStream(request.url()) ? 1 : 0));
  page.on("requestfailed", (request) => (streams -= isStream(request.url()) ? 1 : 0));
  await page.context().addCookies([sessionOf(service.httpUrl, service.apiKey)]);
  await page.addInitScript(withoutSharedWorker);
  await page.goto(`${service.httpUrl}/jobs/${batchJobId}`);
  await badge(page, "Pending").waitFor();
  await eventually(() => expect(streams).toBe(1));

  const beHidden = async (isHidden: boolean) =>
    await page.evaluate(
      `Object.defineProperty(document, "hidden", { value: ${isHidden}, configurable: true });
       document.dispatchEvent(new Event("visibilitychange"));`,
    );
  // A stream that is silent for 40 s is given up as well: this is sooner.
  await page.clock.pauseAt((await page.evaluate<number>("Date.now()")) + 1_000);
  await beHidden(true);
  await page.clock.runFor(30_100);
  await eventually(() => expect(streams).toBe(0));
  await client.startBatchJob({ batchJobId });
  await page.clock.resume();
  await beHidden(false);
  await badge(page, "Running").waitFor();
  await eventually(() => expect(streams).toBe(1));
});
