import { isFieldKey, largestFieldCount, shownPhone } from "../domain/contacts/contact.ts";
import type { BatchJobError } from "../domain/batch-job-error.ts";
import { badFile } from "./bad-file.ts";
import { hasPhoneWithin, isExport, resultColumns, writtenField } from "./result-titles.ts";

/** Where a file has what. */
export type Columns = {
  /** Up to the last one that has a title; a row has a value for each of them. */
  readonly count: number;
  readonly phone: number;
  readonly name: number | undefined;
  readonly timezone: number | undefined;
  /** The other columns with a title, which become fields; of a contact at most as many as it may have. */
  readonly fields: readonly { readonly at: number; readonly key: string }[];
  /** Those without, which may hold nothing. */
  readonly untitled: readonly number[];
};

/** What a column is read as: a field under its key, left out (`none`), or, without a title, as what must be empty. */
export type Role = "phone" | "name" | "timezone" | "field" | "none" | "empty";

export type ReadAs = { readonly role: Role; readonly key: string };

/** What the column of phone numbers is called where it is not called phone, without what is no letter or digit. */
const phoneTitles = new Set(
  [
    "phonenumber phoneno phonenr telephone telephonenumber tel telno telnr",
    "mobile mobilenumber mobileno mobilephone mobilephonenumber cell cellnumber cellphone cellphonenumber",
    "msisdn e164 telefon telefonnummer telefonnr rufnummer handy handynummer mobil mobilnummer mobiltelefon",
    "téléphone numérodetéléphone teléfono telefono celular móvil movil telefone telemóvel cellulare",
    "telefoon telefoonnummer",
  ].flatMap((words) => words.split(" ")),
);

const bare = (title: string): string =>
  title
    .toLowerCase()
    .normalize("NFC")
    .replace(/[^\p{L}\p{N}]/gu, "");

/** The columns that are called as was said, or phone, or else those that have one of its usual names. */
function phoneColumns(titles: readonly string[], called: string): readonly number[] {
  const at = (is: (title: string) => boolean) => titles.flatMap((title, i) => (is(title.trim()) ? [i] : []));
  if (called !== "") return at((title) => title.toLowerCase() === called.trim().toLowerCase());
  const named = at((title) => title.toLowerCase() === "phone");
  return named.length > 0 ? named : at((title) => phoneTitles.has(bare(title)));
}

export const hasPhoneTitle = (titles: readonly string[], called = ""): boolean =>
  phoneColumns(titles, called).length > 0;

const quoted = (titles: readonly string[]): string =>
  titles.map((title) => `“${shownPhone(title)}”`).join(", ");
const shownTitles = 5;
/** So many of the titles go with a refusal. */
const shownColumns = 50;

/** Refuses titles that have phone numbers behind them. */
export function checkLineEnds(titles: readonly string[]): void {
  if (titles.some((title) => hasPhoneWithin(title) && writtenField(title) === undefined)) {
    throw badFile(
      "The file's first line has phone numbers within its titles: its line ends were lost. Send the file as it is (curl: --data-binary @FILE).",
    );
  }
}

/** The place of the column of phone numbers, which has this title, where one is given. */
export function readPhoneColumn(titles: readonly string[], called = ""): number {
  checkLineEnds(titles);
  const [phone, secondPhone] = phoneColumns(titles, called);
  if (phone === undefined) {
    const more = titles.length > shownTitles ? ", …" : "";
    const wanted = called === "" ? "phone" : `${quoted([called])}, as phone_column says`;
    throw badFile(
      `The file's first line must name its columns, and one of them must be ${wanted}; it has ${quoted(titles.slice(0, shownTitles))}${more}.`,
      { columns: titles.slice(0, shownColumns).map(shownPhone).join(",") },
    );
  }
  if (secondPhone === undefined) return phone;
  if (titles[phone]?.toLowerCase() === titles[secondPhone]?.toLowerCase())
    throw sameTitle(titles[secondPhone]);
  throw badFile(
    `The columns ${quoted([titles[phone] ?? "", titles[secondPhone] ?? ""])} may both hold the phone number; name one of them phone, or say which it is (phone_column).`,
  );
}

export const sameTitle = (title = ""): BatchJobError =>
  badFile(`Two columns of the file are named ${quoted([title])}; give each its own name.`);

/**
 * What columns with these titles, without spaces around them, are read as. Those of an export that tell what became of
 * its contacts are left out.
 */
export function readAs(titles: readonly string[], phone: number | undefined): ReadAs[] {
  const results = resultColumns(titles);
  const roleOf = (title: string, at: number): Role => {
    if (at === phone) return "phone";
    if (title === "") return "empty";
    const name = title.toLowerCase();
    if (name === "name" || name === "timezone") return name;
    return results.has(at) ? "none" : "field";
  };
  return titles.map((title, at) => ({ role: roleOf(title, at), key: writtenField(title) ?? title }));
}

/** Where a file has what whose columns are read so; refuses what no contact could have. */
export function columnsOf(columns: readonly ReadAs[], options: { readonly isExport: boolean }): Columns {
  const having = (role: Role) => columns.flatMap((each, at) => (each.role === role ? [at] : []));
  const [phone] = having("phone");
  const [name, secondName] = having("name");
  const [timezone, secondZone] = having("timezone");
  const fields = having("field").map((at) => ({ at, key: columns[at]?.key ?? "" }));
  if (phone === undefined) {
    const keys = columns.flatMap(({ key }) => (key === "" ? [] : [key])).slice(0, shownTitles);
    throw badFile(
      `The file's columns do not say which of them holds the phone numbers; it has ${quoted(keys)}. Choose one.`,
    );
  }
  const seen = new Set<string>();
  const again = secondName ?? secondZone ?? fields.find(({ key }) => seen.size === seen.add(key).size)?.at;
  if (again !== undefined) throw sameTitle(columns[again]?.key);
  const wrong = fields.find(({ key }) => !isFieldKey(key));
  if (wrong !== undefined) {
    throw badFile(
      `The title of column ${wrong.at + 1}, ${quoted([wrong.key])}, must have 1 to 64 characters, none of them a control character; shorten it.`,
    );
  }
  // The contacts of an export may have other fields each.
  if (fields.length > largestFieldCount && !options.isExport) {
    throw badFile(
      `The file has ${fields.length} columns beside phone and name; at most ${largestFieldCount} become fields.`,
    );
  }
  const count = columns.findLastIndex(({ role }) => role !== "empty") + 1;
  return { count, phone, name, timezone, fields, untitled: having("empty").filter((at) => at < count) };
}

/** Reads the record that names the columns; `called` is the title of that of phones, if somebody has named it. */
export function readTitles(given: readonly string[], called = ""): Columns {
  const titles = given.map((title) => title.trim());
  return columnsOf(readAs(titles, readPhoneColumn(titles, called)), { isExport: isExport(titles) });
}
