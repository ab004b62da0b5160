import { useState } from "preact/hooks";
import type { BatchJob, ContactStatus } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { download } from "../../../data/service/download.ts";
import { refusalOf } from "../../../data/service/refusal.ts";
import { filePath } from "./contacts-address.ts";

/** Contacts of a job, all or those with some statuses, with what became of them, as a file. */
export function Download(props: { job: BatchJob; statuses: readonly ContactStatus[]; words: string }) {
  const { job, statuses, words } = props;
  const [state, setState] = useState<{ isBusy: boolean; problem: string }>({ isBusy: false, problem: "" });
  async function take(): Promise<void> {
    if (state.isBusy) return;
    setState({ isBusy: true, problem: "" });
    try {
      await download(filePath(job.batchJobId, statuses, true), `${job.name}.csv`);
      setState({ isBusy: false, problem: "" });
    } catch (error) {
      setState({ isBusy: false, problem: refusalOf(error).message });
    }
  }
  return (
    <div class="actions">
      <button type="button" aria-disabled={state.isBusy} onClick={() => void take()}>
        {state.isBusy ? "Downloading …" : words}
      </button>
      {state.problem !== "" && (
        <p class="problem" role="alert">
          {state.problem}
        </p>
      )}
    </div>
  );
}
