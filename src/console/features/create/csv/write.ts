import type { ContactInput } from "../../../../domain/contact.ts";
import { absentCell, toCell } from "../../../../files/cells.ts";
import { writeCsv } from "../../../../files/csv-writer.ts";
import { fieldTitle } from "../../../../files/result-titles.ts";

/** The line that names the columns of a file as the service reads it. */
export const titlesCsv = (keys: readonly string[]): string =>
  writeCsv([["phone", "name", ...keys.map(fieldTitle)]]);

/** Contacts as rows of that file: what the service reads of them is what they are here. */
export const contactsCsv = (contacts: readonly ContactInput[], keys: readonly string[]): string =>
  writeCsv(
    contacts.map(({ phone, name, fields }) => [
      phone,
      toCell(name),
      ...keys.map((key) => (Object.hasOwn(fields, key) ? toCell(fields[key] ?? "") : absentCell)),
    ]),
  );
