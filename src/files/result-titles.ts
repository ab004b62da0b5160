import { toCell } from "./cells.ts";

/** The columns of an export that tell what has become of a contact, after those that tell who it is. */
export const resultTitles = [
  "status",
  "attempts",
  "last_outcome",
  "error_code",
  "failure_reason",
  "call_duration_seconds",
  "last_attempt_at",
] as const;

/** The columns of each attempt, where an export has them. */
export const attemptTitles = [
  "started_at",
  "ended_at",
  "outcome",
  "error_code",
  "failure_reason",
  "call_duration_seconds",
  "provider_call_id",
  "worker_id",
] as const;

export const attemptTitle = (attempt: number, title: (typeof attemptTitles)[number]): string =>
  `attempt_${attempt}_${title}`;

/** The first columns of a file of rejected rows: where each of them was, and why it was rejected. */
export const rejectedTitles = ["rejected_line", "rejected_reason", "rejected_rule"] as const;

const results: ReadonlySet<string> = new Set(resultTitles);
const ofAttempt = new RegExp(`^attempt_\\d+_(?:${attemptTitles.join("|")})$`);
const isResult = (title: string): boolean => results.has(title) || ofAttempt.test(title);

/** In no other file are these beside each other. */
const marks = resultTitles.slice(0, 3);

/** Whether these are the titles of an export, perhaps with columns taken out or put in. */
export const isExport = (titles: readonly string[]): boolean =>
  titles.some((_, at) => marks.every((mark, i) => titles[at + i] === mark));

const rejected: ReadonlySet<string> = new Set(rejectedTitles);

/** The places of the columns that tell why rows were rejected; only a file of those has all of them. */
export const rejectedColumns = (titles: readonly string[]): ReadonlySet<number> =>
  new Set(
    rejectedTitles.every((title) => titles.includes(title))
      ? titles.flatMap((title, at) => (rejected.has(title) ? [at] : []))
      : [],
  );

/** The places of the columns that are not about who the contacts are; only files that were written here have any. */
export function resultColumns(titles: readonly string[]): ReadonlySet<number> {
  const reasons = rejectedColumns(titles);
  const hasResults = isExport(titles);
  return new Set(
    titles.flatMap((title, at) => (reasons.has(at) || (hasResults && isResult(title)) ? [at] : [])),
  );
}

const written = /^fields\[(".*")\]$/s;

/** A phone number behind something else; where titles have one they have lost their line ends. */
export const hasPhoneWithin = (title: string): boolean => /.\+[1-9]\d{6}/s.test(title);

/** The title of a field's column: its name, or, where that would be read as something else, `fields["NAME"]`. */
export function fieldTitle(name: string): string {
  const isPlain =
    name === name.trim() &&
    toCell(name) === name &&
    !["phone", "name", "timezone"].includes(name.toLowerCase()) &&
    !isResult(name) &&
    !rejected.has(name) &&
    !hasPhoneWithin(name) &&
    !written.test(name);
  // A spreadsheet may begin a cell at a semicolon.
  return isPlain ? name : `fields[${JSON.stringify(name).replaceAll(";", String.raw`\u003b`)}]`;
}

/** The name of the field whose column has this title, if the title says that it is one. */
export function writtenField(title: string): string | undefined {
  const [, json] = written.exec(title) ?? [];
  if (json === undefined) return undefined;
  try {
    const name: unknown = JSON.parse(json);
    return typeof name === "string" ? name : undefined;
  } catch {
    return undefined;
  }
}
