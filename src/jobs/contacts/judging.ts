import {
  type ContactInput,
  type FlawedInput,
  type JudgedContact,
  type ReadPhone,
  isPhone,
  judge,
} from "../../domain/contacts/contact.ts";
import { phoneReader } from "../../files/phones.ts";
import { createLine } from "../../timing/line.ts";

/** To judge so few takes a moment. */
const fewContacts = 250;

/** So long contacts are judged in a turn of the event loop; the clock is looked at each so many. */
const turnMs = 3;
const contactsAtOnce = 32;

/** As much as one turn takes, all else has after it. */
const longestPauseMs = 100;

/**
 * Judges lists of contacts, long ones in turns: one of these at a time, after which all else has as much time.
 * Organizations take turns, however many lists each of them has sent.
 */
export function createJudging() {
  const line = createLine({ atOnce: 1, inTurn: 1, pauseMs: longestPauseMs, waiting: Infinity });

  /** Does a part of the work for a list in a turn; what it throws fails the list. */
  const inTurn = (organizationId: number, list: object, work: () => void): Promise<void> =>
    new Promise((resolve, reject) =>
      line.enter({ group: String(organizationId), key: list, mostWaiting: 1 }, (settled) => {
        try {
          work();
          resolve();
        } catch (error) {
          reject(error instanceof Error ? error : new Error("a contact could not be judged"));
        } finally {
          setImmediate(settled);
        }
      }),
    );

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
    const judgeSome = (): void => {
      const untilMs = performance.now() + turnMs;
      do {
        const first = judged.length;
        for (const contact of contacts.slice(first, first + contactsAtOnce)) {
          judged.push(judge(read(contact), judged.length));
        }
      } while (judged.length < contacts.length && performance.now() < untilMs);
    };
    while (judged.length < contacts.length) await inTurn(organizationId, contacts, judgeSome);
    return judged;
  };
}

const asGiven = (contact: ContactInput | FlawedInput) => contact;

const readingPhones = (readPhone: ReadPhone) => (contact: ContactInput | FlawedInput) => {
  if ("flaw" in contact || isPhone(contact.phone)) return contact;
  const phone = readPhone(contact.phone);
  return typeof phone === "string" ? { ...contact, phone } : { phone: contact.phone, flaw: phone };
};
