import { randomUUID } from "node:crypto";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import { beforeAllJobs } from "../../domain/jobs/job-id.ts";
import type { JobState } from "../../domain/jobs/job-state.ts";
import { shiftStartTime } from "../../domain/time/start-time.ts";
import { databaseNow } from "../../postgres/jobs/batch-jobs.ts";
import type { Shares } from "../../postgres/connections/connections.ts";
import { type JobFilter, everyJob, isIn } from "../../postgres/jobs/job-filter.ts";
import { type RequestKey, claimRequest, keepAnswer } from "../../postgres/jobs/requests.ts";
import { type WaitingJobs, readStates, readWaitingJobs } from "../../postgres/jobs/waiting-jobs.ts";
import { createTurnsByKey } from "../../timing/turns.ts";
import type { JobCommandRequest } from "./checks.ts";
import { type CommandRequest, byOf, keyOfRequest } from "./command.ts";
import { type Rescheduled, jobCommands } from "./job-commands.ts";
import { type View, judge } from "./judgement.ts";
import { toldAnswer } from "./kept-answers.ts";
import { readStartTime } from "./new-job.ts";
import type { Reads } from "../queries.ts";
import type { Together } from "./together.ts";

/** Where starts are moved to: all to one time, or each by so much of the time that clocks show in its own zone. */
export type Move =
  | { readonly requestedStartTime: string; readonly timeZone: string; readonly shiftMs?: undefined }
  | { readonly shiftMs: number };

/** What became of one of the jobs. */
export type Moved =
  | {
      readonly batchJobId: string;
      readonly answer: ReturnType<typeof toldAnswer<Rescheduled>> & { readonly entryRemoved: boolean };
    }
  | { readonly batchJobId: string; readonly refusal: BatchJobError };

/** What is kept of a call: what its jobs are kept under, and up to when they were created. */
type Begun = { readonly callId: string; readonly begunMs: number };

const rpc = "RescheduleBatchJobs";

/** Where the answers of a call's jobs are kept, each under its id. */
const partsOf = ({ callId }: Begun): string => `${rpc}/${callId}`;

/** Two transactions full of commands: so many may be in front of another command of the organization. */
const jobsAtOnce = 64;

const { reschedule } = jobCommands;

/** Refuses a job whose start was moved out of the window since it was looked for. */
function checkStillMeant(job: JobState, { scheduledStartTime: window }: JobFilter): void {
  const scheduledStartTime = job.scheduledStartTimeMs === null ? null : new Date(job.scheduledStartTimeMs);
  if (isIn(scheduledStartTime, window)) return;
  throw new BatchJobError(
    "revision_mismatch",
    `The batch job's start was moved out of the window meanwhile, to ${scheduledStartTime?.toISOString() ?? "no time"}; call again if it is to be moved all the same.`,
    { batchJobId: job.id, revision: String(job.revision) },
  );
}

function startOf(job: JobState, move: Move): { requestedStartTime: string; timeZone: string } {
  if (move.shiftMs === undefined) return move;
  if (job.scheduledStartTimeMs === null) {
    throw new BatchJobError(
      "invalid_status",
      "The batch job has no start time that could be shifted; give it one first.",
      { batchJobId: job.id, status: job.status },
    );
  }
  const requestedStartTime = shiftStartTime(new Date(job.scheduledStartTimeMs), move.shiftMs, job.timeZone);
  return { requestedStartTime, timeZone: job.timeZone };
}

const waitingJobs = (
  { caller: { organizationId } }: CommandRequest,
  filter: JobFilter,
  move: Move,
): Omit<WaitingJobs, "createdUpTo"> => ({
  organizationId,
  filter,
  withStartTime: move.shiftMs !== undefined,
});

const requestOf = (request: CommandRequest, batchJobId: string): JobCommandRequest => ({
  ...request,
  batchJobId,
  expectedRevision: undefined,
});

const decideOn = (request: JobCommandRequest, filter: JobFilter, move: Move) => (view: View) => {
  const job = view.jobFor("reschedule", request);
  checkStillMeant(job, filter);
  return reschedule.decide(view, request, startOf(job, move));
};

/** All are waited for, so that nothing goes on behind a call that fails. */
async function moveAll(ids: readonly string[], moveOf: (id: string) => Promise<Moved>): Promise<Moved[]> {
  const ends = await Promise.allSettled(ids.map(moveOf));
  return ends.map((end) => {
    if (end.status === "rejected") throw end.reason;
    return end.value;
  });
}

/** If this is said of all of them, it is said of the service. */
function checkAvailable(moved: readonly Moved[]): void {
  const refusals = moved.flatMap((one) => ("refusal" in one ? one.refusal : []));
  const isOfAll =
    refusals.length === moved.length && refusals.every(({ reason }) => reason === "unavailable");
  if (isOfAll && refusals[0] !== undefined) throw refusals[0];
}

