import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { type Hold, HoldReason } from "../../../../gen/callsheet/v1/hold_pb.ts";
import { counted } from "../../../ui/format/numbers.ts";
import { dateOf, dayAndTime, viewerZone } from "../../../ui/format/times.ts";

/** `wait` or `waits`, and so on, as there are many contacts or one. */
type Verbs = { readonly wait: string; readonly are: string; readonly were: string; readonly have: string };

const ofOne: Verbs = { wait: "waits", are: "is", were: "was", have: "has" };
const ofMany: Verbs = { wait: "wait", are: "are", were: "were", have: "have" };

type Words = (verbs: Verbs, until: string | undefined, job: BatchJob) => string;

const at = (until: string | undefined, before: string, otherwise = ""): string =>
  until === undefined ? otherwise : `${before} ${until}.`;

/** Why contacts are not being called, for people who have never seen the service. */
const words: ReadonlyMap<HoldReason, Words> = new Map<HoldReason, Words>([
  [HoldReason.SUPPRESSED, ({ are }) => `${are} on the never-call list, and will not be called.`],
  [
    HoldReason.NOT_STARTED,
    ({ wait }, until) =>
      `${wait} for the start. ${at(until, "The job starts at", "Nobody has given it a time yet.")}`,
  ],
  [
    HoldReason.PAUSED,
    ({ wait }, until) =>
      `${wait} because the job is paused. ${at(until, "It goes on by itself at", "Resume it to go on.")}`,
  ],
  [
    HoldReason.UNKNOWN_ZONE,
    ({ have }) => `${have} a number whose time zone nobody knows: the calling hours never open for it.`,
  ],
  [
    HoldReason.CALLING_HOURS,
    ({ wait }, until) => `${wait} for the calling hours. ${at(until, "They open at")}`,
  ],
  [
    HoldReason.RETRY_DELAY,
    ({ wait, were }, until) =>
      `${were} called without success and ${wait} for another try. ${at(until, "The next one is due at")}`,
  ],
  [
    HoldReason.JOB_LIMIT,
    ({ wait }, _until, { concurrentCallLimit }) =>
      `${wait} for a free line: the job allows ${counted(concurrentCallLimit, "call")} at once.`,
  ],
  [
    HoldReason.ORGANIZATION_LIMIT,
    ({ wait }) =>
      `${wait} for a free line: your organization has as many calls in progress as it may have at once.`,
  ],
  [HoldReason.PACE, ({ wait }) => `${wait} for a turn: so many calls may begin in a second, and no more.`],
  [
    HoldReason.NO_WORKER,
    ({ wait }) =>
      `${wait} for a calling program: none has asked for contacts in the last minute. Is one running?`,
  ],
]);

/** What goes on after how many contacts there are; empty for a reason that is newer than this page. */
export function wordsOf({ reason, until, contacts }: Hold, job: BatchJob): string {
  const time = dateOf(until);
  const verbs = contacts === 1 ? ofOne : ofMany;
  return (
    words
      .get(reason)?.(verbs, time && dayAndTime(time, viewerZone), job)
      .trim() ?? ""
  );
}
