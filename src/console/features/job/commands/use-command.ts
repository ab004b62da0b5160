import { useRef, useState } from "preact/hooks";
import { service } from "../../../data/service/client.ts";
import { insist } from "../../../data/service/insist.ts";
import { refusalOf } from "../../../data/service/refusal.ts";
import { newRequestId } from "../../../data/service/request-id.ts";
import type { BatchJob, BatchJobStatus } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { changesBetween } from "./changes.ts";

/** What every command on a job is sent with. */
export type CommandRequest = {
  readonly batchJobId: string;
  readonly requestId: string;
  readonly expectedRevision: bigint;
};

/** A command on a job, and what tells it from another one: the same words, the same command. */
export type Command = {
  readonly words: string;
  readonly send: (request: CommandRequest) => Promise<{ message?: string; status?: BatchJobStatus }>;
};

export type Outcome =
  /** It holds until the job has another status than before the command and right after it. */
  | { readonly kind: "done"; readonly message: string; readonly statuses: readonly BatchJobStatus[] }
  | { readonly kind: "changed"; readonly changes: readonly string[] }
  | { readonly kind: "gone" }
  | { readonly kind: "refused"; readonly message: string };

const tries = 4;

/** What a button is replaced by takes no click for so long: it might be the second half of a double click. */
const settleMs = 600;

const noAnswer =
  "The service did not answer, so that this page does not know whether it was done. You may safely press the button again: it is not done twice.";

/**
 * Sends commands on a job as the viewer saw it, one at a time. The same command on the same revision has the same
 * request id, so that a second click, or a click after no answer at all, does nothing twice.
 */
export function useCommand() {
  const [outcome, setOutcome] = useState<Outcome>();
  const [isBusy, setBusy] = useState(false);
  const busy = useRef(false);
  const last = useRef({ command: "", requestId: "" });

  async function run(command: Command, seen: BatchJob): Promise<Outcome | undefined> {
    if (busy.current) return undefined;
    busy.current = true;
    setBusy(true);
    setOutcome(undefined);
    const same = `${seen.batchJobId} ${seen.revision} ${command.words}`;
    if (last.current.command !== same) last.current = { command: same, requestId: newRequestId() };
    const request = {
      batchJobId: seen.batchJobId,
      requestId: last.current.requestId,
      expectedRevision: seen.revision,
    };
    const next = await outcomeOf(command, request, seen);
    setOutcome(next);
    setTimeout(() => {
      busy.current = false;
      setBusy(false);
    }, settleMs);
    return next;
  }

  return { run, outcome, isBusy, forget: () => setOutcome(undefined) };
}

async function outcomeOf(command: Command, request: CommandRequest, seen: BatchJob): Promise<Outcome> {
  try {
    const { message = "", status = seen.status } = await insist(() => command.send(request), { tries });
    return { kind: "done", message, statuses: [seen.status, status] };
  } catch (error) {
    const { reason, message, isAway } = refusalOf(error);
    if (isAway) return { kind: "refused", message: noAnswer };
    if (reason === "job_not_found") return { kind: "gone" };
    if (reason === "revision_mismatch") return await changedSince(seen);
    return { kind: "refused", message };
  }
}

async function changedSince(seen: BatchJob): Promise<Outcome> {
  try {
    const { batchJob } = await insist(() => service.getBatchJob({ batchJobId: seen.batchJobId }), { tries });
    return { kind: "changed", changes: batchJob ? changesBetween(seen, batchJob) : [] };
  } catch (error) {
    const { reason, message } = refusalOf(error);
    return reason === "job_not_found" ? { kind: "gone" } : { kind: "refused", message };
  }
}
