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

/** What a contact is, and what is counted. `cancelled` is not among them: it follows from the job. */
export const storedContactStatuses = ["pending", "dialing", "waiting_retry", ...outcomes] as const;

export type StoredContactStatus = (typeof storedContactStatuses)[number];
/** What a contact is that was called and is not being called now. */
export type RestingContactStatus = "waiting_retry" | Outcome;
export type ContactStatus = StoredContactStatus | "cancelled";

/** The statuses that a cancelled job turns into `cancelled`. */
export const openContactStatuses = ["pending", "waiting_retry"] as const satisfies StoredContactStatus[];

export type ContactInput = { phone: string; name: string; fields: Record<string, string> };

export type RejectionReason = "invalid_phone_format" | "duplicate_phone" | "invalid_fields";

/** Why a contact was not accepted. The phone is cut to what an answer shows. */
type Rejected = { phone: string; reason: RejectionReason };
/** A contact that was not accepted, with its zero-based place among those given. */
export type Rejection = Rejected & { index: number };
/** The same with the line of a file on which the contact begins, from 1. */
export type RejectedRow = Rejected & { line: number };

const e164 = /^\+[1-9]\d{6,14}$/;
/** Control characters, and the halves of surrogate pairs, which no database text can hold. */
const unprintable = /[\p{Cc}\p{Cs}]/u;

/** What an answer shows of a phone that was rejected: no more than 50 characters, and each of them printable. */
export const shownPhone = (phone: string): string =>
  Array.from(phone.slice(0, 100), (character) => (unprintable.test(character) ? "\uFFFD" : character))
    .slice(0, 50)
    .join("");

const isText = (text: string, min: number, max: number): boolean =>
  text.length >= min &&
  (text.length <= max || (text.length <= 2 * max && [...text].length <= max)) &&
  !unprintable.test(text);

export const largestFieldCount = 50;

export const isPhone = (text: string): boolean => e164.test(text);
export const isName = (text: string): boolean => isText(text, 0, 200);
export const isFieldKey = (text: string): boolean => isText(text, 1, 64);
export const isFieldValue = (text: string): boolean => isText(text, 0, 1000);

/** Why a contact cannot be stored, judged by itself; undefined if it can. */
export function reasonToReject({ phone, name, fields }: ContactInput): RejectionReason | undefined {
  if (!isPhone(phone)) return "invalid_phone_format";
  const entries = Object.entries(fields);
  const fine =
    isName(name) &&
    entries.length <= largestFieldCount &&
    entries.every(([key, value]) => isFieldKey(key) && isFieldValue(value));
  return fine ? undefined : "invalid_fields";
}

/** A contact as it can be stored, with its place among those given. */
export type AcceptedContact = ContactInput & { index: number };

/** Sorts out the contacts that cannot be stored; of those with the same phone the first is kept. */
export function sortOut(inputs: readonly ContactInput[]): {
  accepted: AcceptedContact[];
  rejected: Rejection[];
} {
  const accepted: AcceptedContact[] = [];
  const rejected: Rejection[] = [];
  const phones = new Set<string>();
  for (const [index, contact] of inputs.entries()) {
    const reason = reasonToReject(contact) ?? (phones.has(contact.phone) ? "duplicate_phone" : undefined);
    if (reason === undefined) {
      phones.add(contact.phone);
      accepted.push({ ...contact, index });
    } else {
      rejected.push({ index, phone: shownPhone(contact.phone), reason });
    }
  }
  return { accepted, rejected };
}
