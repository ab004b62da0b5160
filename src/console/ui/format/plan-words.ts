import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import type { PlanBatchJobResponse } from "../../../gen/callsheet/v1/plan_pb.ts";
import { horizonMs } from "../../../domain/time/day.ts";
import { counted } from "./numbers.ts";
import { dateOf, dayAndTime, duration, viewerZone } from "./times.ts";

/** A few minutes before a call may begin are none to speak of. */
const soonMs = 60_000;

/** How many of those who are open nobody will call; none that are known of without a plan. */
export const neverCalledIn = (plan: PlanBatchJobResponse | undefined): number =>
  plan === undefined ? 0 : plan.contactsNeverCalled + plan.contactsSuppressed;

/** What the plan of a job comes to, in sentences; times are this computer's. */
export function sentencesOf(plan: PlanBatchJobResponse, callSeconds: number, job: BatchJob): string[] {
  const start = dateOf(plan.startTime);
  const last = dateOf(plan.lastCallAt);
  const opens = plan.zoneSets.flatMap(({ opensAt }) => dateOf(opensAt)?.getTime() ?? []);
  const firstMs = Math.min(...opens);
  const { contactsNeverCalled: never, contactsSuppressed: listed, contactsLeft: left } = plan;
  const end = dateOf(job.endAt);
  const isCutOff = end !== undefined && end.getTime() - (start ?? end).getTime() < horizonMs;
  const wait = start !== undefined && Number.isFinite(firstMs) ? firstMs - start.getTime() : 0;
  return [
    ...(wait > soonMs
      ? [`The calling hours open at ${dayAndTime(new Date(firstMs), viewerZone)}; nobody is called before.`]
      : []),
    ...(start !== undefined && last !== undefined
      ? [
          `That takes about ${duration(last.getTime() - start.getTime() + callSeconds * 1_000)}, if a call lasts ${duration(callSeconds * 1_000)} and nobody has to be called twice. The last call begins about ${dayAndTime(last, viewerZone)}.`,
        ]
      : []),
    ...(never > 0
      ? [
          `${counted(never, "person", "people")} cannot be called: the calling hours never open for ${never === 1 ? "this one" : "them"}.`,
        ]
      : []),
    ...(listed > 0
      ? [`${counted(listed, "person is", "people are")} on the never-call list, and will be left out.`]
      : []),
    ...(left > 0
      ? [
          `${counted(left, "person", "people")} would be left ${isCutOff ? `when the job ends, ${dayAndTime(end, viewerZone)}` : "after 400 days"}.`,
        ]
      : []),
  ];
}
