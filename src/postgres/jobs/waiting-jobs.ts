import { type RawBuilder, sql } from "kysely";
import type { JobState } from "../../domain/jobs/job-state.ts";
import type { Database } from "../connections/database.ts";
import { type JobFilter, isMeant } from "./job-filter.ts";
import { functions } from "../functions/functions.ts";
import { plainArray } from "../leasing/lease-rows.ts";

/** So many jobs are looked at for one page, however few of them are meant. */
export const lookedAtOnce = 1_000;

/** The waiting jobs that a command on many means. */
export type WaitingJobs = {
  readonly organizationId: number;
  readonly filter: JobFilter;
  /** Those that have no start time are not meant. */
  readonly withStartTime: boolean;
  /** Those that were created later are not meant. */
  readonly createdUpTo: Date;
  /** Jobs for which an answer is kept under this name are there, too, whatever has become of them since. */
  readonly answersOf?: string | undefined;
};

export type WaitingPage = {
  readonly ids: readonly string[];
  /** After which job it goes on; undefined if there is none left. */
  readonly goesOnAfter: string | undefined;
};

const nobody: RawBuilder<unknown> = sql`select null::uuid as id, true as "isWanted", true as "isKept" where false`;

/**
 * Pages through these jobs by their ids, which are in one order whatever the database's collation is: they are of one
 * form, and no collation puts a letter before a digit.
 *
 * What is waiting and what is kept are read as of one moment: a job for which
 * another call keeps its answer meanwhile is in the page for one of both.
 */
export async function readWaitingJobs(db: Database, jobs: WaitingJobs, after: string): Promise<WaitingPage> {
  const { organizationId, filter, withStartTime, createdUpTo, answersOf } = jobs;
  const kept =
    answersOf === undefined
      ? nobody
      : sql`
          select request_id::uuid as id, true as "isWanted", true as "isKept" from requests
          where organization_id = ${organizationId} and rpc = ${answersOf} and request_id > ${after}::text
          order by request_id limit ${lookedAtOnce}`;
  const { rows } = await sql<{ id: string; isWanted: boolean; isKept: boolean }>`
    (
      select id, created_at <= ${createdUpTo} and ${withStartTime ? sql`status = 'scheduled'` : sql`true`}
        and ${isMeant(filter)} as "isWanted", false as "isKept"
      from batch_jobs
      where organization_id = ${organizationId} and status in ('pending', 'scheduled') and id > ${after}::uuid
      order by id limit ${lookedAtOnce}
    )
    union all
    (${kept})
  `.execute(db);
  const { waiting = [], answered = [] } = Object.groupBy(rows, ({ isKept }) =>
    isKept ? "answered" : "waiting",
  );
  // Beyond where one of them was cut off there may be more of it.
  const ends = [waiting, answered].flatMap((part) =>
    part.length < lookedAtOnce ? [] : (part.at(-1)?.id ?? []),
  );
  const goesOnAfter = ends.toSorted()[0];
  const ids = rows
    .filter(({ id, isWanted }) => isWanted && (goesOnAfter === undefined || id <= goesOnAfter))
    .map(({ id }) => id);
  return { ids: [...new Set(ids)].toSorted(), goesOnAfter };
}

/** What commands would be judged by now, of those of the jobs that are there. Nothing is locked. */
export async function readStates(
  db: Database,
  organizationId: number,
  ids: readonly string[],
): Promise<{ now: Date; jobs: ReadonlyMap<string, JobState> }> {
  const { rows } = await sql<{ now: Date; jobs: JobState[] | null }>`
    select clock_timestamp() as now, (
      select json_agg(${sql.id(functions.jobState.name)}(b, o.hours_revision))
      from organizations o join batch_jobs b on b.organization_id = o.id
      where o.id = ${organizationId} and b.id = any (${plainArray(ids)}::uuid[])
    ) as jobs
  `.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error("the database told no time");
  return { now: row.now, jobs: new Map((row.jobs ?? []).map((job) => [job.id, job])) };
}
