import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CallingHours, CallingHoursSchema } from "../../gen/callsheet/v1/calling_hours_pb.ts";

/** Hours of some weekdays, 1 Monday to 7 Sunday, as they are being typed. */
export type HoursRow = { readonly days: readonly number[]; readonly start: string; readonly end: string };

/** The hours as rows; holidays and the like are none of them. */
export const rowsOf = (hours: CallingHours | undefined): HoursRow[] =>
  (hours?.windows ?? []).map(({ days, start, end }) => ({ days, start, end }));

const timeOfDay = /^(?:[01]\d|2[0-3]):[0-5]\d$/;

/** What the service itself says of hours that overlap is said when they are sent. */
const isHours = ({ days, start, end }: HoursRow): boolean =>
  days.length > 0 && timeOfDay.test(start) && (timeOfDay.test(end) || end === "24:00") && start < end;

/** What is wrong with them, under the name of the setting. */
export const hoursProblem = (hours: readonly HoursRow[]): { hours?: string } =>
  hours.every(isHours)
    ? {}
    : { hours: "Give each line its days, and times such as 09:00 and 18:00, up to 24:00." };

/** Hours that are no part of these settings, such as holidays, stay as they are. */
export const toHours = (
  hours: readonly HoursRow[],
  before: CallingHours | undefined,
): MessageInitShape<typeof CallingHoursSchema> | undefined =>
  hours.length === 0
    ? undefined
    : {
        windows: hours.map(({ days, start, end }) => ({ days: days.toSorted(), start, end })),
        exceptions: before?.exceptions ?? [],
        ...(before?.closeEarly === undefined ? {} : { closeEarly: before.closeEarly }),
      };
