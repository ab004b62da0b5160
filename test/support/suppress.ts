import { randomBytes } from "node:crypto";
import type { SuppressedPhoneInput } from "../../src/domain/contacts/suppressed-phone.ts";
import type { Parts } from "./parts.ts";

/** A command of the test's caller that need not be safe to repeat. */
export const aCommand = ({ caller }: Pick<Parts, "caller">) => ({
  caller,
  requestId: "",
  fingerprint: () => randomBytes(32),
});

/** Puts these phones on the list of the caller's organization. */
export const suppress = (
  parts: Pick<Parts, "caller" | "suppression">,
  phones: readonly string[],
  fields: Partial<SuppressedPhoneInput> = {},
) =>
  parts.suppression.add(
    aCommand(parts),
    phones.map((phone) => ({ phone, reason: "opted out", expiresMs: undefined, ...fields })),
  );

/** Takes them off it. */
export const unsuppress = (parts: Pick<Parts, "caller" | "suppression">, phones: readonly string[]) =>
  parts.suppression.remove(aCommand(parts), phones);
