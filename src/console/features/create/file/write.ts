import type { ContactInput, Flaw } from "../../../../domain/contacts/contact.ts";
import { absentCell, toCell } from "../../../../files/cells.ts";
import { writeCsv } from "../../../../files/csv-writer.ts";
import { createRejectedSheet } from "../../../../files/rejected-sheet.ts";
import { fieldTitle } from "../../../../files/result-titles.ts";
import type { Columns } from "../../../../files/titles.ts";
import type { FileRow } from "./columns.ts";

/** Writes contacts as a file with these columns: what the service reads of it is what they are here. */
export function contactWriter({ fields, timezone }: Pick<Columns, "fields" | "timezone">) {
  const keys = fields.map(({ key }) => key);
  const zones = timezone === undefined ? [] : ["timezone"];
  return {
    titles: () => writeCsv([["phone", "name", ...zones, ...keys.map(fieldTitle)]]),
    rows: (contacts: readonly ContactInput[]) =>
      writeCsv(
        contacts.map((contact) => [
          contact.phone,
          toCell(contact.name),
          ...zones.map(() => contact.timezone ?? ""),
          ...keys.map((key) =>
            Object.hasOwn(contact.fields, key) ? toCell(contact.fields[key] ?? "") : absentCell,
          ),
        ]),
      ),
  };
}

/** Writes rows that are rejected as the service does, to be mended and chosen again. */
export function rejectedCsv(
  titles: readonly string[],
  columns: Columns,
  rejected: readonly { readonly row: FileRow; readonly flaw: Flaw }[],
): string {
  const sheet = createRejectedSheet(titles, columns);
  return writeCsv([
    sheet.titles,
    ...rejected.map(({ row, flaw }) => sheet.rowOf(row.line, flaw, row.values)),
  ]);
}
