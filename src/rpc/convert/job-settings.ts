import { timestampDate } from "@bufbuild/protobuf/wkt";
import { wrongField } from "../../domain/batch-job-error.ts";
import type { JobSettings } from "../../domain/jobs/batch-job.ts";
import {
  type CreateBatchJobRequest,
  type UpdateBatchJobRequest,
  UpdateBatchJobRequestSchema,
} from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import { readCallingHoursOf } from "./calling-hours.ts";
import { readDuration, readOutcomes } from "./convert.ts";
import { changedIn, isGiven } from "./update-mask.ts";

type Request = CreateBatchJobRequest | UpdateBatchJobRequest;

const defaults = {
  concurrentCallLimit: 5,
  maxAttempts: 3,
  retryOn: ["no_answer", "busy", "timeout"],
  retryDelaysMs: [5 * 60_000, 30 * 60_000],
  priority: 5,
  pausingOutcomes: ["carrier_error", "failed"],
} as const;

const orElse = <T>(values: T[], fallback: readonly T[]): readonly T[] =>
  values.length > 0 ? values : fallback;

/**
 * What a job is set to by the fields of a request that creates or changes it, by their names; what a request does not
 * give has its default.
 */
const readers = {
  name: ({ name = "" }) => ({ name }),
  description: ({ description = "" }) => ({ description }),
  labels: ({ labels }) => ({ labels }),
  concurrentCallLimit: ({ concurrentCallLimit = defaults.concurrentCallLimit }) => ({ concurrentCallLimit }),
  maxAttempts: ({ maxAttempts = defaults.maxAttempts }) => ({ maxAttempts }),
  retryOn: ({ retryOn }) => ({ retryOn: orElse(readOutcomes(retryOn), defaults.retryOn) }),
  retryDelays: ({ retryDelays }) => ({
    retryDelaysMs: orElse(
      retryDelays.map((delay, i) => readDuration(`retry_delays[${i}]`, delay)),
      defaults.retryDelaysMs,
    ),
  }),
  callsPerSecond: ({ callsPerSecond = null }) => ({ callsPerSecond }),
  rampUp: ({ rampUp }) => {
    const rampUpMs = rampUp === undefined ? 0 : readDuration("ramp_up", rampUp);
    return { rampUpMs: rampUpMs === 0 ? null : rampUpMs };
  },
  priority: ({ priority = defaults.priority }) => ({ priority }),
  startWithin: ({ startWithin }) => ({
    startWithinMs: startWithin === undefined ? null : readDuration("start_within", startWithin),
  }),
  pauseWhen: ({ pauseWhen }) => ({
    pauseWhen:
      pauseWhen === undefined
        ? null
        : {
            window: pauseWhen.window,
            share: pauseWhen.share,
            outcomes: orElse(readOutcomes(pauseWhen.outcomes), defaults.pausingOutcomes),
          },
  }),
  endAt: ({ endAt }) => ({ endAt: endAt === undefined ? null : timestampDate(endAt) }),
  callingHours: ({ callingHours }) => ({
    callingHours: callingHours === undefined ? null : readCallingHoursOf("calling_hours", callingHours),
  }),
} satisfies Partial<Record<keyof Request, (request: Request) => Partial<JobSettings>>>;

type Field = keyof typeof readers;

const fields = Object.keys(readers) as Field[];
const fieldByPath = new Map(
  fields.map((field) => [UpdateBatchJobRequestSchema.field[field].name, field] as const),
);

/** Every setting. */
export const readSettings = (request: CreateBatchJobRequest): JobSettings => ({
  ...readers.name(request),
  ...readers.description(request),
  ...readers.labels(request),
  ...readers.concurrentCallLimit(request),
  ...readers.maxAttempts(request),
  ...readers.retryOn(request),
  ...readers.retryDelays(request),
  ...readers.callsPerSecond(request),
  ...readers.rampUp(request),
  ...readers.priority(request),
  ...readers.startWithin(request),
  ...readers.pauseWhen(request),
  ...readers.endAt(request),
  ...readers.callingHours(request),
});

/** The settings that a request changes: those that its mask names, or where it has none, those that it gives. */
export function readChanges(request: UpdateBatchJobRequest): Partial<JobSettings> {
  const changed = changedIn(request.updateMask, fieldByPath, (field) => isGiven(request[field]));
  if (changed.includes("name") && !isGiven(request.name)) throw wrongField("name", "a job has one; give it");
  return Object.assign({}, ...changed.map((field) => readers[field](request)));
}
