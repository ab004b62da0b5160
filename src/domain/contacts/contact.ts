import { findTimeZone } from "../time/time-zone.ts";

/** How an attempt may end. A contact's final status is the word of its last outcome. */
export const outcomes = [
  "completed",
  "no_answer",
  "busy",
  "timeout",
  "voicemail",
  "blocked",
  "invalid_number",
  "carrier_error",
  "failed",
  "unknown",
] as const;

export type Outcome = (typeof outcomes)[number];

/** What a worker may tell of a lease: how its attempt ended, or that no call was placed and there is no attempt. */
export type ReportedOutcome = Outcome | "not_dialed";

/** How a contact ends: after an attempt, or without one, because its phone is suppressed. */
export const finalContactStatuses = [...outcomes, "suppressed"] as const;

export type FinalContactStatus = (typeof finalContactStatuses)[number];

/** What a contact is, and what is counted. `cancelled` and `expired` are not among them: they follow from the job. */
export const storedContactStatuses = [
  "pending",
  "dialing",
  "waiting_retry",
  ...finalContactStatuses,
] as const;

export type StoredContactStatus = (typeof storedContactStatuses)[number];
/** What a contact is that was called and is not being called now. */
export type RestingContactStatus = "waiting_retry" | FinalContactStatus;
export type ContactStatus = StoredContactStatus | "cancelled" | "expired";

/** The statuses that a job which has ended turns into `cancelled` or `expired`. */
export const openContactStatuses = ["pending", "waiting_retry"] as const satisfies StoredContactStatus[];

export type ContactInput = {
  phone: string;
  name: string;
  fields: Record<string, string>;
  /** Its own; empty or not there for none. */
  timezone?: string;
};

/** A contact as it is stored. While it is leased it is dialing, in its next attempt. */
export type StoredContact = ContactInput & {
  jobId: string;
  number: number;
  status: StoredContactStatus;
  attempts: number;
  lastOutcome: Outcome | null;
  /** When its delay is over, or its hours open after that; null unless it waits for a retry, or if they never do. */
  nextAttemptAt: Date | null;
};

export const rejectionReasons = [
  "invalid_phone_format",
  "duplicate_phone",
  "invalid_fields",
  "extension_not_supported",
  "invalid_timezone",
  "erased_phone",
] as const;

export type RejectionReason = (typeof rejectionReasons)[number];

/** What is wrong with a contact: where, and which rule it breaks, in words for people. */
export type Flaw = {
  reason: RejectionReason;
  /** `phone`, `name`, `fields`, `fields["KEY"]`, `timezone`, or nothing for a row of a file as a whole. */
  field: string;
  rule: string;
};

/** Why a contact was not accepted. The phone is cut to what an answer shows. */
type Rejected = Flaw & { phone: string };
/** A contact that was not accepted, with its zero-based place among those given. */
export type Rejection = Rejected & { index: number };
/** The same with the line of a file on which the contact begins, from 1. */
export type RejectedRow = Rejected & { line: number };

const e164 = /^\+[1-9]\d{6,14}$/;
/** Control characters. With no flag for Unicode, in which they are the same, they are found in a third of the time. */
// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u001F\u007F-\u009F]/;
/** The same without line feeds and tabs, which the value of a field may hold. */
// oxlint-disable-next-line no-control-regex
const controlInValue = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/;

