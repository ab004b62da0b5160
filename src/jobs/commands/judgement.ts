import { BatchJobError } from "../../domain/batch-job-error.ts";
import { type Command, type NewBatchJob, checkAllowed, statusAt } from "../../domain/jobs/batch-job.ts";
import type { CallTrace } from "../../domain/call-trace.ts";
import type { By, EventType, NewEvent } from "../../domain/event.ts";
import type { JobState } from "../../domain/jobs/job-state.ts";
import { jobNotFound } from "../../postgres/jobs/batch-jobs.ts";
import type { Situation } from "../../postgres/jobs/commands.ts";
import { type KeptAnswer, type RequestKey, checkSame, nameOf } from "../../postgres/jobs/requests.ts";
import { type JobCommandRequest, checkRevision } from "./checks.ts";
import type { Committed, RedisHalf } from "./redis-halves.ts";

/** What a command decides by. */
export type View = {
  readonly now: Date;
  /** The job that is named, or a refusal: job_not_found, revision_mismatch, or what the state table says. */
  readonly jobFor: (command: Command, request: JobCommandRequest) => JobState;
};

/** What a command tells beside that it was done. */
type Further = { readonly type: EventType; readonly data?: object };

/** What a command answers, the one thing that it does, and what is told of it. */
export type Decision<A> = {
  readonly answer: A;
  readonly data?: object;
  readonly further?: readonly Further[];
} &
  /** With the span of a call that others are to go on from. */
  (
    | { readonly changed: JobState; readonly trace?: CallTrace | undefined }
    | { readonly deleted: JobState }
    | { readonly created: NewBatchJob }
  );

/** A command that waits to be judged. */
export type InHand = {
  readonly key: RequestKey | undefined;
  /** As what it is told, and by whom it was given. */
  readonly type: EventType;
  readonly by: By;
  /** The job that it names, if that may be one; the command is not judged without it. */
  readonly jobId: string | undefined;
  readonly decide: (view: View) => Decision<object>;
  readonly redisHalf: (answer: object) => RedisHalf;
};

/**
 * What becomes of a command: it is refused, or it is done once the transaction is committed, or it must wait for a job
 * that somebody else has locked. `answered` is how an earlier call of the same request ended, if its Redis half is
 * done.
 */
export type Verdict =
  | { readonly kind: "refused"; readonly refusal: BatchJobError }
  | { readonly kind: "done"; readonly command: Committed }
  | { readonly kind: "answered"; readonly answer: object; readonly entryRemoved: boolean }
  | { readonly kind: "kept out" };

export type Judgement = {
  readonly verdicts: readonly Verdict[];
  /** What the transaction is to write. */
  readonly changed: readonly JobState[];
  readonly deletedIds: readonly string[];
  readonly created: readonly NewBatchJob[];
  /** The spans that go on in changed jobs, by their ids. */
  readonly traces: ReadonlyMap<string, CallTrace>;
  readonly answers: readonly { readonly key: RequestKey; readonly answer: object }[];
  readonly events: readonly NewEvent[];
};

/**
 * Judges commands of one organization in the order in which they came, each by what those before it have made of the
 * jobs and of the request ids. A refusal touches no other.
 */
export function judge(commands: readonly InHand[], situation: Situation): Judgement {
  const jobs = new Map(situation.jobs);
  const changed = new Map<string, JobState>();
  const deletedIds: string[] = [];
  const created: NewBatchJob[] = [];
  const traces = new Map<string, CallTrace>();
  const answers: { key: RequestKey; answer: object }[] = [];
  const events: NewEvent[] = [];
  const firsts = new Map<string, { kept: KeptAnswer; verdict: Verdict }>();

  const view: View = {
    now: situation.now,
    jobFor(command, { batchJobId, expectedRevision }) {
      const job = jobs.get(batchJobId.toLowerCase());
      if (job === undefined) throw jobNotFound(batchJobId);
      checkRevision(job, expectedRevision);
      checkAllowed(command, { ...job, status: statusAt(job, situation.now.getTime()) });
      return job;
    },
  };

  function note(decision: Decision<object>): void {
    if ("created" in decision) {
      created.push(decision.created);
    } else if ("deleted" in decision) {
      jobs.delete(decision.deleted.id);
      changed.delete(decision.deleted.id);
      deletedIds.push(decision.deleted.id);
    } else {
      jobs.set(decision.changed.id, decision.changed);
      changed.set(decision.changed.id, decision.changed);
      if (decision.trace !== undefined) traces.set(decision.changed.id, decision.trace);
    }
  }

  function repetition({ key, redisHalf }: InHand): Verdict | undefined {
    if (key === undefined) return undefined;
    const first = firsts.get(nameOf(key));
    if (first !== undefined) {
      checkSame(first.kept, key);
      return first.verdict;
    }
    const kept = situation.kept.get(nameOf(key));
    if (kept === undefined) return undefined;
    checkSame(kept, key);
    const answer = kept.answer as object;
    const verdict: Verdict =
      kept.entryRemoved === null
        ? { kind: "done", command: { key, answer, redisHalf: redisHalf(answer) } }
        : { kind: "answered", answer, entryRemoved: kept.entryRemoved };
    firsts.set(nameOf(key), { kept, verdict });
    return verdict;
  }

  function judgeOne(command: InHand): Verdict {
    const repeated = repetition(command);
    if (repeated !== undefined) return repeated;
    const { key, jobId, decide, redisHalf } = command;
    if (jobId !== undefined && situation.leftAlone.has(jobId)) return { kind: "kept out" };
    const decision = decide(view);
    const { answer, data, further = [] } = decision;
    note(decision);
    const told = [{ type: command.type, ...(data !== undefined && { data }) }, ...further];
    for (const one of told) events.push({ ...one, ...command.by, ...jobOf(decision) });
    const verdict: Verdict = { kind: "done", command: { key, answer, redisHalf: redisHalf(answer) } };
    if (key !== undefined) {
      answers.push({ key, answer });
      const kept = { fingerprint: key.fingerprint, answer, entryRemoved: null };
      firsts.set(nameOf(key), { kept, verdict });
    }
    return verdict;
  }

  const verdicts = commands.map((command): Verdict => {
    try {
      return judgeOne(command);
    } catch (error) {
      if (error instanceof BatchJobError) return { kind: "refused", refusal: error };
      throw error;
    }
  });
  return { verdicts, changed: [...changed.values()], deletedIds, created, traces, answers, events };
}

/** The job that a command was about, as it is after it. */
function jobOf(decision: Decision<object>): { batchJobId: string; revision: number } {
  if ("created" in decision) return { batchJobId: decision.created.id, revision: 1 };
  const { id, revision } = "deleted" in decision ? decision.deleted : decision.changed;
  return { batchJobId: id, revision };
}
