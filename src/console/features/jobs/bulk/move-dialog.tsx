import { useEffect, useState } from "preact/hooks";
import { type BatchJob, BatchJobStatus } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../../data/service/client.ts";
import { refusalOf } from "../../../data/service/refusal.ts";
import { type Picked, asRequest, nothingPicked, useReading } from "../../../data/load/use-reading.ts";
import { AsCurl } from "../../../ui/form/as-curl.tsx";
import { Dialog } from "../../../ui/form/dialog.tsx";
import { counted } from "../../../ui/format/numbers.ts";
import { viewerZone } from "../../../ui/format/times.ts";
import { Loading, Notice } from "../../../ui/page/notice.tsx";
import { StartTimePicker } from "../../../ui/form/start-time-picker.tsx";
import type { ListAddress } from "../address.ts";
import type { Selection } from "../selection.ts";
import { type Found, findJobs } from "./find.ts";
import { callingEach } from "./for-each.ts";
import { MoveAll } from "./move-all.tsx";
import { RunProgress } from "./run-progress.tsx";
import { useRun } from "./use-run.ts";

type Props = { selection: Selection; address: ListAddress; onClose: () => void };

/** Gives all jobs that are selected and have not started another start. */
export function MoveDialog(props: Props) {
  const { selection, address, onClose } = props;
  const [found, setFound] = useState<Found>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    const statuses = [BatchJobStatus.PENDING, BatchJobStatus.SCHEDULED];
    findJobs(selection, address, statuses, stop.signal).then(
      (jobs) => stop.signal.aborted || setFound(jobs),
      (error: unknown) => stop.signal.aborted || setProblem(refusalOf(error).message),
    );
    return () => stop.abort();
  }, []);
  const jobs = found?.jobs ?? [];
  const Moving = selection === "all" ? MoveAll : MoveThese;
  return (
    <Dialog title="Reschedule jobs" onClose={onClose}>
      {problem !== "" && <Notice tone="bad">{problem}</Notice>}
      {found === undefined && problem === "" && <Loading what="the jobs" />}
      {found !== undefined && jobs.length === 0 && (
        <>
          <p>None of the jobs that are selected waits for its start: only such jobs can be rescheduled.</p>
          <div class="actions">
            <button type="button" onClick={onClose}>
              Close
            </button>
          </div>
        </>
      )}
      {found !== undefined && jobs.length > 0 && (
        <Moving jobs={jobs} isAtLeast={found.isAtLeast} address={address} onClose={onClose} />
      )}
    </Dialog>
  );
}

/** Jobs that wait for their start, and which list they are of. */
export type MovingProps = {
  jobs: readonly BatchJob[];
  isAtLeast: boolean;
  address: ListAddress;
  onClose: () => void;
};

/** Those that were picked one by one get one start time, each by a command of its own. */
function MoveThese({ jobs, onClose }: MovingProps) {
  const [picked, setPicked] = useState<Picked>(() => nothingPicked(viewerZone));
  const reading = useReading(picked);
  const { progress, run, halt } = useRun();
  const words = counted(jobs.length, "job");
  if (progress !== undefined) {
    return (
      <>
        <RunProgress progress={progress} done="rescheduled" />
        <div class="actions">
          <button type="button" onClick={progress.state === "over" ? onClose : halt}>
            {progress.state === "over" ? "Close" : "Stop"}
          </button>
        </div>
      </>
    );
  }
  return (
    <form
      class="stack"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (reading.kind !== "read") return;
        void run(jobs, (request) => service.rescheduleBatchJob({ ...request, ...asRequest(picked) }));
      }}
    >
      <p>{words} of those that are selected wait for their start. All of them get this one:</p>
      <StartTimePicker picked={picked} reading={reading} onPick={setPicked} />
      {reading.kind === "read" && (
        <AsCurl
          call={callingEach(jobs, BatchJobService.method.rescheduleBatchJob, (request) => ({
            ...request,
            ...asRequest(picked),
          }))}
        />
      )}
      <div class="actions">
        <button type="button" onClick={onClose}>
          Leave them as they are
        </button>
        <button type="submit" class="primary" aria-disabled={reading.kind !== "read"}>
          Reschedule {words}
        </button>
      </div>
    </form>
  );
}
