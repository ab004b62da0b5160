import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { type Hold, HoldReason } from "../../../../gen/callsheet/v1/hold_pb.ts";
import { count, counted } from "../../../ui/format/numbers.ts";
import { dateOf, dayAndTime, viewerZone } from "../../../ui/format/times.ts";
import css from "./holds.module.css";

type Words = (until: string | undefined, job: BatchJob) => string;

const at = (until: string | undefined, before: string, otherwise = ""): string =>
  until === undefined ? otherwise : `${before} ${until}.`;

/** Why contacts are not being called, for people who have never seen the service. */
const words: ReadonlyMap<HoldReason, Words> = new Map<HoldReason, Words>([
  [
    HoldReason.NOT_STARTED,
    (until) => `wait for the start. ${at(until, "The job starts at", "Nobody has given it a time yet.")}`,
  ],
  [
    HoldReason.PAUSED,
    (until) =>
      `wait because the job is paused. ${at(until, "It goes on by itself at", "Resume it to go on.")}`,
  ],
  [HoldReason.CALLING_HOURS, (until) => `wait for the calling hours. ${at(until, "They open at")}`],
  [
    HoldReason.RETRY_DELAY,
    (until) => `were called without success and wait for another try. ${at(until, "The next one is due at")}`,
  ],
  [
    HoldReason.JOB_LIMIT,
    (_until, { concurrentCallLimit }) =>
      `wait for a free line: the job allows ${counted(concurrentCallLimit, "call")} at once.`,
  ],
  [
    HoldReason.ORGANIZATION_LIMIT,
    () => "wait for a free line: your organization has as many calls in progress as it may have at once.",
  ],
  [HoldReason.PACE, () => "wait for their turn: so many calls may begin in a second, and no more."],
  [
    HoldReason.NO_WORKER,
    () => "wait for a calling program: none has asked for contacts in the last minute. Is one running?",
  ],
]);

export function wordsOf({ reason, until }: Hold, job: BatchJob): string {
  const time = dateOf(until);
  const say = words.get(reason) ?? (() => "wait for another reason.");
  return say(time && dayAndTime(time, viewerZone), job).trim();
}

/** Why nobody, or not everybody, is being called now; nothing where everything goes on. */
export function Holds({ job }: { job: BatchJob }) {
  const holds = job.holds.filter(({ contacts }) => contacts > 0);
  if (holds.length === 0) return null;
  return (
    <section class="card" aria-labelledby="holds-title">
      <h2 id="holds-title">Why contacts are not being called</h2>
      <ul class={css.holds}>
        {holds.map((hold) => (
          <li key={hold.reason}>
            <strong>{count(hold.contacts)}</strong> {wordsOf(hold, job)}
          </li>
        ))}
      </ul>
    </section>
  );
}