/** Spaces, what nobody sees, and the marks that people write into phone numbers. */
const marks = /[\p{Zs}\u00AD\u200B-\u200F\u202A-\u202E\u2060-\u2069\uFEFF\-\u2010\u2011.()/]/gu;
/** `="…"` or a leading apostrophe, with which spreadsheets keep a number as text. */
const asText = /^(?:="(.*)"|'(.*))$/s;
/** Within parentheses a zero is dialed inside the country only: nobody can say whether it is meant. */
const trunkZero = /\(\s*0\s*\)/u;
/** No phone with its marks is longer. */
export const longestWritten = 64;
/** A number as a spreadsheet shows it that has no room for all of its digits. */
const scientific = /^\s*\+?\d[.,]?\d*E\+?\d+\s*$/i;
/** A number as a program writes it that takes it for an amount. */
const decimal = /^\s*\+?\d{7,}[.,]0+\s*$/;

/** What was written, without what makes a spreadsheet keep it as text. */
export function asWritten(cell: string): string {
  const [, quoted, apostrophe] = asText.exec(cell) ?? [];
  return quoted ?? apostrophe ?? cell;
}

/** True if a program has taken the phone for a number: its digits are not the digits to dial. */
export function isMangled(written: string): boolean {
  const text = asWritten(written);
  return scientific.test(text) || decimal.test(text);
}

/** The phone number in E.164 where what was written is that but for spaces and marks; else what was written. */
export function plainPhone(written: string): string {
  if (e164.test(written) || written.length > longestWritten) return written;
  if (trunkZero.test(written) || isMangled(written)) return written;
  const plain = asWritten(written).replace(marks, "");
  return e164.test(plain) ? plain : written;
}

/** What an answer shows of a phone that was rejected: no more than 50 characters, and each of them printable. */
export const shownPhone = (phone: string): string =>
  Array.from(phone.slice(0, 100), (character) =>
    control.test(character) || !character.isWellFormed() ? "\uFFFD" : character,
  )
    .slice(0, 50)
    .join("");

/** No database text can hold the half of a surrogate pair. */
const isText = (text: string, min: number, max: number, forbidden = control): boolean =>
  text.length >= min &&
  (text.length <= max || (text.length <= 2 * max && [...text].length <= max)) &&
  !forbidden.test(text) &&
  text.isWellFormed();

export const largestFieldCount = 50;

export const isPhone = (text: string): boolean => e164.test(text);
/** Why a phone is suppressed. */
export const isReason = (text: string): boolean => isText(text, 1, 200);
export const isName = (text: string): boolean => isText(text, 0, 200);
export const isFieldKey = (text: string): boolean => isText(text, 1, 64);
export const isFieldValue = (text: string): boolean => isText(text, 0, 1000, controlInValue);

/** What a contact may take as it is stored: phone, name and the fields as JSON in UTF-8, and two separators. */
const largestContactBytes = 32 * 1024;

const phoneRule = (phone: string, orElse: string): string =>
  trunkZero.test(phone)
    ? "must be without the zero in parentheses, which is dialed inside its country only: +44 20 …, not +44 (0)20 …"
    : isMangled(phone)
      ? "must have all its digits and no others; here a program has taken it for a number (as 1.41555E+10 or 14155550100.0): format the column as text and enter it again"
      : "must be E.164: a plus sign, then 7 to 15 digits of which the first is not 0; spaces and -.()/ are taken out" +
        orElse;
const textRule = (max: number, forbidden: string): string =>
  `must have at most ${max.toLocaleString("en")} characters, none of them a control character ${forbidden}`;
const invalidField = (field: string, rule: string): Flaw => ({ reason: "invalid_fields", field, rule });

/** `orElse` says what else would do but E.164. */
export const badPhone = (phone: string, orElse = ""): Flaw => ({
  reason: "invalid_phone_format",
  field: "phone",
  rule: phoneRule(phone, orElse),
});
export const badName: Flaw = invalidField("name", textRule(200, "such as a line end or a tab"));
/** The value of a field; its key may be in an answer. */
export const badValue = (key: string): Flaw =>
  invalidField(`fields[${JSON.stringify(key)}]`, textRule(1000, "but line feeds and tabs"));
export const tooManyFields: Flaw = invalidField("fields", `must be at most ${largestFieldCount}`);
export const badTimeZone: Flaw = {
  reason: "invalid_timezone",
  field: "timezone",
  rule: 'must be the name of an IANA time zone, such as "America/New_York", or empty',
};
export const tooLarge: Flaw = invalidField(
  "fields",
  "must leave the contact, as it is stored, within 32 KiB: phone, name and fields as JSON in UTF-8",
);
export const duplicatePhone: Flaw = {
  reason: "duplicate_phone",
  field: "phone",
  rule: "must be once in a job; the first contact with it is kept",
};

/** What is answered of it does not show the phone: answers are kept. */
export const erasedPhone: Flaw = {
  reason: "erased_phone",
  field: "phone",
  rule: "must not be of a person whose data was erased",
};

const encoder = new TextEncoder();

/** True if the contact takes no more than it may; a character takes at most three bytes for each of its units. */
export const isSmallEnough = (phone: string, name: string, json: string): boolean =>
  (phone.length + name.length + json.length + 2) * 3 <= largestContactBytes ||
  encoder.encode(`${phone} ${name} ${json}`).length <= largestContactBytes;

/** How a phone is read: as E.164, or as what is wrong with it. */
export type ReadPhone = (written: string) => string | Flaw;

export const readE164: ReadPhone = (written) => {
  const phone = plainPhone(written);
  return isPhone(phone) ? phone : badPhone(phone, "; with a default region it may be as it is written there");
};

/** What keeps a contact from being stored, judged by itself; undefined if nothing does. */
function flawOf({ phone, name, fields, timezone }: ContactInput): Flaw | undefined {
  if (!isPhone(phone)) return badPhone(phone);
  if (!isName(name)) return badName;
  if (timezone !== undefined && timezone !== "" && findTimeZone(timezone) === undefined) return badTimeZone;
  const entries = Object.entries(fields);
  if (entries.length > largestFieldCount) return tooManyFields;
  for (const [key, value] of entries) {
    if (!isFieldKey(key)) return invalidField("fields", `must have names that are ${keyRule}`);
    if (!isFieldValue(value)) return badValue(key);
  }
  if (entries.length <= fewFields || isSmallEnough(phone, name, JSON.stringify(fields))) return undefined;
  return tooLarge;
}

const keyRule = "1 to 64 characters long, none of them a control character";
/** So few fields are never too large: a field takes at most 4 bytes for each of 1,064 characters, and a name 800. */
const fewFields = 7;

/** What was given as a contact and cannot be judged as one, such as a row of a file that lacks a value. */
export type FlawedInput = { phone: string; flaw: Flaw };

/** A contact as it can be stored, with its place among those given; its time zone, if it has one, is canonical. */
export type AcceptedContact = ContactInput & { index: number };

/** Nobody was erased. */
const nobody: ReadonlySet<string> = new Set();

/** The phones of contacts, as far as they are phones. */
export const phonesOf = (inputs: readonly { readonly phone: string }[]): string[] =>
  inputs.map(({ phone }) => plainPhone(phone)).filter(isPhone);

/** What was given as a contact, judged by itself: as it can be stored, or with what is wrong with it. */
export type JudgedContact = AcceptedContact | (FlawedInput & { index: number });

/** Judges what was given at a place by itself, not beside the others. */
export function judge(input: ContactInput | FlawedInput, index: number): JudgedContact {
  const phone = plainPhone(input.phone);
  if ("flaw" in input) return { phone, flaw: input.flaw, index };
  const { name, fields, timezone = "" } = input;
  const flaw = flawOf({ phone, name, fields, timezone });
  if (flaw !== undefined) return { phone, flaw, index };
  const zone = timezone === "" ? undefined : findTimeZone(timezone);
  return zone === undefined ? { phone, name, fields, index } : { phone, name, fields, timezone: zone, index };
}

/** Sorts out the contacts that cannot be stored; of those with the same phone the first is kept. */
export function sortOut(
  judged: readonly JudgedContact[],
  erased: ReadonlySet<string> = nobody,
): {
  accepted: AcceptedContact[];
  rejected: Rejection[];
} {
  const accepted: AcceptedContact[] = [];
  const rejected: Rejection[] = [];
  const phones = new Set<string>();
  for (const one of judged) {
    const { phone, index } = one;
    if (erased.has(phone)) rejected.push({ index, phone: "", ...erasedPhone });
    else if ("flaw" in one) rejected.push({ index, phone: shownPhone(phone), ...one.flaw });
    else if (phones.has(phone)) rejected.push({ index, phone: shownPhone(phone), ...duplicatePhone });
    else {
      phones.add(phone);
      accepted.push(one);
    }
  }
  return { accepted, rejected };
}
