import {
  type ContactInput,
  type Flaw,
  duplicatePhone,
  shownPhone,
} from "../../../../domain/contacts/contact.ts";
import { createRowReader } from "../../../../files/contact-rows.ts";
import { phoneReader } from "../../../../files/phones.ts";
import type { Columns } from "../../../../files/titles.ts";
import type { FileRow } from "./columns.ts";

/** As what phones are read that are not E.164; empty for no region. */
export type Region = string;

/** A row that will not be sent, by its place in the file. */
export type BadRow = Flaw & { readonly line: number; readonly phone: string };

/** One of the first rows: as a contact, or as what is wrong with it. */
export type FirstRow = { readonly line: number } & (
  { readonly contact: ContactInput } | { readonly bad: BadRow }
);

export type Check = {
  readonly accepted: number;
  readonly counts: Readonly<Record<Flaw["reason"], number>>;
  /** The first bad rows. */
  readonly bad: readonly BadRow[];
  readonly first: readonly FirstRow[];
};

const mostBadRows = 100;
const firstRows = 5;

/**
 * Judges rows by the service's own reader, and answers the places of those that are to be sent, and of those that are
 * not with what is wrong with them; `take` makes a contact of one of the former.
 */
export function checkRows(rows: readonly FileRow[], columns: Columns, region: Region) {
  const reader = createRowReader(columns, phoneReader(region));
  const accepted: number[] = [];
  const rejected: { place: number; flaw: Flaw }[] = [];
  const counts = {
    invalid_phone_format: 0,
    duplicate_phone: 0,
    invalid_fields: 0,
    extension_not_supported: 0,
    invalid_timezone: 0,
    // Only the service knows of them.
    erased_phone: 0,
  };
  const phones = new Set<string>();
  for (const [place, { values }] of rows.entries()) {
    const row = reader.read(values);
    const flaw = "rule" in row ? row : phones.has(row.phone) ? duplicatePhone : undefined;
    if (flaw === undefined && "phone" in row) {
      phones.add(row.phone);
      accepted.push(place);
    } else if (flaw !== undefined) {
      counts[flaw.reason] += 1;
      rejected.push({ place, flaw });
    }
  }

  function take(place: number): ContactInput {
    const row = reader.read(rows[place]?.values ?? []);
    if ("rule" in row) throw new Error("a row that was not accepted is not sent");
    return { ...row, fields: JSON.parse(row.fields) };
  }

  function badRow({ place, flaw }: { place: number; flaw: Flaw }): BadRow {
    const { line, values } = rows[place] ?? { line: 0, values: [] };
    return { ...flaw, line, phone: shownPhone(reader.phoneOf(values)) };
  }

  const early = new Map(rejected.slice(0, firstRows).map((each) => [each.place, each]));
  const first = rows.slice(0, firstRows).map(({ line }, place): FirstRow => {
    const flawed = early.get(place);
    return flawed === undefined ? { line, contact: take(place) } : { line, bad: badRow(flawed) };
  });
  const bad = rejected.slice(0, mostBadRows).map(badRow);
  const check: Check = { accepted: accepted.length, counts, bad, first };
  return { check, accepted, rejected, phones: [...phones], take };
}
