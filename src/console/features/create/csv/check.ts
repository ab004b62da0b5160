import {
  type ContactInput,
  type RejectionReason,
  plainPhone,
  reasonToReject,
} from "../../../../domain/contact.ts";

/** Which columns hold the phone number and the name; every other column with a title becomes a field. */
export type Columns = { readonly phone: number; readonly name: number | undefined };

/** A row that will not be sent. Rows are numbered as a spreadsheet does: the titles are row 1. */
export type BadRow = { readonly row: number; readonly phone: string; readonly reason: RejectionReason };

export type Check = {
  readonly accepted: number;
  readonly counts: Readonly<Record<RejectionReason, number>>;
  /** The first bad rows. */
  readonly bad: readonly BadRow[];
};

const mostBadRows = 100;

const phoneLike = /^\+?[\d\s().-]{7,20}$/;
const phoneTitle = /^(phone|phone.?number|number|mobile|cell|tel|telephone|msisdn|e164)$/i;
const nameTitle = /^(name|full.?name|contact|contact.?name)$/i;

/** Whether the first row holds titles: nothing in it looks like a phone number. */
export const hasTitles = (first: readonly string[]): boolean =>
  !first.some((cell) => phoneLike.test(cell.trim()));

/** The columns by their titles, or else the one with the most that looks like phone numbers. */
export function guessColumns(titles: readonly string[], sample: readonly (readonly string[])[]): Columns {
  const named = titles.findIndex((title) => phoneTitle.test(title.trim()));
  const likeness = titles.map((_, i) => sample.filter((row) => phoneLike.test((row[i] ?? "").trim())).length);
  const phone = named === -1 ? likeness.indexOf(Math.max(...likeness)) : named;
  const name = titles.findIndex((title, i) => i !== phone && nameTitle.test(title.trim()));
  return { phone, name: name === -1 ? undefined : name };
}

/** The contact that a row stands for. Cells are trimmed; empty ones make no field. */
export function toContact(row: readonly string[], titles: readonly string[], columns: Columns): ContactInput {
  const cell = (i: number | undefined) => (i === undefined ? "" : (row[i] ?? "").trim());
  // Made of entries: a column may be called __proto__.
  const fields = Object.fromEntries(
    fieldColumns(titles, columns).flatMap(({ at, key }) => (cell(at) === "" ? [] : [[key, cell(at)]])),
  );
  return { phone: plainPhone(cell(columns.phone)), name: cell(columns.name), fields };
}

/** The columns that become fields. */
export const fieldColumns = (titles: readonly string[], columns: Columns): { at: number; key: string }[] =>
  titles
    .map((title, at) => ({ at, key: title.trim() }))
    .filter(({ at, key }) => at !== columns.phone && at !== columns.name && key !== "");

/** Judges rows by the service's own rules, and answers the places of those that are to be sent. */
export function checkRows(
  rows: readonly (readonly string[])[],
  titles: readonly string[],
  columns: Columns,
  firstRow: number,
): { check: Check; accepted: number[] } {
  const accepted: number[] = [];
  const bad: BadRow[] = [];
  const counts = { invalid_phone_format: 0, duplicate_phone: 0, invalid_fields: 0 };
  const phones = new Set<string>();
  for (const [i, row] of rows.entries()) {
    const contact = toContact(row, titles, columns);
    const reason = reasonToReject(contact) ?? (phones.has(contact.phone) ? "duplicate_phone" : undefined);
    if (reason === undefined) {
      phones.add(contact.phone);
      accepted.push(i);
    } else {
      counts[reason]++;
      if (bad.length < mostBadRows)
        bad.push({ row: firstRow + i, phone: contact.phone.slice(0, 50), reason });
    }
  }
  return { check: { accepted: accepted.length, counts, bad }, accepted };
}
