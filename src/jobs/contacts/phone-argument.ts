import { wrongField } from "../../domain/batch-job-error.ts";
import { isPhone, plainPhone } from "../../domain/contacts/contact.ts";

/** A phone that a request names, as it is stored; refused if it is none. */
export function readPhone(written: string, field: string): string {
  const phone = plainPhone(written);
  if (isPhone(phone)) return phone;
  throw wrongField(
    field,
    "it must be E.164: a plus sign, then 7 to 15 digits of which the first is not 0; spaces and -.()/ are taken out",
  );
}
