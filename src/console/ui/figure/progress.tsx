import type { ContactCounts } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { count, share } from "../format/numbers.ts";
import { final, finished } from "../format/words.ts";
import css from "./progress.module.css";

const percent = (part: number, all: number): string => (all === 0 ? "0%" : `${(100 * part) / all}%`);

/** How far a job is: completed contacts first, then those that ended otherwise, then cancelled ones. */
export function JobProgress({ counts }: { counts: ContactCounts }) {
  const done = finished(counts);
  const words = `${share(done, counts.total)} finished: ${count(done)} of ${count(counts.total)}`;
  return (
    <div
      class={css.progress}
      role="progressbar"
      aria-label="Contacts finished"
      aria-valuemin={0}
      aria-valuemax={counts.total}
      aria-valuenow={done}
      aria-valuetext={words}
    >
      <span class={css.completed} style={{ width: percent(counts.completed, counts.total) }} />
      <span class={css.otherwise} style={{ width: percent(done - counts.completed, counts.total) }} />
      <span class={css.cancelled} style={{ width: percent(final(counts) - done, counts.total) }} />
    </div>
  );
}

/** How far something else is. */
export function PlainProgress({ label, value, max }: { label: string; value: number; max: number }) {
  return (
    <div
      class={css.progress}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={max}
      aria-valuenow={value}
    >
      <span class={css.plain} style={{ width: percent(value, max) }} />
    </div>
  );
}
