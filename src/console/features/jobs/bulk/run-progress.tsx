import { href } from "../../../data/page/route.ts";
import { count, counted } from "../../../ui/format/numbers.ts";
import { Notice } from "../../../ui/page/notice.tsx";
import { PlainProgress } from "../../../ui/figure/progress.tsx";
import css from "./bulk.module.css";
import type { Progress, Refused } from "./use-run.ts";

/** How far commands to many jobs are, and what became of them. */
export function RunProgress({ progress, done }: { progress: Progress; done: string }) {
  const { all, sent, refused, state } = progress;
  const succeeded = sent - refused.length;
  const rest = all - sent;
  return (
    <>
      {state === "over" ? (
        <Notice tone={refused.length > 0 || rest > 0 ? "warning" : "good"}>
          <p>
            {counted(succeeded, "job")} {done}.
            {rest > 0 && ` Stopped: ${counted(rest, "job was", "jobs were")} left as before.`}
          </p>
        </Notice>
      ) : (
        <>
          <p role="status">
            {count(sent)} of {counted(all, "job")}
            {state === "stopping" && "; stopping …"}
          </p>
          <PlainProgress label="Jobs done" value={sent} max={all} />
        </>
      )}
      {refused.length > 0 && <Refusals refused={refused} />}
    </>
  );
}

const Refusals = ({ refused }: { refused: readonly Refused[] }) => (
  <section aria-label="Refused">
    <p class="problem">{counted(refused.length, "job was", "jobs were")} not:</p>
    <ul class={css.refusals} tabIndex={0} aria-label="Jobs that were refused">
      {refused.map(({ job, why }) => (
        <li key={job.batchJobId}>
          <a href={href(["jobs", job.batchJobId])} target="_blank" dir="auto">
            {job.name}
          </a>{" "}
          {why}
        </li>
      ))}
    </ul>
  </section>
);