/**
 * Gives start times to all waiting jobs that a filter means: job by job, each as a command of its own beside those that
 * are in hand. With a request id the answer for each job is kept under its id and the call's, in the transaction that
 * moves it, so that a repetition, or the same call on another replica, moves none twice.
 */
export function createRescheduling(deps: { shares: Shares; reads: Reads; runTogether: Together }) {
  const { shares, runTogether } = deps;
  const { reads } = deps.reads;
  const inTurnOf = createTurnsByKey<number>();

  /** Takes the request id, or finds what was begun under it. A start time is judged by whoever takes it. */
  async function begin(request: CommandRequest, move: Move): Promise<Begun> {
    const key = keyOfRequest(request, rpc);
    return await shares
      .of(request.caller.organizationId)
      .transaction()
      .execute(async (trx) => {
        const kept = key && (await claimRequest(trx, key));
        if (kept !== undefined) return kept.answer as Begun;
        const now = await databaseNow(trx);
        if (move.shiftMs === undefined) readStartTime(move.requestedStartTime, move.timeZone, now);
        const begun: Begun = { callId: randomUUID(), begunMs: now.getTime() };
        if (key !== undefined) await keepAnswer(trx, key, begun);
        return begun;
      });
  }

  /** The jobs, so many at a time. */
  async function* walk(jobs: WaitingJobs): AsyncGenerator<readonly string[]> {
    let after: string | undefined = beforeAllJobs;
    while (after !== undefined) {
      const page = await readWaitingJobs(reads.of(jobs.organizationId), jobs, after);
      for (let first = 0; first < page.ids.length; first += jobsAtOnce) {
        yield page.ids.slice(first, first + jobsAtOnce);
      }
      after = page.goesOnAfter;
    }
  }

  async function moveOne(request: JobCommandRequest, filter: JobFilter, move: Move, partKey?: RequestKey) {
    const { type, redisHalf } = reschedule;
    const { batchJobId } = request;
    const decide = decideOn(request, filter, move);
    try {
      const part = partKey === undefined ? {} : { partKey };
      const answer = await runTogether(request, { rpc, ...part, type, batchJobId, decide, redisHalf });
      return { batchJobId, answer: toldAnswer(answer) };
    } catch (error) {
      if (error instanceof BatchJobError) return { batchJobId, refusal: error };
      throw error;
    }
  }

  return {
    /** What becomes of each job, as soon as it has. It stops, with an error, once the signal says so. */
    async *rescheduleAll(
      request: CommandRequest,
      asked: Partial<JobFilter>,
      move: Move,
      signal: AbortSignal,
    ): AsyncGenerator<Moved> {
      const { organizationId } = request.caller;
      const filter = { ...everyJob, ...asked };
      const begun = await begin(request, move);
      const answersOf = request.requestId === "" ? undefined : partsOf(begun);
      const jobs = { ...waitingJobs(request, filter, move), createdUpTo: new Date(begun.begunMs), answersOf };
      const fingerprint = request.fingerprint();
      const partOf = (id: string): RequestKey | undefined =>
        answersOf === undefined ? undefined : { organizationId, rpc: answersOf, requestId: id, fingerprint };
      for await (const ids of walk(jobs)) {
        signal.throwIfAborted();
        const moved = await inTurnOf(organizationId, () =>
          moveAll(ids, (id) => moveOne(requestOf(request, id), filter, move, partOf(id))),
        );
        checkAvailable(moved);
        yield* moved;
      }
    },

    /** The same as it would be now, of which nothing is done. */
    async *rescheduleAllDry(
      request: CommandRequest,
      asked: Partial<JobFilter>,
      move: Move,
      signal: AbortSignal,
    ): AsyncGenerator<Moved> {
      const { organizationId } = request.caller;
      const filter = { ...everyJob, ...asked };
      const createdUpTo = await databaseNow(reads.of(organizationId));
      if (move.shiftMs === undefined) readStartTime(move.requestedStartTime, move.timeZone, createdUpTo);
      for await (const ids of walk({ ...waitingJobs(request, filter, move), createdUpTo })) {
        signal.throwIfAborted();
        const { now, jobs } = await readStates(reads.of(organizationId), organizationId, ids);
        const { verdicts } = judge(
          ids.map((id) => ({
            key: undefined,
            type: reschedule.type,
            by: byOf(request),
            jobId: id,
            decide: decideOn(requestOf(request, id), filter, move),
            redisHalf: () => ({}),
          })),
          { now, jobs, leftAlone: new Set(), kept: new Map() },
        );
        for (const [i, verdict] of verdicts.entries()) {
          const batchJobId = ids[i] ?? "";
          if (verdict.kind === "refused") yield { batchJobId, refusal: verdict.refusal };
          if (verdict.kind !== "done") continue;
          const answer = toldAnswer(verdict.command.answer as Rescheduled);
          yield { batchJobId, answer: { ...answer, entryRemoved: false } };
        }
      }
    },
  };
}
