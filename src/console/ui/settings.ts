import { Outcome } from "../../../gen/callsheet/v1/batch_job_pb.ts";

/** The settings of a new job as they are being typed. */
export type Settings = {
  readonly name: string;
  readonly description: string;
  readonly fromPhoneNumberId: string;
  readonly concurrentCallLimit: string;
  readonly maxAttempts: string;
  readonly retryOn: readonly Outcome[];
  readonly retryMinutes: string;
};

export const firstSettings: Settings = {
  name: "",
  description: "",
  fromPhoneNumberId: "",
  concurrentCallLimit: "5",
  maxAttempts: "3",
  retryOn: [Outcome.NO_ANSWER, Outcome.BUSY, Outcome.TIMEOUT],
  retryMinutes: "5, 30",
};

const longestDelayMinutes = 30 * 24 * 60;

/** "5, 30" as seconds; undefined if it is not a list of minutes. */
export function readDelays(text: string): number[] | undefined {
  const minutes = text.split(",").map((part) => Number(part.trim() === "" ? Number.NaN : part.trim()));
  const isFine = minutes.length <= 10 && minutes.every((value) => value >= 0 && value <= longestDelayMinutes);
  return isFine ? minutes.map((value) => Math.round(value * 60)) : undefined;
}

const isWhole = (text: string, least: number, most: number): boolean =>
  /^\d{1,6}$/.test(text.trim()) && Number(text) >= least && Number(text) <= most;

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
  };
}
