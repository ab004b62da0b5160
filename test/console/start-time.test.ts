import { timestampDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { duration, fromNow } from "../../src/console/ui/format/times.ts";
import { share } from "../../src/console/ui/format/numbers.ts";
import { startWords, wallParts, wallTime } from "../../src/console/ui/format/wall-time.ts";
import { startTestService } from "../support/service.ts";
import { sessionOf, useBrowser } from "./browser.ts";

const open = useBrowser();
const now = new Date("2030-01-01T00:00:00Z");

describe("a wall-clock time in words", () => {
  test.each([
    ["2035-03-01T10:00", "Thu, 1 Mar 2035, 10:00"],
    ["2035-03-01T10:00:00", "Thu, 1 Mar 2035, 10:00"],
    ["2035-03-01T10:00:05", "Thu, 1 Mar 2035, 10:00:05"],
    ["2035-03-01T15:00:00.000Z", "Thu, 1 Mar 2035, 15:00 UTC"],
    ["2035-03-01T10:00:00-05:00", "Thu, 1 Mar 2035, 10:00 UTC-05:00"],
    ["tomorrow", "tomorrow"],
  ])("%s is %s, and no zone has a part in it", (text, words) => {
    expect(wallTime(text)).toBe(words);
  });

  test("has its zone beside it unless it says its offset itself", () => {
    const timezone = "America/New_York";
    expect(startWords({ requestedStartTime: "2035-03-01T10:00", timezone })).toBe(
      "Thu, 1 Mar 2035, 10:00 America/New_York",
    );
    expect(startWords({ requestedStartTime: "2035-03-01T10:00Z", timezone })).toBe(
      "Thu, 1 Mar 2035, 10:00 UTC",
    );
  });

  test("is what inputs show, if it has no offset", () => {
    expect(wallParts("2035-03-01T10:00:05")).toEqual({ date: "2035-03-01", time: "10:00:05" });
    expect(wallParts("2035-03-01T10:00Z")).toBeUndefined();
  });
});

test("a time is what the service takes it for where the browser's zones are older", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: [{ phone: "+15551000000" }],
  });
  await using opened = await open("about:blank");
  const { page, complaints } = opened;
  // A browser that still has Casablanca an hour away from where it is.
  await page.addInitScript(() => {
    const Right = Intl.DateTimeFormat;
    const Wrong = function (locale: string, options?: Intl.DateTimeFormatOptions) {
      const isOld = options?.timeZone === "Africa/Casablanca";
      return new Right(locale, isOld ? { ...options, timeZone: "Asia/Tokyo" } : options);
    };
    Object.assign(Wrong, Right);
    Wrong.prototype = Right.prototype;
    Object.defineProperty(Intl, "DateTimeFormat", { value: Wrong });
  });
  await page.context().addCookies([sessionOf(service.httpUrl, service.apiKey)]);
  await page.goto(`${service.httpUrl}/jobs/${batchJobId}`);
  await page.getByRole("button", { name: "Schedule" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Date").fill("2037-06-01");
  await dialog.getByLabel("Time", { exact: true }).fill("10:00");
  await dialog.getByLabel("Time zone").fill("Africa/Casablanca");
  const shown = dialog.locator("[data-instant]");
  await shown.waitFor();
  const instant = await shown.getAttribute("data-instant");
  await dialog.getByText("Mon, 1 Jun 2037, 10:00").waitFor();
  await dialog.getByRole("button", { name: "Schedule" }).click();
  await page.getByText("Scheduled successfully.").waitFor();
  const { batchJob } = await client.getBatchJob({ batchJobId });
  expect(batchJob?.scheduledStartTime && timestampDate(batchJob.scheduledStartTime).toISOString()).toBe(
    instant,
  );
  await page.locator("dd time").getByText("Mon, 1 Jun 2037, 10:00").waitFor();
  expect(complaints).toEqual([]);
});

test.each([
  [12, "12 ms"],
  [2_400, "2.4 s"],
  [300_000, "5 min"],
  [5_400_000, "1 h 30 min"],
  [90_000_000, "1 d 1 h"],
])("%i ms is said as %s", (ms, words) => {
  expect(duration(ms)).toBe(words);
});

test("how far away an instant is, is said in whole seconds", () => {
  expect(fromNow(new Date("2030-01-01T00:05:00.400Z"), now)).toBe("in 5 min");
  expect(fromNow(new Date("2029-12-31T23:59:57Z"), now)).toBe("3 s ago");
});

test.each([
  [0, 0, "0%"],
  [1, 1_000, "< 1%"],
  [999, 1_000, "> 99%"],
  [1_000, 1_000, "100%"],
  [1, 3, "33%"],
])("%i of %i is %s", (part, all, words) => {
  expect(share(part, all)).toBe(words);
});
