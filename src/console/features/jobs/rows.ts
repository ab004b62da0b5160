import { type Signal, signal } from "@preact/signals";
import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";

/** `job` is what the row listens to. */
export type Row = { readonly id: string; readonly job: Signal<BatchJob> };

/** What the rows of the list show, and what they are yet to show: what is on the screen changes at once. */
export function createRows() {
  const shown = new Map<string, Signal<BatchJob>>();
  /** The rows that are on the screen, or nearly. */
  const seen = new Set<string>();
  /** The last word on the jobs of the others. */
  const waiting = new Map<string, BatchJob>();

  /** Tells the row of its job, unless something newer is known, which it shows then. */
  function show(job: BatchJob): Row {
    const id = job.batchJobId;
    const row = shown.get(id) ?? signal(job);
    shown.set(id, row);
    for (const each of [job, waiting.get(id) ?? job])
      if (each.revision >= row.value.revision) row.value = each;
    waiting.delete(id);
    return { id, job: row };
  }

  return {
    /** From now on these are the rows. */
    rowsOf(jobs: readonly BatchJob[]): Row[] {
      const rows = jobs.map(show);
      const ids = new Set(rows.map(({ id }) => id));
      for (const id of shown.keys()) if (!ids.has(id)) shown.delete(id);
      return rows;
    },
    /** Takes what a stream says of a job. */
    hear(job: BatchJob): void {
      if (!shown.has(job.batchJobId)) return;
      if (seen.has(job.batchJobId)) show(job);
      else waiting.set(job.batchJobId, job);
    },
    onSeen(id: string, isSeen: boolean): void {
      if (!isSeen) return void seen.delete(id);
      seen.add(id);
      const job = waiting.get(id);
      if (job !== undefined) show(job);
    },
    /** Shows those that nobody sees as they are, too. */
    catchUp(): void {
      for (const job of waiting.values()) show(job);
    },
    /** What has not been shown yet will not be. */
    forget: (): void => waiting.clear(),
  };
}
