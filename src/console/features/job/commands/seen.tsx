import { useState } from "preact/hooks";
import { Notice } from "../../../ui/page/notice.tsx";
import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { changesBetween } from "./changes.ts";
import { Changes } from "./outcome-notice.tsx";

/**
 * The job that a viewer decides on while a dialog is open: as it was when it was opened, until the viewer has read how
 * it has changed since.
 */
export function useSeen(opened: BatchJob, job: BatchJob) {
  const [seen, setSeen] = useState(opened);
  const changes = changesBetween(seen, job);
  const notice = changes.length > 0 && (
    <Notice tone="warning">
      <p>
        <strong>The job has changed while this was open.</strong>
      </p>
      <Changes changes={changes} />
      <button type="button" onClick={() => setSeen(job)}>
        Go on with the job as it is now
      </button>
    </Notice>
  );
  return { seen, hasChanged: changes.length > 0, notice };
}
