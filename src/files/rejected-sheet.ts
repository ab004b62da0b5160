import type { ContactInput, Flaw } from "../domain/contacts/contact.ts";
import { absentCell, safeCell, toCell } from "./cells.ts";
import { fieldTitle, rejectedColumns, rejectedTitles } from "./result-titles.ts";
import type { Columns } from "./titles.ts";

const why = (line: number, { reason, field, rule }: Flaw): string[] => [
  String(line),
  reason,
  toCell(field === "" ? rule : `${field} ${rule}`),
];

/**
 * The rows of a file that were rejected, as rows of a file of their own: why, then what they had, each value in its
 * column, so that they are mended there and read again. Its columns have the names that are read wherever they stand.
 */
export function createRejectedSheet(given: readonly string[], columns: Columns) {
  const titles = given.map((title) => title.trim());
  const earlier = rejectedColumns(titles);
  const isKept = (_: unknown, at: number): boolean => !earlier.has(at);
  const { phone, name, timezone, fields } = columns;
  const keys = new Map(fields.map(({ at, key }) => [at, key]));

  function titleAt(title: string, at: number): string {
    if (at === phone) return "phone";
    if (at === name) return "name";
    if (at === timezone) return "timezone";
    const key = keys.get(at);
    return key === undefined ? title : fieldTitle(key);
  }

  function cellAt(contact: ContactInput, at: number): string {
    if (at === phone) return toCell(contact.phone);
    if (at === name) return toCell(contact.name);
    if (at === timezone) return toCell(contact.timezone ?? "");
    const key = keys.get(at);
    if (key === undefined) return "";
    // A field may be called as what every object has.
    const value = Object.hasOwn(contact.fields, key) ? contact.fields[key] : undefined;
    return value === undefined ? absentCell : toCell(value);
  }

  return {
    titles: [...rejectedTitles, ...titles.map(titleAt).filter(isKept)],
    rowOf: (line: number, flaw: Flaw, values: readonly string[]): string[] => [
      ...why(line, flaw),
      ...values.map(safeCell).filter(isKept),
    ],
    /** The row of a contact that was read, and rejected for what others are. */
    rowOfContact: (line: number, flaw: Flaw, contact: ContactInput): string[] => [
      ...why(line, flaw),
      ...titles.map((_, at) => cellAt(contact, at)).filter(isKept),
    ],
  };
}

export type RejectedSheet = ReturnType<typeof createRejectedSheet>;
