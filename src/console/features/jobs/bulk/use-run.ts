import { useEffect, useRef, useState } from "preact/hooks";
import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { insist } from "../../../data/service/insist.ts";
import { refusalOf } from "../../../data/service/refusal.ts";
import { newRequestId } from "../../../data/service/request-id.ts";
import { askBeforeLeaving } from "../../../data/page/route.ts";
import { each } from "./each.ts";

export type Refused = { readonly job: BatchJob; readonly why: string };

/** How far the commands are. `sent` is how many have been answered. */
export type Progress = {
  readonly all: number;
  readonly sent: number;
  readonly refused: readonly Refused[];
  readonly state: "going" | "stopping" | "over";
};

type Send = (request: {
  batchJobId: string;
  requestId: string;
  expectedRevision: bigint;
}) => Promise<unknown>;

const atOnce = 8;
const tries = 10;

const noAnswer =
  "The service did not answer, so that it is not known whether it was done. It may safely be sent again.";

function whyOf(error: unknown): string {
  const { reason, message, isAway } = refusalOf(error);
  if (isAway) return noAnswer;
  return reason === "revision_mismatch" ? "It has changed meanwhile; nothing was done." : message;
}

/**
 * Sends one command to each job as it was seen, some at a time, each with a request id of its own for all of its tries;
 * what is refused is told by job. Stopped, or left, it sends no other.
 */
export function useRun() {
  const [progress, setProgress] = useState<Progress>();
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);

  async function run(jobs: readonly BatchJob[], send: Send): Promise<void> {
    const { signal } = stop.current;
    let sent = 0;
    const refused: Refused[] = [];
    const tell = (state: Progress["state"]) =>
      setProgress({ all: jobs.length, sent, refused: [...refused], state });
    tell("going");
    const forget = askBeforeLeaving(() => "Not all of the jobs have been told yet.");
    await each(jobs, { atOnce, signal }, async (job) => {
      const { batchJobId, revision: expectedRevision } = job;
      const request = { batchJobId, requestId: newRequestId(), expectedRevision };
      await insist(() => send(request), { tries }).catch(
        (error: unknown) => void refused.push({ job, why: whyOf(error) }),
      );
      sent++;
      tell(signal.aborted ? "stopping" : "going");
    });
    forget();
    tell("over");
  }

  function halt(): void {
    stop.current.abort();
    setProgress((now) => now && { ...now, state: now.state === "over" ? "over" : "stopping" });
  }

  return { progress, run, halt };
}
