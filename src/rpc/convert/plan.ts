import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { PlanBatchJobRequest, PlanBatchJobResponseSchema } from "../../gen/callsheet/v1/plan_pb.ts";
import type { Assumptions, PlannedRun } from "../../jobs/plans.ts";
import { readDuration, readOutcomes } from "./convert.ts";

/** What a request assumes. Validation has seen that there is a duration. */
export function readAssumptions(request: PlanBatchJobRequest): Assumptions {
  const { startTime, assumedCallDuration: duration } = request;
  return {
    startTime: startTime && timestampDate(startTime),
    callDurationMs: duration === undefined ? 0 : readDuration("assumed_call_duration", duration),
    outcomes: request.assumedOutcomes.flatMap(({ outcome, share }) =>
      readOutcomes([outcome]).map((word) => ({ outcome: word, share })),
    ),
  };
}

/** No Timestamp is later, nor can any start be. */
const lastInstantMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

const toTimestamp = (ms: number) => timestampFromMs(Math.min(ms, lastInstantMs));

/** What would come after the last instant that there is is left out, or comes then. */
export const toPlan = (run: PlannedRun): MessageInitShape<typeof PlanBatchJobResponseSchema> => ({
  startTime: timestampFromMs(run.startMs),
  hours: run.hours
    .filter(({ fromMs }) => fromMs <= lastInstantMs)
    .map(({ fromMs, calls }) => ({ from: timestampFromMs(fromMs), calls })),
  zoneSets: run.sets.map(({ zones, contacts, opensAtMs }) => ({
    zones: [...zones],
    contacts,
    ...(opensAtMs === undefined ? {} : { opensAt: toTimestamp(opensAtMs) }),
  })),
  contactsNeverCalled: run.neverCalled,
  contactsSuppressed: run.suppressed,
  contactsLeft: run.leftOver,
  ...(run.lastCallAtMs === undefined ? {} : { lastCallAt: toTimestamp(run.lastCallAtMs) }),
});
