import { wrongField } from "../batch-job-error.ts";
import type { CallingHours, DayWindow } from "./hours.ts";
import { dayMs } from "./day.ts";

type WindowInput = { readonly start: string; readonly end: string };

/** Calling hours as a caller writes them: times of day as `HH:MM`, `24:00` for the midnight that ends a day. */
export type CallingHoursInput = {
  readonly windows: readonly (WindowInput & { readonly days: readonly number[] })[];
  readonly exceptions: readonly { readonly date: string; readonly windows: readonly WindowInput[] }[];
  readonly closeEarlyMs?: number | undefined;
};

export const defaultCloseEarlyMs = 2 * 60_000;

export const mostWindows = 100;
export const mostExceptions = 400;
export const mostWindowsOfException = 10;
export const mostCloseEarlyMs = 60 * 60_000;

/** Reads hours that are given as the field named, and refuses what is none with the words to write instead. */
export function readCallingHours(input: CallingHoursInput, field: string): CallingHours {
  const { closeEarlyMs = defaultCloseEarlyMs } = input;
  checkCount(input.windows, mostWindows, `${field}.windows`);
  checkCount(input.exceptions, mostExceptions, `${field}.exceptions`);
  if (!(closeEarlyMs >= 0 && closeEarlyMs <= mostCloseEarlyMs)) {
    throw wrongField(`${field}.close_early`, "it must be from 0 to 60 minutes");
  }
  const windows = input.windows.map((window, i) => readWindow(window, `${field}.windows[${i}]`));
  const exceptions = input.exceptions.map((exception, i) =>
    readException(exception, `${field}.exceptions[${i}]`),
  );
  for (const day of weekdays.keys()) {
    const ofDay = windows.map(({ days, ...window }) => (days.includes(day + 1) ? window : undefined));
    checkApart(ofDay, `${field}.windows`, ` on ${weekdays[day]}`);
  }
  for (const [i, { date }] of exceptions.entries()) {
    const first = exceptions.findIndex((each) => each.date === date);
    if (first === i) continue;
    throw wrongField(
      `${field}.exceptions[${i}].date`,
      `${date} is that of exceptions[${first}] too; write one exception for a date, with all of its windows`,
    );
  }
  if (windows.length === 0 && exceptions.every((exception) => exception.windows.length === 0)) {
    throw wrongField(
      `${field}.windows`,
      "without a window nobody is ever called; to allow calls at any time write days 1, 2, 3, 4, 5, 6, 7 from 00:00 to 24:00",
    );
  }
  return { windows, exceptions, closeEarlyMs };
}

const weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] as const;

/** A time of day as callers write it. */
export const writeTimeOfDay = (minute: number): string =>
  [Math.floor(minute / 60), minute % 60].map((part) => String(part).padStart(2, "0")).join(":");

function checkCount(list: readonly unknown[], most: number, field: string): void {
  if (list.length > most) throw wrongField(field, `there must be at most ${most}, not ${list.length}`);
}

const onDays = (days: readonly number[]): string => ` on days ${days.join(", ")}`;

function readWindow(window: CallingHoursInput["windows"][number], field: string) {
  const { days } = window;
  if (days.length === 0 || days.some((day) => !Number.isInteger(day) || day < 1 || day > 7)) {
    throw wrongField(`${field}.days`, "it must have at least one day, from 1 (Monday) to 7 (Sunday)");
  }
  if (new Set(days).size < days.length) throw wrongField(`${field}.days`, "each day must be there once");
  const after = days.map((day) => (day % 7) + 1);
  return { days: [...days], ...readTimes(window, field, onDays(days), onDays(after)) };
}

function readException({ date, windows }: CallingHoursInput["exceptions"][number], field: string) {
  const atMs = /^\d{4}-\d\d-\d\d$/.test(date) ? Date.parse(date) : Number.NaN;
  if (Number.isNaN(atMs) || isoDate(atMs) !== date) {
    throw wrongField(`${field}.date`, 'it must be a date on the calendar, such as "2027-12-24"');
  }
  checkCount(windows, mostWindowsOfException, `${field}.windows`);
  const read = windows.map((window, i) =>
    readTimes(window, `${field}.windows[${i}]`, "", ` on ${isoDate(atMs + dayMs)}`),
  );
  checkApart(read, `${field}.windows`, "");
  return { date, windows: read };
}

const isoDate = (atMs: number): string => new Date(atMs).toISOString().slice(0, 10);

const minuteOf = (text: string): number | undefined => {
  const [, hour, minute] = /^([01]\d|2[0-4]):([0-5]\d)$/.exec(text) ?? [];
  const sum = Number(hour) * 60 + Number(minute);
  return sum <= 24 * 60 ? sum : undefined;
};

/** `sameDay` and `dayAfter` say of which days a window is that is written in two. */
function readTimes({ start, end }: WindowInput, field: string, sameDay: string, dayAfter: string): DayWindow {
  const startMinute = minuteOf(start);
  const endMinute = minuteOf(end);
  if (startMinute === undefined || startMinute === 24 * 60) {
    throw wrongField(`${field}.start`, 'it must be a time of day from "00:00" to "23:59"');
  }
  if (endMinute === undefined) {
    throw wrongField(`${field}.end`, 'it must be a time of day from "00:01" to "24:00"');
  }
  if (startMinute === endMinute) {
    throw wrongField(`${field}.end`, "it must be after start; for a whole day write 00:00 to 24:00");
  }
  if (endMinute === 0) throw wrongField(`${field}.end`, "the midnight that ends a day is written 24:00");
  if (endMinute < startMinute) {
    throw wrongField(
      `${field}.end`,
      `the window passes midnight; write two instead: ${start} to 24:00${sameDay}, and 00:00 to ${end}${dayAfter}`,
    );
  }
  return { startMinute, endMinute };
}

/** Refuses windows of one day that overlap; undefined ones are not of that day. */
function checkApart(windows: readonly (DayWindow | undefined)[], field: string, when: string): void {
  for (const [i, a] of windows.entries()) {
    for (const [j, b] of windows.slice(0, i).entries()) {
      if (a === undefined || b === undefined) continue;
      if (a.startMinute >= b.endMinute || b.startMinute >= a.endMinute) continue;
      const start = writeTimeOfDay(Math.min(a.startMinute, b.startMinute));
      const end = writeTimeOfDay(Math.max(a.endMinute, b.endMinute));
      throw wrongField(
        `${field}[${i}]`,
        `it overlaps windows[${j}]${when}; write one window from ${start} to ${end} instead`,
      );
    }
  }
}
