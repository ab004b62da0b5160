import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { count } from "../../../ui/format/numbers.ts";
import { startWords } from "../../../ui/format/wall-time.ts";
import { jobStatusWords } from "../../../ui/format/words.ts";

/** What the page shows of a job, by name, in words to compare. */
const shown: readonly (readonly [string, (job: BatchJob) => string])[] = [
  ["Status", ({ status }) => jobStatusWords.get(status) ?? "unknown"],
  ["Scheduled start", (job) => (job.scheduledStartTime === undefined ? "none" : startWords(job))],
  ["Contacts", ({ counts }) => count(counts?.total ?? 0)],
];

/** How a job has changed by commands and changes of its status, one sentence each. */
export function changesBetween(before: BatchJob, after: BatchJob): string[] {
  if (before.revision === after.revision) return [];
  const changes = shown.flatMap(([name, wordsOf]) => {
    const [was, is] = [wordsOf(before), wordsOf(after)];
    return was === is ? [] : [`${name}: ${was} → ${is}`];
  });
  return changes.length > 0
    ? changes
    : ["Somebody has sent it a command. What this page shows of it is as before."];
}
