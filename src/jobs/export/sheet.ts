import type { ContactInput, ContactStatus } from "../../domain/contacts/contact.ts";
import { absentCell, toCell } from "../../files/cells.ts";
import { attemptTitle, attemptTitles, fieldTitle, resultTitles } from "../../files/result-titles.ts";
import type { EndedAttempt, LiveAttempt } from "../../postgres/contacts/exports.ts";

/** What is to be shown of a contact. */
export type SheetRow = {
  readonly contact: ContactInput;
  readonly status: ContactStatus;
  /** In order; all, or the last. */
  readonly ended: readonly EndedAttempt[];
  readonly live: LiveAttempt | undefined;
};

const time = (ms: number): string => new Date(ms).toISOString();
const seconds = (ms: number | undefined): string => (ms === undefined ? "" : String(ms / 1000));

/** What is the same for an attempt and for a contact whose last it is. */
const resultOf = ({ outcome, errorCode, failureReason, callDurationMs }: EndedAttempt): string[] => [
  outcome,
  toCell(errorCode),
  toCell(failureReason),
  seconds(callDurationMs),
];

const noResult = ["", "", "", ""];

function resultCells({ status, ended, live }: SheetRow): string[] {
  const lastEnded = ended.at(-1);
  const last = live ?? lastEnded;
  return [
    status,
    String(last?.attempt ?? 0),
    ...(lastEnded === undefined ? noResult : resultOf(lastEnded)),
    last === undefined ? "" : time(last.startedAtMs),
  ];
}

const endedCells = (attempt: EndedAttempt): string[] => [
  time(attempt.startedAtMs),
  time(attempt.endedMs),
  ...resultOf(attempt),
  toCell(attempt.providerCallId),
  toCell(attempt.workerId),
];

const liveCells = ({ startedAtMs, workerId }: LiveAttempt): string[] => [
  time(startedAtMs),
  "",
  ...noResult,
  "",
  toCell(workerId),
];

type Columns = {
  readonly fields: readonly string[];
  readonly attempts: number;
  /** Contacts have time zones of their own. */
  readonly hasTimeZones?: boolean;
};

/** The rows of a file with a column for each of these fields, and columns for so many attempts. */
export function createSheet({ fields, attempts, hasTimeZones = false }: Columns) {
  const ofAttempts = Array.from({ length: attempts }, (_, i) => i + 1);
  const noCells = attemptTitles.map(() => "");

  function attemptCells({ ended, live }: SheetRow): string[] {
    const cells = new Map(ended.map((attempt) => [attempt.attempt, endedCells(attempt)]));
    if (live !== undefined) cells.set(live.attempt, liveCells(live));
    return ofAttempts.flatMap((attempt) => cells.get(attempt) ?? noCells);
  }

  return {
    titles: [
      "phone",
      "name",
      ...(hasTimeZones ? ["timezone"] : []),
      ...fields.map(fieldTitle),
      ...resultTitles,
      ...ofAttempts.flatMap((attempt) => attemptTitles.map((title) => attemptTitle(attempt, title))),
    ],
    cellsOf(row: SheetRow): string[] {
      const { contact } = row;
      const cells = [toCell(contact.phone), toCell(contact.name)];
      if (hasTimeZones) cells.push(toCell(contact.timezone ?? ""));
      for (const field of fields) {
        // A field may be called as what every object has.
        const value = Object.hasOwn(contact.fields, field) ? contact.fields[field] : undefined;
        cells.push(value === undefined ? absentCell : toCell(value));
      }
      cells.push(...resultCells(row));
      if (attempts > 0) cells.push(...attemptCells(row));
      return cells;
    },
  };
}

export type Sheet = ReturnType<typeof createSheet>;
