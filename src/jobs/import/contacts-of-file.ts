import { BatchJobError } from "../../domain/batch-job-error.ts";
import type { ContactInput, FlawedInput } from "../../domain/contacts/contact.ts";
import { type FileRow, createContactFile, plainFile } from "../../files/contact-file.ts";
import { type Limits, inPieces } from "./pieces.ts";

const tooManyRows = (most: number) =>
  new BatchJobError(
    "invalid_argument",
    `The file has more than ${most} rows; create the job with fewer, and import the rest into it.`,
    { field: "contacts", limit: String(most) },
  );

/** Reads a small file as an import does, with every row that it has: as a contact, or as what is wrong with it. */
export async function contactsOfFile(
  file: AsyncIterable<Uint8Array>,
  { limits, mostRows }: { limits: Limits; mostRows: number },
): Promise<(ContactInput | FlawedInput)[]> {
  const reader = createContactFile(plainFile);
  const contacts: (ContactInput | FlawedInput)[] = [];

  function take(rows: readonly FileRow[]): void {
    if (contacts.length + rows.length > mostRows) throw tooManyRows(mostRows);
    for (const row of rows) {
      if ("flaw" in row) contacts.push(row);
      else contacts.push({ ...row.contact, fields: JSON.parse(row.contact.fields) });
    }
  }

  for await (const piece of inPieces(file, limits)) take(reader.read(piece));
  take(reader.end());
  return contacts;
}
