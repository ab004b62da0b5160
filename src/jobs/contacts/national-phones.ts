import { setImmediate as nextTurn } from "node:timers/promises";
import { type ContactInput, type FlawedInput, isPhone } from "../../domain/contacts/contact.ts";
import { phoneReader } from "../../files/phones.ts";

/** Some milliseconds of reading; then others get their turn. */
const phonesInATurn = 256;

/**
 * The contacts with their phones as they are dialed, read as those of a region where they are not E.164; one whose
 * phone cannot be read so has its flaw. Refuses what is no region.
 */
export async function readPhones(
  contacts: readonly (ContactInput | FlawedInput)[],
  defaultRegion: string,
): Promise<readonly (ContactInput | FlawedInput)[]> {
  if (defaultRegion === "") return contacts;
  const readPhone = phoneReader(defaultRegion);
  const read: (ContactInput | FlawedInput)[] = [];
  let inThisTurn = 0;
  for (const contact of contacts) {
    if ("flaw" in contact || isPhone(contact.phone)) {
      read.push(contact);
      continue;
    }
    const { name, fields, timezone = "" } = contact;
    const phone = readPhone(contact.phone);
    const flawed = typeof phone !== "string";
    read.push(flawed ? { phone: contact.phone, flaw: phone } : { phone, name, fields, timezone });
    inThisTurn += 1;
    if (inThisTurn % phonesInATurn === 0) await nextTurn();
  }
  return read;
}
