import { absentCell, toCell } from "../../../../files/cells.ts";
import { writeCsv } from "../../../../files/csv-writer.ts";
import { fieldTitle } from "../../../../files/result-titles.ts";
import { type Columns, fieldColumns, toContact } from "./check.ts";

/** The line that names the columns of a file as the service reads it. */
export const titlesCsv = (titles: readonly string[], columns: Columns): string =>
  writeCsv([["phone", "name", ...fieldColumns(titles, columns).map(({ key }) => fieldTitle(key))]]);

/** Rows as contacts of that file: what the service reads of it is what they were taken for here. */
export function contactsCsv(
  rows: readonly (readonly string[])[],
  titles: readonly string[],
  columns: Columns,
): string {
  const keys = fieldColumns(titles, columns).map(({ key }) => key);
  const cells = rows.map((row) => {
    const { phone, name, fields } = toContact(row, titles, columns);
    const values = keys.map((key) => (Object.hasOwn(fields, key) ? toCell(fields[key] ?? "") : absentCell));
    return [phone, toCell(name), ...values];
  });
  return writeCsv(cells);
}
