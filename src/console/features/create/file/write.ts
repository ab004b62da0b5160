import type { ContactInput, Flaw } from "../../../../domain/contacts/contact.ts";
import { absentCell, safeCell, toCell } from "../../../../files/cells.ts";
import { writeCsv } from "../../../../files/csv-writer.ts";
import { fieldTitle, rejectedTitles } from "../../../../files/result-titles.ts";
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

/** A row that was rejected, with what is wrong with it in words. */
export type RejectedRow = { readonly row: FileRow; readonly flaw: Flaw };

/**
 * Writes rejected rows as they are in their file, to be mended and chosen again: the columns that tell why are left out
 * then.
 */
export function rejectedCsv(titles: readonly string[], rejected: readonly RejectedRow[]): string {
  const width = rejected.reduce((widest, { row }) => Math.max(widest, row.values.length), titles.length);
  const own = new Set<string>(rejectedTitles);
  const kept = Array.from({ length: width }, (_, at) => at).filter((at) => !own.has(titles[at] ?? ""));
  return writeCsv([
    [...rejectedTitles, ...kept.map((at) => titles[at] ?? "")],
    ...rejected.map(({ row, flaw }) => [
      String(row.line),
      flaw.reason,
      toCell(`${flaw.field || "the row"} ${flaw.rule}`),
      ...kept.map((at) => safeCell(row.values[at] ?? "")),
    ]),
  ]);
}
