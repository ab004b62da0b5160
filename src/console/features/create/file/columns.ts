import {
  type ReadAs,
  checkLineEnds,
  columnsOf,
  hasPhoneTitle,
  readAs,
  readPhoneColumn,
} from "../../../../files/titles.ts";
import { fromCell, toCell } from "../../../../files/cells.ts";
import { isExport } from "../../../../files/result-titles.ts";
import { emptyFile, fileWithoutRows } from "../../../../files/bad-file.ts";

/** A row of a file, of its titles or of a contact, and where it is: its line, or its row of a sheet. */
export type FileRow = { readonly line: number; readonly values: readonly string[] };

/** A file as rows and columns. */
export type Table = {
  readonly hasTitles: boolean;
  readonly titles: readonly string[];
  /** Without that of the titles. */
  readonly rowCount: number;
  /** What each column is read as until somebody chooses otherwise. */
  readonly columns: readonly ReadAs[];
  /** The first values of each column; none of one that is empty. */
  readonly samples: readonly (readonly string[])[];
};

const sampleRows = 100;
const shownSamples = 3;
const shownLength = 40;

const phoneLike = /^\+?[\d\s()./-]{7,24}$/;
const dateLike = /^\d{1,4}([./-])\d{1,2}\1\d{1,4}(?:\s|$)/;
const isPhoneLike = (text: string): boolean => phoneLike.test(text.trim()) && !dateLike.test(text.trim());

/** Part of what columns of phone numbers are called. */
const phoneWord = /phone|mobil|mobile|cell|telef|handy|celular|rufnummer|msisdn|(?<!\p{L})tel(?!\p{L})/iu;

const mostAbove = 10;
const filledIn = ({ values }: FileRow): number => values.filter((value) => value.trim() !== "").length;

/**
 * How many rows stand above the titles, such as a heading of the sheet: those before the first one with a title of a
 * phone, if none of them has more than one value.
 */
export function rowsAbove(all: readonly FileRow[]): number {
  const at = all
    .slice(0, mostAbove + 1)
    .findIndex((row) => filledIn(row) > 1 && (hasPhoneTitle(row.values) || row.values.some(isPhoneTitle)));
  return at > 0 && all.slice(0, at).every((row) => filledIn(row) <= 1) ? at : 0;
}

/** True unless the first row has no title of a phone and something that looks like one. */
export const hasTitleRow = ([first]: readonly FileRow[]): boolean =>
  first === undefined || hasPhoneTitle(first.values) || !first.values.some(isPhoneLike);

const isPhoneTitle = (text: string): boolean => phoneWord.test(text) && !isPhoneLike(text);

export const columnName = (at: number): string => `column ${at + 1}`;

const only = ([one, ...others]: readonly number[]) => (others.length === 0 ? one : undefined);

/**
 * The only column whose title speaks of phones, or else the only one that is mostly of what looks like them. A wrong
 * one would have strangers called: of several none is taken.
 */
function likeliestPhone(
  titles: readonly string[],
  rows: readonly FileRow[],
  width: number,
): number | undefined {
  const columns = Array.from({ length: width }, (_, at) => at);
  const some = rows.slice(0, sampleRows);
  const phonesIn = (at: number) => some.filter(({ values }) => isPhoneLike(values[at] ?? "")).length;
  const named = columns.filter((at) => phoneWord.test(titles[at] ?? "") && phonesIn(at) > 0);
  if (named.length > 0) return only(named);
  return only(columns.filter((at) => phonesIn(at) * 2 > some.length));
}

/** As the service finds it; where no title says so, by what is likely; where two do, it is for somebody to choose. */
function phoneColumn(titles: readonly string[], rows: readonly FileRow[], width: number): number | undefined {
  if (!hasPhoneTitle(titles)) return likeliestPhone(titles, rows, width);
  try {
    return readPhoneColumn(titles);
  } catch {
    return undefined;
  }
}

function samplesOf(rows: readonly FileRow[], width: number): string[][] {
  const samples = Array.from({ length: width }, () => new Set<string>());
  const open = new Set(samples.keys());
  for (const { values } of rows) {
    for (const at of open) {
      const value = (values[at] ?? "").trim();
      const found = samples[at];
      if (value === "" || found === undefined) continue;
      found.add(value.length > shownLength ? `${value.slice(0, shownLength)}…` : value);
      if (found.size === shownSamples) open.delete(at);
    }
  }
  return samples.map((found) => [...found]);
}

/** Lays a file out by its first row, or without; `hidden` are columns that nobody sees, which are left out. */
export function layOut(
  all: readonly FileRow[],
  { hasTitles, hidden }: { hasTitles: boolean; hidden?: ReadonlySet<number> },
): { table: Table; rows: readonly FileRow[] } {
  const [first] = all;
  if (first === undefined) throw emptyFile();
  const rows = hasTitles ? all.slice(1) : all;
  if (hasTitles || rows.length === 1) checkLineEnds(first.values);
  if (rows.length === 0) throw fileWithoutRows();
  const width = all.reduce((widest, { values }) => Math.max(widest, values.length), 0);
  const titles = hasTitles ? first.values.map((title) => title.trim()) : [];
  const named = hasTitles ? titles : first.values.map((_, at) => columnName(at));
  const phone = phoneColumn(titles, rows, width);
  const padded = Array.from({ length: width }, (_, at) => named[at] ?? "");
  const columns = readAs(padded, phone).map(({ role, key }, at): ReadAs => {
    return { role: role === "field" && hidden?.has(at) === true ? "none" : role, key };
  });
  const samples = samplesOf(rows, width);
  return { table: { hasTitles, titles, rowCount: rows.length, columns, samples }, rows };
}

/** Rows whose name is in several columns, such as the first and the last name, with all of it in the first of them. */
export function joinNames(rows: readonly FileRow[], columns: readonly ReadAs[]) {
  const [first, ...others] = columns.flatMap(({ role }, at) => (role === "name" ? [at] : []));
  if (first === undefined || others.length === 0) return { rows, columns };
  const nameOf = (values: readonly string[]): string =>
    [first, ...others]
      .map((at) => (fromCell(values[at] ?? "") ?? "").trim())
      .filter((part) => part !== "")
      .join(" ");
  return {
    rows: rows.map(({ line, values }): FileRow => {
      return { line, values: first < values.length ? values.with(first, toCell(nameOf(values))) : values };
    }),
    columns: columns.map(({ role, key }, at): ReadAs => ({ role: others.includes(at) ? "none" : role, key })),
  };
}

/** Where the file has what, as was chosen; throws what is wrong with that. */
export const chosenColumns = ({ titles }: Table, columns: readonly ReadAs[]) =>
  columnsOf(columns, { isExport: isExport(titles) });
