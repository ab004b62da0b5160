import type { AcceptedContact } from "../contacts/contact.ts";
import { zonesOfPhone } from "./phone-zones.ts";

/*
 * The contacts of a job are in sets of time zones. Set 0 is the job's own time zone; the others are numbered in the
 * order in which the job first had a contact in them.
 */

/** A set other than 0. */
export type ZoneSet = {
  readonly zoneSet: number;
  /** In every one of them a call must be allowed; with none of them it never is. */
  readonly zones: readonly string[];
  /** Given with the contact. */
  readonly isOwn: boolean;
};

/** A set, and how many contacts are in it. */
export type CountedSet = ZoneSet & { readonly contacts: number };

type Located = Pick<AcceptedContact, "phone" | "timezone">;

/**
 * Numbers the sets of contacts on from those that are known. A contact is in its own time zone; without one in those
 * that its number can be in, if `zonesFromPhone` says so; else in set 0.
 */
export function createZoneSets(known: readonly ZoneSet[], { zonesFromPhone }: { zonesFromPhone: boolean }) {
  const own = new Map(known.flatMap((set) => (set.isOwn ? [[nameOf(set.zones), set] as const] : [])));
  const ofPhones = new Map(known.flatMap((set) => (set.isOwn ? [] : [[nameOf(set.zones), set] as const])));
  /** There is one array for each set of zones of numbers. */
  const byArray = new Map<readonly string[], ZoneSet>();
  const all = [...known];
  let last = Math.max(0, ...known.map(({ zoneSet }) => zoneSet));

  function setOf(zones: readonly string[], { isOwn }: Pick<ZoneSet, "isOwn">): ZoneSet {
    const sets = isOwn ? own : ofPhones;
    const name = nameOf(zones);
    const found = sets.get(name);
    if (found !== undefined) return found;
    last += 1;
    const added = { zoneSet: last, zones, isOwn };
    sets.set(name, added);
    all.push(added);
    return added;
  }

  function ofPhone(phone: string): ZoneSet {
    const zones = zonesOfPhone(phone);
    const found = byArray.get(zones) ?? setOf(zones, { isOwn: false });
    byArray.set(zones, found);
    return found;
  }

  return {
    /** The number of the set that a contact is in. */
    of({ phone, timezone }: Located): number {
      if (timezone !== undefined) return (own.get(timezone) ?? setOf([timezone], { isOwn: true })).zoneSet;
      return zonesFromPhone ? ofPhone(phone).zoneSet : 0;
    },
    numberOf: (zones: readonly string[], { isOwn }: Pick<ZoneSet, "isOwn">): number =>
      setOf(zones, { isOwn }).zoneSet,
    /** All that are known now. */
    all: (): readonly ZoneSet[] => all,
  };
}

/** The sets of a job with those of what is added to it, and the number that each of the latter has there. */
export function joinZoneSets(
  known: readonly ZoneSet[],
  added: readonly ZoneSet[],
): { all: readonly ZoneSet[]; numbers: number[] } {
  const sets = createZoneSets(known, { zonesFromPhone: false });
  const numbers = added.map(({ zones, isOwn }) => sets.numberOf(zones, { isOwn }));
  return { all: sets.all(), numbers };
}

const nameOf = (zones: readonly string[]): string => zones.join(" ");

/** The sets, with how many of the contacts are in each, whose sets are given by their numbers. */
export function countSets(sets: readonly ZoneSet[], numbers: readonly number[]): CountedSet[] {
  const counts = new Map<number, number>();
  for (const number of numbers) counts.set(number, (counts.get(number) ?? 0) + 1);
  return sets.map((set) => ({ ...set, contacts: counts.get(set.zoneSet) ?? 0 }));
}
