import { phoneZones } from "./phone-zones-data.ts";

/** Names the table that zones of numbers are read from: where it comes from, and what is in it. */
export const phoneZonesVersion: string = phoneZones.version;

type Node = { zones?: readonly string[]; readonly next: (Node | undefined)[] };

const inNoZone: readonly string[] = [];

/** A line for each set of zones, `ZONE ZONE: PREFIX PREFIX`; without a zone for numbers that are in none. */
function readTable(): Node {
  const root: Node = { next: [] };
  for (const line of phoneZones.table.replaceAll("\n ", " ").split("\n")) {
    const [names = "", prefixes = ""] = line.split(": ");
    const zones = names.split(" ").filter((name) => name !== "-");
    for (const prefix of prefixes.split(" ")) {
      let node = root;
      for (const digit of prefix) node = node.next[Number(digit)] ??= { next: [] };
      node.zones = zones;
    }
  }
  return root;
}

let table: Node | undefined;

/**
 * The zones that a phone number in E.164 can be in, by the longest prefix that is known; in the order of their names,
 * and one array for one set. None for a number of which nothing is known, or that says nothing of a place.
 */
export function zonesOfPhone(phone: string): readonly string[] {
  let node = (table ??= readTable());
  let zones = inNoZone;
  for (let i = 1; i < phone.length; i++) {
    const next = node.next[phone.charCodeAt(i) - 48];
    if (next === undefined) break;
    node = next;
    if (node.zones !== undefined) zones = node.zones;
  }
  return zones;
}
