import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type BatchJobError, wrongField } from "../../domain/batch-job-error.ts";
import type {
  RescheduleBatchJobResponseSchema,
  RescheduleBatchJobsRequest,
  RescheduleBatchJobsResponseSchema,
} from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import type { BatchJobs, Move, Moved } from "../../jobs/batch-jobs.ts";
import { rescheduleMessages } from "../commands.ts";
import { durationMs, protoStatuses } from "./convert.ts";

/** Where a request moves starts to. */
export function readMove(request: RescheduleBatchJobsRequest): Move {
  const { scheduledStartTime, timezone, shift } = request;
  if (shift === undefined) return { requestedStartTime: scheduledStartTime, timeZone: timezone };
  if (scheduledStartTime !== "") {
    throw wrongField("shift", "it is given beside scheduled_start_time; give one of them");
  }
  if (timezone !== "") throw wrongField("timezone", "with shift each job keeps its own; leave it out");
  const { seconds, nanos } = shift;
  const isValid = Math.abs(nanos) < 1e9 && (seconds === 0n || nanos === 0 || seconds > 0n === nanos > 0);
  if (!isValid || nanos % 1e6 !== 0) {
    throw wrongField(
      "shift",
      "its nanos must be whole milliseconds, below a second, with the sign of its seconds",
    );
  }
  const shiftMs = durationMs(shift);
  if (shiftMs === 0) throw wrongField("shift", "it moves nothing; give a time forward, or back below 0");
  return { shiftMs };
}

type Answer = Awaited<ReturnType<BatchJobs["reschedule"]>>;

/** What RescheduleBatchJob answers. */
export const toRescheduled = (moved: Answer): MessageInitShape<typeof RescheduleBatchJobResponseSchema> => ({
  success: true,
  message: rescheduleMessages[moved.statusBefore] ?? "",
  batchJobId: moved.batchJobId,
  scheduledStartTime: timestampFromMs(moved.scheduledStartTimeMs),
  status: protoStatuses.scheduled,
  oldJobCancelled: moved.entryRemoved,
  newScheduledJobId: moved.newScheduledJobId,
});

type Message = MessageInitShape<typeof RescheduleBatchJobsResponseSchema>;

const toRefused = (batchJobId: string, { reason, message, metadata }: BatchJobError): Message => ({
  part: { case: "refused", value: { batchJobId, code: reason, message, metadata: { ...metadata } } },
});

/** The stream: what became of each job, and a summary of it at the end. */
export async function* toParts(moved: AsyncIterable<Moved>, { dryRun }: { dryRun: boolean }) {
  const summary = { movedCount: 0, refusedCount: 0 };
  for await (const one of moved) {
    if ("refusal" in one) {
      summary.refusedCount += 1;
      yield toRefused(one.batchJobId, one.refusal);
      continue;
    }
    summary.movedCount += 1;
    const value = toRescheduled(one.answer);
    yield {
      part: { case: "moved", value: dryRun ? { ...value, newScheduledJobId: "" } : value },
    } satisfies Message;
  }
  yield { part: { case: "summary", value: summary } } satisfies Message;
}
