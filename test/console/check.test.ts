import { describe, expect, test } from "vitest";
import {
  checkRows,
  guessColumns,
  hasTitles,
  toContact,
} from "../../src/console/features/create/csv/check.ts";
import { sortOut } from "../../src/domain/contact.ts";

describe("the columns of a file", () => {
  test.each([
    [["Phone", "Name"], { phone: 0, name: 1 }],
    [["Full name", "City", "phone_number"], { phone: 2, name: 0 }],
    [["a", "b", "c"], { phone: 1, name: undefined }],
  ])("are found by their titles, or by what is in them: %j", (titles, columns) => {
    expect(guessColumns(titles, [["x", "+15551000000", "3"]])).toEqual(columns);
  });

  test.each([
    [["phone", "name"], true],
    [["+15551000000", "Ada"], false],
    [["Ada", "0151 2345678"], false],
  ])("have titles if nothing in the first row looks like a phone number: %j", (first, answer) => {
    expect(hasTitles(first)).toBe(answer);
  });
});

test("a row becomes a contact with a field for every other column that has a title and a value", () => {
  const titles = ["phone", "name", "plan", "", " city "];
  const row = [" +15551000000 ", "Ada ", "pro", "no title", " Lyon "];
  expect(toContact(row, titles, { phone: 0, name: 1 })).toEqual({
    phone: "+15551000000",
    name: "Ada",
    fields: { plan: "pro", city: "Lyon" },
  });
  expect(toContact(["+15551000000"], titles, { phone: 0, name: 1 })).toEqual({
    phone: "+15551000000",
    name: "",
    fields: {},
  });
});

test("rows are judged as the service judges contacts", () => {
  const titles = ["phone", "name"];
  const rows = [
    ["+15551000000", "Ada"],
    ["0151", "no plus"],
    ["+15551000000", "again"],
    ["", "empty"],
    ["+15551000001", "x".repeat(201)],
    ["+15551000002", "Bob"],
  ];
  const columns = { phone: 0, name: 1 };
  const { check, accepted } = checkRows(rows, titles, columns, 2);
  const judged = sortOut(rows.map((row) => toContact(row, titles, columns)));
  expect(accepted).toEqual(judged.accepted.map(({ index }) => index));
  expect(check.bad).toEqual(
    judged.rejected.map(({ index, phone, reason }) => ({ row: index + 2, phone, reason })),
  );
  expect(check.counts).toEqual({ invalid_phone_format: 2, duplicate_phone: 1, invalid_fields: 1 });
});

test("of many bad rows all are counted and the first 100 are kept", () => {
  const rows = Array.from({ length: 250 }, (_, i) => [String(i)]);
  const { check } = checkRows(rows, ["phone"], { phone: 0, name: undefined }, 2);
  expect(check.counts.invalid_phone_format).toBe(250);
  expect(check.bad.map(({ row }) => row)).toEqual(Array.from({ length: 100 }, (_, i) => i + 2));
});
