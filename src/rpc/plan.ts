import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { PlanBatchJobRequest, PlanBatchJobResponseSchema } from "../gen/callsheet/v1/plan_pb.ts";
import type { Assumptions, PlannedRun } from "../jobs/plans.ts";
import { readDuration, readOutcomes } from "./convert.ts";

/** What a request assumes. Validation has seen that there is a duration. */
export function readAssumptions(request: PlanBatchJobRequest): Assumptions {
  const { startTime, assumedCallDuration: duration } = request;
  return {
    startAt: startTime && timestampDate(startTime),
    callDurationMs: duration === undefined ? 0 : readDuration("assumed_call_duration", duration),
    outcomes: request.assumedOutcomes.flatMap(({ outcome, share }) =>
      readOutcomes([outcome]).map((word) => ({ outcome: word, share })),
    ),
  };
}

export const toPlan = (run: PlannedRun): MessageInitShape<typeof PlanBatchJobResponseSchema> => ({
  startTime: timestampFromMs(run.startMs),
  hours: run.hours.map(({ fromMs, calls }) => ({ from: timestampFromMs(fromMs), calls })),
  zoneSets: run.sets.map(({ zones, contacts, opensAtMs }) => ({
    zones: [...zones],
    contacts,
    ...(opensAtMs === undefined ? {} : { opensAt: timestampFromMs(opensAtMs) }),
  })),
  contactsNeverCalled: run.neverCalled,
  contactsLeft: run.leftOver,
  ...(run.lastCallAtMs === undefined ? {} : { lastCallAt: timestampFromMs(run.lastCallAtMs) }),
});
