const pattern = /^(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?$/;

const day = new Intl.DateTimeFormat("en-GB", {
  weekday: "short",
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});

/** A wall-clock time as the service writes it, in words: no zone has a part in that. */
export function wallTime(text: string): string {
  const [, year, month, date, time = "", offset] = pattern.exec(text) ?? [];
  if (year === undefined) return text;
  const words = day.format(Date.UTC(Number(year), Number(month) - 1, Number(date)));
  const clock = time.length > 5 && time.endsWith(":00") ? time.slice(0, 5) : time;
  return `${words}, ${clock}${offset === undefined ? "" : ` UTC${offset === "Z" ? "" : offset}`}`;
}

/** The start time of a job with its zone, in the words that the service took. */
export const startWords = (job: { requestedStartTime: string; timezone: string }): string =>
  `${wallTime(job.requestedStartTime)}${wallParts(job.requestedStartTime) ? ` ${job.timezone}` : ""}`;

/** The parts that inputs for a date and a time take, of words without an offset; undefined for others. */
export function wallParts(text: string): { date: string; time: string } | undefined {
  const [, year, month, date, time = "", offset] = pattern.exec(text) ?? [];
  return year === undefined || offset !== undefined ? undefined : { date: `${year}-${month}-${date}`, time };
}
