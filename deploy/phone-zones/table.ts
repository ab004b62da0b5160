import { createHash } from "node:crypto";
import { canonicalTimeZone } from "../../src/domain/time/time-zone.ts";
import { offsetPeriods } from "../../src/domain/time/zone-offsets.ts";
import { type Line, everywhere } from "./overlay.ts";

/** Zones whose clocks show the same in this time are one; what is known of later years repeats it. */
const [fromMs, untilMs] = [Date.UTC(2026, 11), Date.UTC(2029, 0)];

/** Countries that the list of zones says by mistake to have another's. */
const notThere = new Set(["AU Asia/Tokyo"]);

/** Known to runtimes for longer than another zone with the same clocks, whose name comes first. */
const preferred = new Set(["America/Punta_Arenas", "Asia/Almaty"]);

/** A name that more countries share is that of one of them, and used for others only where they have none. */
const manySharing = 5;

const remember = <T>(find: (key: string) => T): ((key: string) => T) => {
  const known = new Map<string, T>();
  return (key) => {
    const value = known.get(key) ?? find(key);
    known.set(key, value);
    return value;
  };
};

/** What the clocks of a zone show, as a text that is the same for those that show the same. */
const clocksOf = remember((zone) =>
  offsetPeriods(zone, fromMs, untilMs)
    // A time of one offset may be in pieces.
    .filter(({ offsetMs }, i, all) => all[i - 1]?.offsetMs !== offsetMs)
    .map((period) => `${Math.max(fromMs, period.fromMs)}:${period.offsetMs}`)
    .join(),
);

/** A zone by the name that the service has for it. */
const canonical = remember(canonicalTimeZone);

type Source = {
  codes: Map<string, string[]>;
  countries: Map<string, string[]>;
  prefixes: Map<string, string[]>;
};

function readSource(text: string): Source {
  const ofKind = (kind: string): Map<string, string[]> =>
    new Map(
      text
        .split("\n")
        .filter((line) => line.startsWith(`${kind} `))
        .map((line) => line.split(" ").slice(1))
        .map(([key = "", ...values]) => [key, values]),
    );
  return { codes: ofKind("code"), countries: ofKind("country"), prefixes: ofKind("prefix") };
}

/** Under the name of each zone of a country the one name that all with the same clocks have there. */
function namesIn(country: string, code: string, { countries, prefixes }: Source): Map<string, string> {
  const all = [...countries.values()].map((zones) => new Set(zones.map(canonical)));
  const used = [...prefixes].flatMap(([prefix, zones]) =>
    prefix.startsWith(code) ? zones.map(canonical) : [],
  );
  const rankOf = (zone: string): number =>
    (all.filter((zones) => zones.has(zone)).length > manySharing ? -1_000_000 : 0) +
    (preferred.has(zone) ? 1_000_000 : 0) +
    used.filter((each) => each === zone).length;
  const own = (countries.get(country) ?? []).filter((zone) => !notThere.has(`${country} ${zone}`));
  const ranked = sorted(own.map(canonical))
    .map((zone) => ({ zone, rank: rankOf(zone), clocks: clocksOf(zone) }))
    .toSorted((a, b) => b.rank - a.rank);
  return new Map(
    ranked.map(({ zone, clocks }) => [zone, ranked.find((each) => each.clocks === clocks)?.zone ?? zone]),
  );
}

const sorted = (zones: Iterable<string>): string[] => [...new Set(zones)].toSorted();

/** The zones that the longest prefix of a number has. */
type Table = Map<string, readonly string[]>;

/**
 * What the data set says of the numbers of one calling code, as far as its countries have such zones; for the others,
 * and for what is not in it, all zones of its countries. None for the numbers of many countries that are in no area.
 */
function tableOf(code: string, source: Source): Table {
  const ids = (source.codes.get(code) ?? []).filter((id) => source.countries.has(id));
  const names = ids.map((id) => namesIn(id, code, source));
  const all = sorted(names.flatMap((each) => [...each.values()]));
  const [first, ...others] = all.map(clocksOf);
  if (others.every((clocks) => clocks === first)) {
    const [zone] = names[0]?.values() ?? [];
    return new Map(zone === undefined ? [] : [[code, [zone]]]);
  }
  /** Of countries that know the zone, the one that has no other name for it. */
  const nameOf = (zone: string): string | undefined =>
    (names.find((each) => each.get(zone) === zone) ?? names.find((each) => each.has(zone)))?.get(zone);
  const whole = ids.length > manyCountries ? [] : all;
  const table: Table = new Map([[code, whole]]);
  for (const [prefix, zones] of source.prefixes) {
    if (prefix === code || !prefix.startsWith(code)) continue;
    const found = zones.map((zone) => nameOf(canonical(zone)));
    const known = found.filter((zone) => zone !== undefined);
    table.set(prefix, known.length === found.length ? sorted(known) : whole);
  }
  return table;
}

/** North America has more; nobody else has. */
const manyCountries = 5;

/** Holds the overlay's lists of all zones of a country to what is known of it. */
function checkEverywhere(source: Source): void {
  for (const [country, zones] of Object.entries(everywhere)) {
    const [code = ""] = [...source.codes].find(([, ids]) => ids.includes(country)) ?? [];
    const all = sorted(namesIn(country, code, source).values());
    if (all.join() === zones.join()) continue;
    throw new Error(`overlay.ts must say that the zones of ${country} are ${all.join(", ")}`);
  }
}

/** What a prefix says, and a shorter one says too, is said once. */
function shortest(table: Table): Table {
  const above = (prefix: string): readonly string[] => {
    for (let length = prefix.length - 1; length > 0; length--) {
      const found = table.get(prefix.slice(0, length));
      if (found !== undefined) return found;
    }
    return [];
  };
  return new Map([...table].filter(([prefix, zones]) => above(prefix).join() !== zones.join()));
}

const width = 110;

/** Lines of zones and prefixes, as src/domain/time/phone-zones.ts reads them. */
function write(table: Table): string {
  const sets = Map.groupBy(table, ([, zones]) => zones.join(" ") || "-");
  const lines = [...sets]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([zones, entries]) => {
      const prefixes = entries.map(([prefix]) => prefix).toSorted();
      const rows = [`${zones}:`];
      for (const prefix of prefixes) {
        const row = rows.at(-1) ?? "";
        if (row.length + prefix.length < width) rows[rows.length - 1] = `${row} ${prefix}`;
        else rows.push(` ${prefix}`);
      }
      return rows;
    });
  return lines.join("\n");
}

/** The table of the zones of numbers, as a module of the service. */
export function makePhoneZones(sourceText: string, overlay: readonly Line[]): string {
  const source = readSource(sourceText);
  checkEverywhere(source);
  const table: Table = new Map([...source.codes.keys()].flatMap((code) => [...tableOf(code, source)]));
  const lines = overlay.flatMap(({ prefixes, zones }) => prefixes.map((prefix) => ({ prefix, zones })));
  for (const { prefix } of lines) {
    for (const known of table.keys()) if (known.startsWith(prefix)) table.delete(known);
  }
  for (const { prefix, zones } of lines) table.set(prefix, zones);
  const text = write(shortest(table));
  const [, from = ""] = /from (\S+)/.exec(sourceText) ?? [];
  const version = `${from}, ${createHash("sha256").update(text).digest("hex").slice(0, 8)}`;
  return [
    '// Made by "npm run zones" from deploy/phone-zones, which says where it comes from and under which licence.',
    "export const phoneZones = {",
    `  version: ${JSON.stringify(version)},`,
    `  table: \`${text}\`,`,
    "};",
    "",
  ].join("\n");
}
