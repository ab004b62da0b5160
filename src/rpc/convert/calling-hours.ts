import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { readCallingHours, writeTimeOfDay } from "../../domain/time/hours-input.ts";
import type { CallingHours, DayWindow } from "../../domain/time/hours.ts";
import type {
  CallingHoursSchema,
  CallingHours as ProtoCallingHours,
} from "../../gen/callsheet/v1/calling_hours_pb.ts";
import { readDuration } from "./convert.ts";

/** The hours in a field of a request, refused with the words to write instead if they are none. */
export function readCallingHoursOf(
  field: string,
  { windows, exceptions, closeEarly }: ProtoCallingHours,
): CallingHours {
  const closeEarlyMs = closeEarly && readDuration(`${field}.close_early`, closeEarly);
  return readCallingHours({ windows, exceptions, closeEarlyMs }, field);
}

const toWindow = ({ startMinute, endMinute }: DayWindow) => ({
  start: writeTimeOfDay(startMinute),
  end: writeTimeOfDay(endMinute),
});

export const toCallingHours = (hours: CallingHours): MessageInitShape<typeof CallingHoursSchema> => ({
  windows: hours.windows.map((window) => ({ days: [...window.days], ...toWindow(window) })),
  exceptions: hours.exceptions.map(({ date, windows }) => ({ date, windows: windows.map(toWindow) })),
  closeEarly: durationFromMs(hours.closeEarlyMs),
});
