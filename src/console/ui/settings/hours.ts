import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CallingHours, CallingHoursSchema } from "../../../gen/callsheet/v1/calling_hours_pb.ts";

/** Hours of some weekdays, 1 Monday to 7 Sunday, as they are being typed. */
export type HoursRow = { readonly days: readonly number[]; readonly start: string; readonly end: string };

type Span = { readonly start: string; readonly end: string };

/** A date with hours of its own, such as a holiday, as it is being typed; without any it is closed. */
export type DayRow = { readonly date: string; readonly windows: readonly Span[] };

/** The hours of weekdays as rows. */
export const rowsOf = (hours: CallingHours | undefined): HoursRow[] =>
  (hours?.windows ?? []).map(({ days, start, end }) => ({ days, start, end }));

export const daysOf = (hours: CallingHours | undefined): DayRow[] =>
  (hours?.exceptions ?? []).map(({ date, windows }) => ({
    date,
    windows: windows.map(({ start, end }) => ({ start, end })),
  }));

const timeOfDay = /^(?:[01]\d|2[0-3]):[0-5]\d$/;

/** What the service itself says of hours that overlap is said when they are sent. */
const isSpan = ({ start, end }: Span): boolean =>
  timeOfDay.test(start) && (timeOfDay.test(end) || end === "24:00") && start < end;

const isHours = (row: HoursRow): boolean => row.days.length > 0 && isSpan(row);

const isDay = ({ date, windows }: DayRow): boolean => date !== "" && windows.every(isSpan);

/** What is wrong with the days that have hours of their own. */
export const daysProblem = (days: readonly DayRow[]): { days?: string } =>
  days.every(isDay) && new Set(days.map(({ date }) => date)).size === days.length
    ? {}
    : { days: "Give each line another date, and times such as 09:00 and 18:00, up to 24:00." };

/** What is wrong with them, under the name of the setting. */
export const hoursProblem = (hours: readonly HoursRow[]): { hours?: string } =>
  hours.every(isHours)
    ? {}
    : { hours: "Give each line its days, and times such as 09:00 and 18:00, up to 24:00." };

/** Without hours of weekdays there are none at all. What is no part of these settings stays as it is. */
export const toHours = (
  { hours, days }: { hours: readonly HoursRow[]; days: readonly DayRow[] },
  before: CallingHours | undefined,
): MessageInitShape<typeof CallingHoursSchema> | undefined =>
  hours.length === 0
    ? undefined
    : {
        windows: hours.map(({ days: weekdays, start, end }) => ({ days: weekdays.toSorted(), start, end })),
        exceptions: days.map(({ date, windows }) => ({
          date,
          windows: windows.map((span) => ({ ...span })),
        })),
        ...(before?.closeEarly === undefined ? {} : { closeEarly: before.closeEarly }),
      };
