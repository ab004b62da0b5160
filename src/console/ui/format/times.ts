import { type Duration, type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

/** The zone of the browser; UTC where it knows none that it can reckon with. */
export const viewerZone = usableZone();

function usableZone(): string {
  try {
    const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
    return new Intl.DateTimeFormat("en", { timeZone }).resolvedOptions().timeZone;
  } catch {
    return "UTC";
  }
}

const formats = new Map<string, Intl.DateTimeFormat>();

function format(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = JSON.stringify([zone, options]);
  const known = formats.get(key) ?? new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options });
  formats.set(key, known);
  return known;
}

const day = { weekday: "short", day: "numeric", month: "short", year: "numeric" } as const;
const minute = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
const second = { ...minute, second: "2-digit" } as const;

/** "Thu, 1 Mar 2035, 10:00", as clocks in the zone show it. */
export const dayAndTime = (at: Date, zone: string): string => format(zone, { ...day, ...minute }).format(at);

/** "Thu, 1 Mar 2035, 10:00:05". */
export const exactTime = (at: Date, zone: string): string => format(zone, { ...day, ...second }).format(at);

/** "10:00:05". */
export const clockTime = (at: Date, zone: string): string => format(zone, second).format(at);

/** "New York" of "America/New_York". */
export const city = (zone: string): string => (zone.split("/").at(-1) ?? zone).replaceAll("_", " ");

export const dateOf = (at: Timestamp | undefined): Date | undefined => at && timestampDate(at);

export const msOf = ({ seconds, nanos }: Duration): number => Number(seconds) * 1000 + nanos / 1e6;

const units = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
] as const;

/** "5 min", "1 h 30 min", "2.4 s", "12 ms": the two largest units that matter. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`;
  const largest = units.findIndex(([, size]) => ms >= size);
  let rest = ms;
  const parts = units.slice(largest, largest + 2).map(([name, size]) => {
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    return whole > 0 ? `${whole} ${name}` : "";
  });
  return parts.filter((part) => part !== "").join(" ");
}

/** "in 2 h 5 min", "3 s ago". */
export function fromNow(at: Date, now: Date): string {
  const ms = at.getTime() - now.getTime();
  const span = duration(Math.max(1_000, Math.round(Math.abs(ms) / 1_000) * 1_000));
  return ms > 0 ? `in ${span}` : `${span} ago`;
}
