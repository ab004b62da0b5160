import { type BatchJob, Outcome } from "../../gen/callsheet/v1/batch_job_pb.ts";
import type { CallingHours } from "../../gen/callsheet/v1/calling_hours_pb.ts";
import { msOf } from "./format/times.ts";
import { type HoursRow, hoursProblem, rowsOf, toHours } from "./hours.ts";

/** The settings of a job as they are being typed. */
export type Settings = {
  readonly name: string;
  readonly description: string;
  readonly fromPhoneNumberId: string;
  readonly concurrentCallLimit: string;
  readonly maxAttempts: string;
  readonly retryOn: readonly Outcome[];
  readonly retryMinutes: string;
  /** Empty for as many as the limits allow. */
  readonly callsPerSecond: string;
  readonly priority: string;
  /** None for any time. */
  readonly hours: readonly HoursRow[];
};

export const firstSettings: Settings = {
  name: "",
  description: "",
  fromPhoneNumberId: "",
  concurrentCallLimit: "5",
  maxAttempts: "3",
  retryOn: [Outcome.NO_ANSWER, Outcome.BUSY, Outcome.TIMEOUT],
  retryMinutes: "5, 30",
  callsPerSecond: "",
  priority: "5",
  hours: [],
};

/** The settings that a job has. */
export const settingsOf = (job: BatchJob): Settings => ({
  name: job.name,
  description: job.description,
  fromPhoneNumberId: job.fromPhoneNumberId,
  concurrentCallLimit: String(job.concurrentCallLimit),
  maxAttempts: String(job.maxAttempts),
  retryOn: job.retryOn,
  retryMinutes: job.retryDelays.map((delay) => String(msOf(delay) / 60_000)).join(", "),
  callsPerSecond: job.callsPerSecond === undefined ? "" : String(job.callsPerSecond),
  priority: String(job.priority),
  hours: rowsOf(job.callingHours),
});

const longestDelayMinutes = 30 * 24 * 60;

/** "5, 30" as seconds; undefined if it is not a list of minutes. */
export function readDelays(text: string): number[] | undefined {
  const minutes = text.split(",").map((part) => Number(part.trim() === "" ? Number.NaN : part.trim()));
  const isFine = minutes.length <= 10 && minutes.every((value) => value >= 0 && value <= longestDelayMinutes);
  return isFine ? minutes.map((value) => Math.round(value * 60)) : undefined;
}

const isWhole = (text: string, least: number, most: number): boolean =>
  /^\d{1,6}$/.test(text.trim()) && Number(text) >= least && Number(text) <= most;

const isPace = (text: string): boolean =>
  text.trim() === "" ||
  (/^\d{1,4}(\.\d{1,4})?$/.test(text.trim()) && Number(text) >= 0.01 && Number(text) <= 1_000);

export type Problems = Partial<Record<keyof Settings, string>>;

/** What the service would refuse, by field. */
export function problemsOf(settings: Settings): Problems {
  const tries = isWhole(settings.maxAttempts, 1, 10);
  return {
    ...(settings.name.trim() === "" ? { name: "Give the job a name." } : {}),
    ...(settings.fromPhoneNumberId.trim() === ""
      ? { fromPhoneNumberId: "Say which number to call from." }
      : {}),
    ...(isWhole(settings.concurrentCallLimit, 1, 1000)
      ? {}
      : { concurrentCallLimit: "Give a whole number from 1 to 1,000." }),
    ...(tries ? {} : { maxAttempts: "Give a whole number from 1 to 10." }),
    ...(tries && Number(settings.maxAttempts) > 1 && settings.retryOn.length === 0
      ? { retryOn: "Choose at least one, or set the attempts to 1." }
      : {}),
    ...(readDelays(settings.retryMinutes)
      ? {}
      : { retryMinutes: "Give minutes with commas between, such as 5, 30." }),
    ...(isPace(settings.callsPerSecond) ? {} : { callsPerSecond: "Give a number from 0.01 to 1,000." }),
    ...(isWhole(settings.priority, 1, 10) ? {} : { priority: "Give a whole number from 1 to 10." }),
    ...hoursProblem(settings.hours),
  };
}

/** The settings as the service takes them; what is undefined is as the service has it for all. */
export function toRequest(settings: Settings, before?: CallingHours) {
  const callingHours = toHours(settings.hours, before);
  const pace = settings.callsPerSecond.trim();
  return {
    name: settings.name.trim(),
    description: settings.description.trim(),
    fromPhoneNumberId: settings.fromPhoneNumberId.trim(),
    concurrentCallLimit: Number(settings.concurrentCallLimit),
    maxAttempts: Number(settings.maxAttempts),
    retryOn: [...settings.retryOn],
    retryDelays: (readDelays(settings.retryMinutes) ?? []).map((seconds) => ({ seconds: BigInt(seconds) })),
    ...(pace === "" ? {} : { callsPerSecond: Number(pace) }),
    priority: Number(settings.priority),
    ...(callingHours === undefined ? {} : { callingHours }),
  };
}

/** The field of UpdateBatchJob that each of them is; a job's number stays. */
const updatable: Partial<Record<keyof Settings, string>> = {
  name: "name",
  description: "description",
  concurrentCallLimit: "concurrent_call_limit",
  maxAttempts: "max_attempts",
  retryOn: "retry_on",
  retryMinutes: "retry_delays",
  callsPerSecond: "calls_per_second",
  priority: "priority",
  hours: "calling_hours",
};

/** The fields in which they differ, as an update names them. */
export const changedFields = (before: Settings, after: Settings): string[] =>
  Object.entries(updatable).flatMap(([key, field]) => {
    const name = key as keyof Settings;
    return JSON.stringify(before[name]) === JSON.stringify(after[name]) ? [] : [field];
  });
