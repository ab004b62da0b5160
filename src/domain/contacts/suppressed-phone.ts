import { type Flaw, badPhone, isPhone, isReason, plainPhone } from "./contact.ts";

/** A phone that nobody calls. */
export type SuppressedPhone = {
  readonly phone: string;
  readonly reason: string;
  /** When it was added, or last changed. */
  readonly addedAt: Date;
  /** Null for never. */
  readonly expiresAt: Date | null;
  /** It is on no list, but that of a person who was erased: nothing else is known of them. */
  readonly isErased: boolean;
};

export const erasedPhone = (phone: string, erasedAt: Date): SuppressedPhone => ({
  phone,
  reason: "",
  addedAt: erasedAt,
  expiresAt: null,
  isErased: true,
});

/** What is to be on the list; undefined for ever. */
export type SuppressedPhoneInput = {
  readonly phone: string;
  readonly reason: string;
  readonly expiresMs: number | undefined;
};

const badReason: Flaw = {
  reason: "invalid_fields",
  field: "reason",
  rule: "must say why, in 1 to 200 characters, none of them a control character",
};

export const badExpiry: Flaw = {
  reason: "invalid_fields",
  field: "expires_at",
  rule: "must be in the future, or be left out",
};

/** Times after this are in no calendar that is shown. */
const latestMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** The entry as it can be stored, or what keeps it from that. */
export function judgeSuppressed(input: SuppressedPhoneInput, nowMs: number): SuppressedPhoneInput | Flaw {
  const phone = plainPhone(input.phone);
  if (!isPhone(phone)) return badPhone(phone);
  if (!isReason(input.reason)) return badReason;
  const { expiresMs } = input;
  if (expiresMs !== undefined && !(expiresMs > nowMs && expiresMs <= latestMs)) return badExpiry;
  return { phone, reason: input.reason, expiresMs };
}
