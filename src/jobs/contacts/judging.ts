import { setTimeout as rest } from "node:timers/promises";
import {
  type ContactInput,
  type FlawedInput,
  type JudgedContact,
  type ReadPhone,
  isPhone,
  judge,
} from "../../domain/contacts/contact.ts";
import { phoneReader } from "../../files/phones.ts";

/** So long contacts are judged in a turn of the event loop; then all else has as long. */
const turnMs = 3;
/** The clock is looked at each so many. */
const contactsAtOnce = 32;

/**
 * The contacts, each judged by itself, with their phones as they are dialed, read as those of a region where there is
 * one and they are not E.164; one whose phone cannot be read so has its flaw. Refuses what is no region.
 */
export async function judgeContacts(
  contacts: readonly (ContactInput | FlawedInput)[],
  defaultRegion: string,
): Promise<readonly JudgedContact[]> {
  const read = defaultRegion === "" ? asGiven : readingPhones(phoneReader(defaultRegion));
  const judged: JudgedContact[] = [];
  let untilMs = performance.now() + turnMs;
  for (const [i, contact] of contacts.entries()) {
    judged.push(judge(read(contact), i));
    if (i % contactsAtOnce < contactsAtOnce - 1 || performance.now() < untilMs) continue;
    await rest(turnMs);
    untilMs = performance.now() + turnMs;
  }
  return judged;
}

const asGiven = (contact: ContactInput | FlawedInput) => contact;

const readingPhones = (readPhone: ReadPhone) => (contact: ContactInput | FlawedInput) => {
  if ("flaw" in contact || isPhone(contact.phone)) return contact;
  const phone = readPhone(contact.phone);
  return typeof phone === "string" ? { ...contact, phone } : { phone: contact.phone, flaw: phone };
};
