import { isFieldKey, largestFieldCount, shownPhone } from "../domain/contact.ts";
import type { BatchJobError } from "../domain/batch-job-error.ts";
import { badFile } from "./bad-file.ts";
import { hasPhoneWithin, isExport, rejectedColumns, resultColumns, writtenField } from "./result-titles.ts";

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

/** Which columns hold the phone and the name, where somebody has said so. */
export type ChosenColumns = Pick<Columns, "phone" | "name">;

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

/** The place of the column of phone numbers, which has this title, where one is given. */
export function readPhoneColumn(titles: readonly string[], called = ""): number {
  if (titles.some((title) => hasPhoneWithin(title) && writtenField(title) === undefined)) {
    throw badFile(
      "The file's first line has phone numbers within its titles: its line ends were lost. Send the file as it is (curl: --data-binary @FILE).",
    );
  }
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
 * Reads the record that names the columns. Those of an export that tell what became of its contacts are no fields, nor
 * are those that tell why rows were rejected.
 * `called` is the title of the column of phones, if somebody has named it, and `chosen` which columns were picked.
 */
export function readTitles(given: readonly string[], called = "", chosen?: ChosenColumns): Columns {
  const titles = given.map((title) => title.trim());
  const phone = chosen?.phone ?? readPhoneColumn(titles, called);
  const isName = (title: string, at: number) =>
    chosen === undefined ? title.toLowerCase() === "name" && at !== phone : at === chosen.name;
  const names = titles.flatMap((title, at) => (isName(title, at) ? [at] : []));
  const [name, secondName] = names;
  const zones = titles.flatMap((title, at) => (title.toLowerCase() === "timezone" ? [at] : []));
  const [timezone, secondZone] = zones;
  const results = new Set([...resultColumns(titles), ...rejectedColumns(titles)]);
  const others = titles.flatMap((title, at) =>
    at === phone || at === name || at === timezone || title === "" || results.has(at)
      ? []
      : [{ at, key: writtenField(title) ?? title }],
  );
  const seen = new Set<string>();
  const again = secondName ?? secondZone ?? others.find(({ key }) => seen.size === seen.add(key).size)?.at;
  if (again !== undefined) throw sameTitle(titles[again]);
  const wrong = others.find(({ key }) => !isFieldKey(key));
  if (wrong !== undefined) {
    throw badFile(
      `The title of column ${wrong.at + 1}, ${quoted([wrong.key])}, must have 1 to 64 characters, none of them a control character; shorten it.`,
    );
  }
  // The contacts of an export may have other fields each.
  if (others.length > largestFieldCount && !isExport(titles)) {
    throw badFile(
      `The file has ${others.length} columns beside phone and name; at most ${largestFieldCount} become fields.`,
    );
  }
  return {
    count: titles.findLastIndex((title) => title !== "") + 1,
    phone,
    name,
    timezone,
    fields: others,
    untitled: titles.flatMap((title, at) => (title === "" ? [at] : [])),
  };
}
