import { BatchJobError } from "../batch-job-error.ts";

/** Zones that the runtime still calls by names which IANA has retired. */
const renamed: Readonly<Record<string, string>> = {
  "Africa/Asmera": "Africa/Asmara",
  "America/Buenos_Aires": "America/Argentina/Buenos_Aires",
  "America/Catamarca": "America/Argentina/Catamarca",
  "America/Coral_Harbour": "America/Atikokan",
  "America/Cordoba": "America/Argentina/Cordoba",
  "America/Godthab": "America/Nuuk",
  "America/Indianapolis": "America/Indiana/Indianapolis",
  "America/Jujuy": "America/Argentina/Jujuy",
  "America/Louisville": "America/Kentucky/Louisville",
  "America/Mendoza": "America/Argentina/Mendoza",
  "Asia/Calcutta": "Asia/Kolkata",
  "Asia/Katmandu": "Asia/Kathmandu",
  "Asia/Rangoon": "Asia/Yangon",
  "Asia/Saigon": "Asia/Ho_Chi_Minh",
  "Atlantic/Faeroe": "Atlantic/Faroe",
  "Europe/Kiev": "Europe/Kyiv",
  "Pacific/Enderbury": "Pacific/Kanton",
  "Pacific/Ponape": "Pacific/Pohnpei",
  "Pacific/Truk": "Pacific/Chuuk",
};

/** A zone name: letters first, then no sign or digit that would make it an offset. */
const zoneName = /^[A-Za-z][A-Za-z0-9_+\-/]{0,63}$/;

/** The short names that are IANA's. The runtime has others that are not, and not what they seem: its AST is Alaska. */
const shortNames = /^(?:CET|EET|EST|GMT|HST|MET|MST|PRC|ROC|ROK|UCT|UTC|WET)$/i;

const isForeign = (name: string): boolean =>
  (/^[a-z]{3}$/i.test(name) && !shortNames.test(name)) || /^SystemV\//i.test(name);

/** The spellings that were asked for, by their names in small letters: the runtime takes long to find one. */
const known = new Map<string, string>();

/** The canonical spelling of an IANA zone given in any case; an empty name means UTC. */
export function canonicalTimeZone(name: string): string {
  if (name === "") return "UTC";
  const found = findTimeZone(name);
  if (found === undefined) throw unknownTimeZone(name);
  return found;
}

/** The same, of a name that is not empty; undefined if there is no such zone. */
export function findTimeZone(name: string): string | undefined {
  if (!zoneName.test(name)) return undefined;
  const key = name.toLowerCase();
  const found = known.get(key) ?? askRuntime(name);
  // There are no more than the runtime has zones.
  if (found !== undefined) known.set(key, found);
  return found;
}

function askRuntime(name: string): string | undefined {
  if (isForeign(name)) return undefined;
  try {
    const zone = new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone;
    return renamed[zone] ?? zone;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return undefined;
  }
}

const unknownTimeZone = (name: string): BatchJobError =>
  new BatchJobError(
    "invalid_timezone",
    `${JSON.stringify(name.slice(0, 64))} is not an IANA time zone; give a name such as "America/New_York" or "UTC".`,
    { field: "timezone" },
  );
