import { describe, expect, test } from "vitest";
import { checkRows, findColumns } from "../../src/console/features/create/csv/check.ts";

const sample = [["x", "+15551000000", "3"]];

describe("the columns of a file", () => {
  test.each([
    [["Phone", "Name"], { phone: 0, name: 1 }],
    [["Name", "City", "phone_number"], { phone: 2, name: 0 }],
    [["a", "b", "c"], { phone: 1, name: undefined }],
  ])("are found by their titles, or by what is in them: %j", (titles, columns) => {
    expect(findColumns(titles, sample)).toMatchObject(columns);
  });

  test.each([
    [["+15551000000", "Ada"], "must name its columns"],
    [["Ada", "0151 2345678"], "must name its columns"],
    [["mobile", "telephone"], "may both hold the phone number"],
  ])("are refused as the service refuses them: %j", (titles, sentence) => {
    expect(() => findColumns(titles, sample)).toThrow(sentence);
  });
});

const read = (rows: readonly (readonly string[])[]) => rows.map((values, i) => ({ line: i + 2, values }));

test("a row becomes a contact, with a field for every other column that has a title", () => {
  const titles = ["tel", "name", "plan", "__proto__"];
  const { accepted, take } = checkRows(read([["(415) 555-0100", "Ada", "", "x"]]), titles, {
    columns: { phone: 0, name: 1 },
    region: "US",
  });
  expect(accepted.map(take)).toEqual([
    { phone: "+14155550100", name: "Ada", fields: JSON.parse('{"plan":"","__proto__":"x"}') },
  ]);
});

test("of many bad rows all are counted and the first 100 are kept", () => {
  const rows = read(Array.from({ length: 250 }, (_, i) => [String(i)]));
  const { check } = checkRows(rows, ["phone"], { columns: { phone: 0, name: undefined }, region: "" });
  expect(check.counts.invalid_phone_format).toBe(250);
  expect(check.bad.map(({ line }) => line)).toEqual(Array.from({ length: 100 }, (_, i) => i + 2));
});

test("a column of time zones says where contacts are, and is no field", () => {
  const titles = ["phone", "TimeZone", "city"];
  const rows = [
    ["+15551000000", "asia/tokyo", "Tokyo"],
    ["+15551000001", "", ""],
    ["+15551000002", "Mars/Olympus", ""],
  ];
  const columns = { phone: 0, name: undefined };
  const { check, accepted, take } = checkRows(read(rows), titles, { columns, region: "" });
  expect(accepted).toEqual([0, 1]);
  expect(check.bad).toMatchObject([{ line: 4, phone: "+15551000002", reason: "invalid_timezone" }]);
  expect(take(0)).toEqual({
    phone: "+15551000000",
    name: "",
    fields: { city: "Tokyo" },
    timezone: "Asia/Tokyo",
  });
});
