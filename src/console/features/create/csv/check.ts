import { type ContactInput, type Flaw, duplicatePhone, shownPhone } from "../../../../domain/contact.ts";
import { emptyFile, fileWithoutRows } from "../../../../files/bad-file.ts";
import { createRowReader } from "../../../../files/contact-rows.ts";
import type { CsvRecord } from "../../../../files/csv.ts";
import { phoneReader } from "../../../../files/phones.ts";
import { type ChosenColumns, hasPhoneTitle, readTitles } from "../../../../files/titles.ts";

/** Which columns hold the phone number and the name; every other column with a title becomes a field. */
export type Columns = ChosenColumns;

/** As what phones are read that are not E.164; empty for no region. */
export type Region = string;

/** A row that will not be sent, by the line of the file on which it begins. */
export type BadRow = Flaw & { readonly line: number; readonly phone: string };

export type Check = {
  readonly accepted: number;
  readonly counts: Readonly<Record<Flaw["reason"], number>>;
  /** The first bad rows. */
  readonly bad: readonly BadRow[];
};

const mostBadRows = 100;
const sampleRows = 100;

const phoneLike = /^\+?[\d\s().-]{7,20}$/;

/**
 * The columns as the service finds them, or else, where no title is one of a phone, the one with the most that looks
 * like phone numbers, for somebody to see and to change. Throws what the service says of titles that it refuses.
 */
export function findColumns(titles: readonly string[], sample: readonly (readonly string[])[]): Columns {
  const hasNone = !hasPhoneTitle(titles) && !titles.some((title) => phoneLike.test(title.trim()));
  const likeness = titles.map((_, i) => sample.filter((row) => phoneLike.test((row[i] ?? "").trim())).length);
  const most = Math.max(...likeness);
  if (!hasNone || most === 0) return readTitles(titles);
  const name = titles.findIndex((title) => title.trim().toLowerCase() === "name");
  return { phone: likeness.indexOf(most), name: name === -1 ? undefined : name };
}

/** The titles of a file, the rows below them, and the columns; refuses a file without one of these, as the service. */
export function readTable(all: readonly CsvRecord[]) {
  const [first, ...records] = all;
  if (first === undefined) throw emptyFile();
  const titles = first.values;
  const sample = records.slice(0, sampleRows).map(({ values }) => values);
  const { phone, name } = findColumns(titles, sample);
  if (records.length === 0) throw fileWithoutRows();
  return { titles, records, columns: { phone, name } };
}

/**
 * Judges rows by the service's own reader, and answers the contacts that are to be sent, with the names of their
 * fields; `take` makes one of them.
 */
export function checkRows(
  records: readonly CsvRecord[],
  titles: readonly string[],
  { columns, region }: { columns: Columns; region: Region },
): { check: Check; accepted: number[]; keys: readonly string[]; take: (place: number) => ContactInput } {
  const read = readTitles(titles, "", columns);
  const rows = createRowReader(read, phoneReader(region));
  const accepted: number[] = [];
  const bad: BadRow[] = [];
  const counts = {
    invalid_phone_format: 0,
    duplicate_phone: 0,
    invalid_fields: 0,
    extension_not_supported: 0,
    invalid_timezone: 0,
  };
  const phones = new Set<string>();
  for (const [place, { line, values }] of records.entries()) {
    const row = rows.read(values);
    const flaw = "rule" in row ? row : phones.has(row.phone) ? duplicatePhone : undefined;
    if (flaw === undefined && "phone" in row) {
      phones.add(row.phone);
      accepted.push(place);
    } else if (flaw !== undefined) {
      counts[flaw.reason] += 1;
      if (bad.length < mostBadRows) bad.push({ ...flaw, line, phone: shownPhone(rows.phoneOf(values)) });
    }
  }
  function take(place: number): ContactInput {
    const row = rows.read(records[place]?.values ?? []);
    if ("rule" in row) throw new Error("a row that was not accepted is not sent");
    return { ...row, fields: JSON.parse(row.fields) };
  }
  const keys = read.fields.map(({ key }) => key);
  return { check: { accepted: accepted.length, counts, bad }, accepted, keys, take };
}
