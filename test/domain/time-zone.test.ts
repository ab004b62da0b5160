import { describe, expect, test } from "vitest";
import { canonicalTimeZone } from "../../src/domain/time/time-zone.ts";
import { refusal } from "../support/refusal.ts";

describe("a zone is kept in its canonical spelling", () => {
  test.each([
    ["", "UTC"],
    ["UTC", "UTC"],
    ["utc", "UTC"],
    ["America/New_York", "America/New_York"],
    ["america/new_york", "America/New_York"],
    ["AMERICA/NEW_YORK", "America/New_York"],
    ["america/port-au-prince", "America/Port-au-Prince"],
    ["america/argentina/buenos_aires", "America/Argentina/Buenos_Aires"],
    ["etc/gmt+5", "Etc/GMT+5"],
    ["Etc/GMT-14", "Etc/GMT-14"],
    // Names that IANA keeps as links.
    ["US/Eastern", "America/New_York"],
    ["GB", "Europe/London"],
    ["Zulu", "UTC"],
    ["Etc/UTC", "UTC"],
    ["GMT", "UTC"],
    ["PRC", "Asia/Shanghai"],
    // Names that were retired: the old one and the new one are the same zone.
    ["Asia/Calcutta", "Asia/Kolkata"],
    ["Asia/Kolkata", "Asia/Kolkata"],
    ["europe/kiev", "Europe/Kyiv"],
    ["Europe/Kyiv", "Europe/Kyiv"],
    ["America/Buenos_Aires", "America/Argentina/Buenos_Aires"],
    ["Asia/Saigon", "Asia/Ho_Chi_Minh"],
    ["America/Godthab", "America/Nuuk"],
  ])("%j: %s", (name, canonical) => {
    expect(canonicalTimeZone(name)).toBe(canonical);
  });

  test("the canonical spelling of every zone that the runtime knows is canonical", () => {
    const spellings = Intl.supportedValuesOf("timeZone").map(canonicalTimeZone);
    expect(spellings.map((name) => canonicalTimeZone(name.toLowerCase()))).toEqual(spellings);
  });
});

describe("refused as no zone", () => {
  test.each([
    // Offsets.
    "+05:00",
    "-0500",
    "+05",
    "05:00",
    "\u221205:00",
    "UTC+5",
    "UTC+05:00",
    "GMT-5",
    "Etc/GMT+13",
    "Z",
    // Names that mean nothing, or whatever the machine is set to.
    "Mars/Olympus_Mons",
    // Its small letters are those of a zone that was asked for.
    "Europe/\u212Aiev",
    "America",
    "America/",
    "/New_York",
    "New_York",
    "America/New York",
    "America/New_York ",
    " UTC",
    "UTC\n",
    "UTC\0",
    "local",
    "localtime",
    "system",
    "default",
    "Etc/Unknown",
    "EDT",
    "../../etc/passwd",
    "Europe/Z\u00fcrich",
    "\u{1F552}",
    "null",
    // Names of the runtime that are not IANA's; some are not what they seem (AST would be Alaska).
    "AST",
    "BST",
    "CST",
    "ist",
    "PST",
    "SystemV/EST5",
  ])("%j", async (name) => {
    expect(await refusal(() => canonicalTimeZone(name))).toEqual({
      reason: "invalid_timezone",
      message: `${JSON.stringify(name)} is not an IANA time zone; give a name such as "America/New_York" or "UTC".`,
      metadata: { field: "timezone" },
    });
  });

  test("a very long name, with a short refusal", async () => {
    const refused = await refusal(() => canonicalTimeZone("America/New_York".repeat(100_000)));
    expect(refused.reason).toBe("invalid_timezone");
    expect(refused.message.length).toBeLessThan(200);
  });
});
