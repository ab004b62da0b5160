import { useEffect, useState } from "preact/hooks";
import type { Refusal } from "../../data/refusal.ts";
import { watchJobs } from "../../data/watch.ts";
import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { record } from "./history.ts";

/** The job as it is now, for as long as the page shows it; undefined until the first word of it. */
export function useJob(id: string): { job: BatchJob | undefined; refusal: Refusal | undefined } {
  const [job, setJob] = useState<BatchJob>();
  const [refusal, setRefusal] = useState<Refusal>();
  useEffect(() => {
    const stop = new AbortController();
    const onJob = (next: BatchJob) => {
      record(next, Date.now());
      setJob(next);
    };
    void watchJobs([id], { onJob, onRefused: setRefusal }, stop.signal);
    return () => stop.abort();
  }, [id]);
  return { job, refusal };
}
