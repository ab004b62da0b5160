import { type BatchJob, Outcome } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import type { CallingHours } from "../../../gen/callsheet/v1/calling_hours_pb.ts";
import { type Duration, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { dateOf, msOf, viewerZone } from "../format/times.ts";
import { type DayRow, type HoursRow, daysOf, daysProblem, hoursProblem, rowsOf, toHours } from "./hours.ts";

/** A label as it is being typed. */
export type LabelRow = { readonly key: string; readonly value: string };

/** When a job pauses itself, as it is being typed. */
export type PauseRow = {
  readonly window: string;
  readonly percent: string;
  readonly outcomes: readonly Outcome[];
};

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
  /** Days with hours of their own. */
  readonly days: readonly DayRow[];
  /** Of the job's hours. */
  readonly timezone: string;
  /** Whether the hours are those of the zones of phone numbers instead. */
  readonly zonesFromPhone: boolean;
  /** Empty for a limit that holds from the start. */
  readonly rampMinutes: string;
  /** Empty for a scheduled start that is made as soon as it can be. */
  readonly lateMinutes: string;
  readonly pause: PauseRow | undefined;
  /** The instant as ISO 8601; empty for none, and `?` while the service has not read what is typed. */
  readonly endAt: string;
  readonly labels: readonly LabelRow[];
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
  days: [],
  timezone: viewerZone,
  zonesFromPhone: false,
  rampMinutes: "",
  lateMinutes: "",
  pause: undefined,
  endAt: "",
  labels: [],
};

/** What is offered to whom has a job pause itself. */
export const firstPause: PauseRow = {
  window: "100",
  percent: "50",
  outcomes: [Outcome.CARRIER_ERROR, Outcome.FAILED],
};

const minutesOf = (duration: Duration | undefined): string =>
  duration === undefined ? "" : String(msOf(duration) / 60_000);

/** Minutes as they were typed; undefined for none. */
function toDuration(text: string): { seconds: bigint; nanos: number } | undefined {
  const ms = Math.round(Number(text) * 60_000);
  if (!(ms > 0)) return undefined;
  return { seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1_000_000 };
}

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
  days: daysOf(job.callingHours),
  timezone: job.timezone,
  zonesFromPhone: job.zonesFromPhone,
  rampMinutes: minutesOf(job.rampUp),
  lateMinutes: minutesOf(job.startWithin),
  pause: job.pauseWhen && {
    window: String(job.pauseWhen.window),
    percent: String(rounded(job.pauseWhen.share * 100)),
    outcomes: job.pauseWhen.outcomes,
  },
  endAt: dateOf(job.endAt)?.toISOString() ?? "",
  labels: Object.entries(job.labels)
    .map(([key, value]) => ({ key, value }))
    .toSorted((one, other) => (one.key < other.key ? -1 : 1)),
});

/** A number without what only computers see at its end. */
const rounded = (value: number): number => Number(value.toPrecision(12));

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

const isMinutes = (text: string, most: number): boolean =>
  text.trim() === "" || (/^\d{1,6}(\.\d{1,4})?$/.test(text.trim()) && Number(text) <= most);

function pauseProblem(pause: PauseRow | undefined): { pause?: string } {
  if (pause === undefined) return {};
  const isFine =
    isWhole(pause.window, 20, 10_000) &&
    /^\d{1,3}(\.\d{1,2})?$/.test(pause.percent.trim()) &&
    Number(pause.percent) >= 1 &&
    Number(pause.percent) <= 100 &&
    pause.outcomes.length > 0;
  return isFine ? {} : { pause: "Give 20 to 10,000 calls, 1 to 100 %, and at least one way to end." };
}

const mostLabels = 20;

function labelsProblem(labels: readonly LabelRow[]): { labels?: string } {
  const keys = labels.map(({ key }) => key.trim());
  if (keys.includes("")) return { labels: "Give every label a name, or remove it." };
  if (new Set(keys).size < keys.length) return { labels: "Give every label another name." };
  return keys.length > mostLabels ? { labels: `A job has at most ${mostLabels} labels.` } : {};
}

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
    ...daysProblem(settings.days),
    ...(isMinutes(settings.rampMinutes, longestDelayMinutes)
      ? {}
      : { rampMinutes: "Give minutes, at most 30 days of them." }),
    ...(isMinutes(settings.lateMinutes, longestDelayMinutes)
      ? {}
      : { lateMinutes: "Give minutes, at most 30 days of them." }),
    ...pauseProblem(settings.pause),
    ...(settings.endAt === "?" ? { endAt: "Give an end that the service takes, or none." } : {}),
    ...labelsProblem(settings.labels),
  };
}

/** By what time a new job calls whom, which stays. */
export const zonesOf = ({ timezone, zonesFromPhone }: Settings) => ({
  timezone: timezone.trim(),
  zonesFromPhone,
});

/** The settings as the service takes them; what is undefined is as the service has it for all. */
export function toRequest(settings: Settings, before?: CallingHours) {
  const callingHours = toHours(settings, before);
  const pace = settings.callsPerSecond.trim();
  const rampUp = toDuration(settings.rampMinutes);
  const startWithin = toDuration(settings.lateMinutes);
  const { pause, endAt } = settings;
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
    ...(rampUp === undefined ? {} : { rampUp }),
    ...(startWithin === undefined ? {} : { startWithin }),
    ...(pause === undefined
      ? {}
      : {
          pauseWhen: {
            window: Number(pause.window),
            share: rounded(Number(pause.percent) / 100),
            outcomes: [...pause.outcomes],
          },
        }),
    ...(endAt === "" || endAt === "?" ? {} : { endAt: timestampFromDate(new Date(endAt)) }),
    labels: Object.fromEntries(settings.labels.map(({ key, value }) => [key.trim(), value.trim()])),
  };
}

/** The field of UpdateBatchJob that each of them is; a job's number stays, and by what time it calls whom. */
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
  days: "calling_hours",
  rampMinutes: "ramp_up",
  lateMinutes: "start_within",
  pause: "pause_when",
  endAt: "end_at",
  labels: "labels",
};

/** The fields in which they differ, as an update names them. */
export const changedFields = (before: Settings, after: Settings): string[] => {
  const changed = Object.entries(updatable).flatMap(([key, field]) => {
    const name = key as keyof Settings;
    return JSON.stringify(before[name]) === JSON.stringify(after[name]) ? [] : [field];
  });
  return [...new Set(changed)];
};
