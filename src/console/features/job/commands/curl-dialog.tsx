import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { AsCurl } from "../../../ui/form/as-curl.tsx";
import { Dialog } from "../../../ui/form/dialog.tsx";
import { commandTable } from "./command-table.ts";

/** The commands that the job takes now and that need no more than it, for programs. */
export const CurlDialog = ({ job, onClose }: { job: BatchJob; onClose: () => void }) => (
  <Dialog title="These commands as curl" onClose={onClose}>
    <p class="hint">
      Each has a request id, under which it may be repeated, and is for the job as you see it now: after
      another command on the job it is refused.
    </p>
    {commandTable
      .filter(({ command }) => job.allowedCommands.includes(command))
      .map(({ label, call }) => (
        <section key={label} aria-label={label}>
          <h3>{label}</h3>
          <AsCurl
            call={(requestId) =>
              call({ batchJobId: job.batchJobId, requestId, expectedRevision: job.revision })
            }
          />
        </section>
      ))}
    <div class="actions">
      <button type="button" onClick={onClose}>
        Close
      </button>
    </div>
  </Dialog>
);
