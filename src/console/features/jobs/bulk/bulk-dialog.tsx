import { useEffect, useState } from "preact/hooks";
import { refusalOf } from "../../../data/service/refusal.ts";
import { AsCurl } from "../../../ui/form/as-curl.tsx";
import { Dialog } from "../../../ui/form/dialog.tsx";
import { counted } from "../../../ui/format/numbers.ts";
import { Loading, Notice } from "../../../ui/page/notice.tsx";
import type { ListAddress } from "../address.ts";
import type { Selection } from "../selection.ts";
import { type BulkCommand, type BulkRow, bulkTable } from "./bulk-table.ts";
import css from "./bulk.module.css";
import { type Found, findJobs, mostJobs } from "./find.ts";
import { RunProgress } from "./run-progress.tsx";
import { useRun } from "./use-run.ts";

/** Asks once for all jobs that are selected, in their own figures; then tells them, and shows how far that is. */
export function BulkDialog(props: {
  command: BulkCommand;
  selection: Selection;
  address: ListAddress;
  onClose: () => void;
}) {
  const { onClose } = props;
  const row: BulkRow = bulkTable[props.command];
  const [found, setFound] = useState<Found>();
  const [problem, setProblem] = useState("");
  const { progress, run, halt } = useRun();
  useEffect(() => {
    const stop = new AbortController();
    findJobs(props.selection, props.address, row.statuses, stop.signal).then(
      (jobs) => stop.signal.aborted || setFound(jobs),
      (error: unknown) => stop.signal.aborted || setProblem(refusalOf(error).message),
    );
    return () => stop.abort();
  }, []);
  const isGoing = progress !== undefined && progress.state !== "over";
  const jobs = found?.jobs ?? [];
  const words = found === undefined ? "these jobs" : counted(jobs.length, "job");
  return (
    <Dialog
      title={progress === undefined ? row.title(words) : row.yes(words)}
      onClose={onClose}
      isHeld={isGoing}
    >
      {problem !== "" && <Notice tone="bad">{problem}</Notice>}
      {found === undefined && problem === "" && <Loading what="the jobs" />}
      {found !== undefined && progress === undefined && (
        <What found={found} row={row} selection={props.selection} />
      )}
      {progress === undefined && jobs.length > 0 && <AsCurl call={row.calling(jobs)} />}
      {progress !== undefined && <RunProgress progress={progress} done={row.done} />}
      <div class="actions">
        {isGoing ? (
          <button type="button" aria-disabled={progress.state === "stopping"} onClick={halt}>
            Stop
          </button>
        ) : (
          <button type="button" onClick={onClose}>
            {progress === undefined ? row.no : "Close"}
          </button>
        )}
        {progress === undefined && jobs.length > 0 && (
          <button type="button" class={row.look} onClick={() => void run(jobs, row.send)}>
            {row.yes(words)}
          </button>
        )}
      </div>
    </Dialog>
  );
}

function What({ found, row, selection }: { found: Found; row: BulkRow; selection: Selection }) {
  const { jobs, isAtLeast } = found;
  const left = selection === "all" ? 0 : selection.size - jobs.length;
  return (
    <ul class={css.sentences}>
      {jobs.length > 0 && row.sentences(jobs).map((sentence) => <li key={sentence}>{sentence}</li>)}
      {jobs.length === 0 && <li>None of the jobs that are selected takes this. {row.others}</li>}
      {jobs.length > 0 && left > 0 && (
        <li>
          {counted(left, "job")} that {left === 1 ? "is" : "are"} selected, too, will be left alone.{" "}
          {row.others}
        </li>
      )}
      {isAtLeast && (
        <li>That is {counted(mostJobs, "job")}, the most at once; for the rest do it again afterwards.</li>
      )}
    </ul>
  );
}
