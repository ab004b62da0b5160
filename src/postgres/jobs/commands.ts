import { sql } from "kysely";
import type { NewEvent } from "../../domain/event.ts";
import type { JobState } from "../../domain/jobs/job-state.ts";
import type { Trx } from "./batch-jobs.ts";
import { type Database, codeOf } from "../connections/database.ts";
import { eventColumns } from "../events/events.ts";
import { functions } from "../functions/functions.ts";
import { plainArray } from "../leasing/lease-rows.ts";
import { type KeptAnswer, type RequestKey, type RequestName, nameOf } from "./requests.ts";
import { thenCommit } from "../connections/sure-commits.ts";

/** What commands that share a transaction are judged by. */
export type Situation = {
  readonly now: Date;
  /** The jobs that the transaction has locked. One that is not there belongs to nobody, or to somebody else. */
  readonly jobs: ReadonlyMap<string, JobState>;
  /** The jobs that somebody else has locked. */
  readonly leftAlone: ReadonlySet<string>;
  /** By the names of the requests. */
  readonly kept: ReadonlyMap<string, KeptAnswer>;
};

const byName = (a: RequestName, b: RequestName): number => (nameOf(a) < nameOf(b) ? -1 : 1);

/**
 * Locks jobs of an organization until the transaction ends, and looks up what is kept of requests. It leaves alone what
 * somebody else has locked, but waits a second for `awaitedId`.
 */
export async function lockForCommands(
  trx: Trx,
  organizationId: number,
  wanted: { jobIds: readonly string[]; requests: readonly RequestName[]; awaitedId?: string | undefined },
): Promise<Situation> {
  const { requests, awaitedId = null } = wanted;
  const { rows } = await sql<{
    nowMs: number;
    jobs: readonly JobState[] | null;
    leftAlone: readonly string[] | null;
    kept:
      readonly { place: number; fingerprint: string; answer: unknown; entryRemoved: boolean | null }[] | null;
  }>`
    select now_ms as "nowMs", jobs, left_alone as "leftAlone", kept
    from ${sql.id(functions.lockForCommands.name)}(
      ${organizationId}, ${awaitedId}, ${plainArray(wanted.jobIds.toSorted())}, ${requests.map(({ rpc }) => rpc)},
      ${requests.map(({ requestId }) => requestId)})
  `.execute(trx);
  const [row] = rows;
  if (row === undefined) throw new Error("locking jobs gave no answer");
  const kept = (row.kept ?? []).map(({ place, fingerprint, ...rest }): [string, KeptAnswer] => {
    const request = requests[place - 1];
    if (request === undefined) throw new Error("an answer was kept for no request");
    return [nameOf(request), { ...rest, fingerprint: Buffer.from(fingerprint, "base64") }];
  });
  return {
    now: new Date(row.nowMs),
    jobs: new Map((row.jobs ?? []).map((job) => [job.id, job])),
    leftAlone: new Set(row.leftAlone),
    kept: new Map(kept),
  };
}

/** True if somebody has taken a request id since it was looked up. */
export const isRequestIdTaken = (error: unknown): boolean => codeOf(error) === "CS001";

/**
 * Writes what commands have made of jobs that the transaction has locked, keeps their answers, writes their events, and
 * commits. It fails, and the transaction with it, if one of the request ids was taken meanwhile (`isRequestIdTaken`).
 * Those of the events that tell of the end of a job are given how many contacts it has.
 */
export async function writeCommands(
  trx: Trx,
  organizationId: number,
  written: {
    now: Date;
    jobs: readonly JobState[];
    deletedIds: readonly string[];
    answers: readonly { readonly key: RequestKey; readonly answer: unknown }[];
    events: readonly NewEvent[];
  },
): Promise<void> {
  const { now, jobs, deletedIds } = written;
  const events = eventColumns(written.events);
  const answers = written.answers.toSorted((a, b) => byName(a.key, b.key));
  await sql`
    select from ${sql.id(functions.writeCommands.name)}(
      ${organizationId}, ${now.getTime()}, ${plainArray(jobs.map((j) => j.id))}, ${plainArray(jobs.map((j) => j.status))},
      ${plainArray(jobs.map((j) => j.failureReason))}, ${plainArray(jobs.map((j) => j.revision))},
      ${jobs.map((j) => j.timeZone)}, ${jobs.map((j) => j.requestedStartTime)},
      ${plainArray(jobs.map((j) => j.scheduledStartTimeMs))}, ${plainArray(jobs.map((j) => j.scheduledJobId))},
      ${plainArray(jobs.map((j) => j.startedAtMs))}, ${plainArray(jobs.map((j) => j.finishedAtMs))},
      ${plainArray(jobs.map((j) => j.resumeAtMs))}, ${plainArray(deletedIds)},
      ${answers.map(({ key }) => key.rpc)}, ${answers.map(({ key }) => key.requestId)},
      ${answers.map(({ key }) => key.fingerprint)}, ${answers.map(({ answer }) => JSON.stringify(answer))},
      ${events.types}, ${events.actors}, ${events.apiKeyIds}, ${events.requestIds}, ${events.jobIds},
      ${events.revisions}, ${events.data})
    ${thenCommit}
  `.execute(trx);
}

/** Notes that the Redis halves of commands are done. Once true, `removed` stays true. */
export async function noteEntriesRemoved(
  db: Database,
  organizationId: number,
  halves: readonly { readonly key: RequestName; readonly removed: boolean }[],
): Promise<void> {
  if (halves.length === 0) return;
  const inOrder = halves.toSorted((a, b) => byName(a.key, b.key));
  await sql`
    select ${sql.id(functions.noteEntriesRemoved.name)}(
      ${organizationId}, ${inOrder.map(({ key }) => key.rpc)}, ${inOrder.map(({ key }) => key.requestId)},
      ${plainArray(inOrder.map(({ removed }) => String(removed)))})
  `.execute(db);
}
