import { type Flaw, plainPhone } from "../domain/contacts/contact.ts";
import {
  type SuppressedPhoneInput,
  badExpiry,
  judgeSuppressed,
} from "../domain/contacts/suppressed-phone.ts";
import { fromCell } from "../files/cells.ts";
import { readPhoneColumn, sameTitle } from "../files/titles.ts";

const instant = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/i;

const noInstant: Flaw = {
  ...badExpiry,
  rule: "must be a time in the future with its offset, such as 2027-01-31T00:00:00Z, or be left empty",
};

/** Undefined for a cell without one; not a number for one that is none. */
const readInstant = (cell: string): number | undefined =>
  cell === "" ? undefined : instant.test(cell) ? Date.parse(cell.replace(" ", "T")) : NaN;

const cellAt = (values: readonly string[], at: number | undefined): string =>
  at === undefined ? "" : (fromCell(values[at] ?? "") ?? "");

/** Reads the rows of a file of phones by the record that names its columns; what is in other columns is left out. */
export function createPhoneRows(given: readonly string[], otherReason: string) {
  const titles = given.map((title) => title.trim());
  const phoneAt = readPhoneColumn(titles);
  const placeOf = (name: string): number | undefined => {
    const [at, again] = titles.flatMap((title, i) => (title.toLowerCase() === name ? [i] : []));
    if (again !== undefined) throw sameTitle(titles[again]);
    return at;
  };
  const reasonAt = placeOf("reason");
  const expiryAt = placeOf("expires_at");
  return {
    phoneOf: (values: readonly string[]): string => plainPhone(values[phoneAt] ?? ""),
    read(values: readonly string[], nowMs: number): SuppressedPhoneInput | Flaw {
      const expiresMs = readInstant(cellAt(values, expiryAt));
      if (Number.isNaN(expiresMs)) return noInstant;
      const reason = cellAt(values, reasonAt) || otherReason;
      return judgeSuppressed({ phone: cellAt(values, phoneAt), reason, expiresMs }, nowMs);
    },
  };
}
