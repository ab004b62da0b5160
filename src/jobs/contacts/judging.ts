import {
  type ContactInput,
  type FlawedInput,
  type JudgedContact,
  type ReadPhone,
  isPhone,
  judge,
} from "../../domain/contacts/contact.ts";
import { phoneReader } from "../../files/phones.ts";
import { createLongTurns } from "../../timing/long-turns.ts";

/** To judge so few takes a moment. */
const fewContacts = 250;

/** So long contacts are judged in a turn. */
const turnMs = 3;

/** Judges lists of contacts, long ones in turns. */
export function createJudging() {
  const takeTurn = createLongTurns();

  /**
   * The contacts, each judged by itself, with their phones as they are dialed, read as those of a region where there is
   * one and they are not E.164; one whose phone cannot be read so has its flaw. Refuses what is no region.
   */
  return async function judgeContacts(
    organizationId: number,
    contacts: readonly (ContactInput | FlawedInput)[],
    defaultRegion: string,
  ): Promise<readonly JudgedContact[]> {
    const read = defaultRegion === "" ? asGiven : readingPhones(phoneReader(defaultRegion));
    if (contacts.length <= fewContacts) return contacts.map((contact, i) => judge(read(contact), i));
    const judged: JudgedContact[] = [];
    let settled = await takeTurn(organizationId);
    try {
      let untilMs = performance.now() + turnMs;
      for (const [i, contact] of contacts.entries()) {
        if (performance.now() >= untilMs) {
          settled();
          settled = await takeTurn(organizationId);
          untilMs = performance.now() + turnMs;
        }
        judged.push(judge(read(contact), i));
      }
    } finally {
      settled();
    }
    return judged;
  };
}

const asGiven = (contact: ContactInput | FlawedInput) => contact;

const readingPhones = (readPhone: ReadPhone) => (contact: ContactInput | FlawedInput) => {
  if ("flaw" in contact || isPhone(contact.phone)) return contact;
  const phone = readPhone(contact.phone);
  return typeof phone === "string" ? { ...contact, phone } : { phone: contact.phone, flaw: phone };
};
