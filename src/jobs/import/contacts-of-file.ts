import { BatchJobError } from "../../domain/batch-job-error.ts";
import type { ContactInput, FlawedInput } from "../../domain/contact.ts";
import { emptyFile, fileWithoutRows } from "../../files/bad-file.ts";
import { createCsvReader } from "../../files/csv.ts";
import { readTitles } from "../../files/titles.ts";
import { readContact } from "../../postgres/contact-blocks.ts";
import { createRowReader } from "./contact-rows.ts";
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
  const csv = createCsvReader();
  const contacts: (ContactInput | FlawedInput)[] = [];
  let rows: ReturnType<typeof createRowReader> | undefined;

  function take(records: ReturnType<typeof csv.read>): void {
    for (const { values } of records) {
      if (rows === undefined) {
        rows = createRowReader(readTitles(values));
        continue;
      }
      if (contacts.length === mostRows) throw tooManyRows(mostRows);
      const row = rows.read(values);
      contacts.push("rule" in row ? { phone: rows.phoneOf(values), flaw: row } : readContact(row.line));
    }
  }

  for await (const piece of inPieces(file, limits)) take(csv.read(piece));
  take(csv.end());
  if (rows === undefined) throw emptyFile();
  if (contacts.length === 0) throw fileWithoutRows();
  return contacts;
}
