import { DateTime } from "luxon";
import { BatchJobError } from "../../../domain/batch-job-error.ts";
import { parseStartTime } from "../../../domain/start-time.ts";
import { canonicalTimeZone } from "../../../domain/time-zone.ts";

/** What a wall-clock time in a zone means, by the service's own rules. */
export type Reading =
  | { readonly kind: "nothing" }
  | { readonly kind: "wrong"; readonly field: "time" | "zone"; readonly problem: string }
  | {
      readonly kind: "instant";
      readonly at: Date;
      readonly zone: string;
      /** What is peculiar about it, in words; empty if nothing is. */
      readonly remarks: readonly string[];
    };

const offsetWords = (at: DateTime): string => `${at.offsetNameLong ?? ""} (UTC${at.toFormat("ZZ")})`.trim();

/** `date` and `time` as their inputs give them: `2027-03-01` and `10:00`. */
export function readStartTime(date: string, time: string, zone: string, now: Date): Reading {
  if (date === "" || time === "") return { kind: "nothing" };
  try {
    const timeZone = canonicalTimeZone(zone.trim());
    return { kind: "instant", ...instantOf(`${date}T${time}`, timeZone, now) };
  } catch (error) {
    if (!(error instanceof BatchJobError)) throw error;
    const field = error.reason === "invalid_timezone" ? "zone" : "time";
    return { kind: "wrong", field, problem: inWords(error, date, time, zone) };
  }
}

function instantOf(text: string, zone: string, now: Date) {
  const at = parseStartTime(text, zone);
  const remarks: string[] = [];
  const [first, second] = DateTime.fromJSDate(at, { zone }).getPossibleOffsets();
  if (first && second) {
    remarks.push(
      `This time comes twice that day, as the clocks go back: in ${offsetWords(first)} and again in ${offsetWords(second)}. The first one is meant.`,
    );
  }
  if (at <= now) remarks.push("This is in the past, by this computer's clock.");
  return { at, zone, remarks };
}

/** `10:00` of `2027-03-01T10:00:00`. */
const timeIn = (text: string): string => text.slice(11, 16);

/** A refusal of the service's own reading, said for somebody who picked the time from a calendar. */
function inWords(error: BatchJobError, date: string, time: string, zone: string): string {
  const skip = /skip from (\S+) to (\S+);/.exec(error.message);
  if (!skip) return error.message;
  const [, last = "", next = ""] = skip;
  return `${time} does not exist on ${date} in ${zone}: the clocks skip from ${timeIn(last)} to ${timeIn(next)}. Take ${timeIn(last)} or earlier, or ${timeIn(next)} or later.`;
}
