import { type RawBuilder, sql } from "kysely";
import { type BatchJob, type JobStatus, jobStatuses } from "../../domain/jobs/batch-job.ts";
import type { Trx } from "./batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { type JobFilter, isMeant, isOpen, isWithin } from "./job-filter.ts";
import { jobColumns, toBatchJob } from "./job-rows.ts";
import { often } from "../connections/prepared.ts";
import type { BatchJobRow } from "../schema/tables.ts";

export type JobCursor = { createdAt: Date; id: string };
export type FoundJobs = { jobs: BatchJob[]; stoppedAt: JobCursor | undefined };

/** At most so many jobs are looked at for one page, however few of them are asked for. */
const mostLookedAt = 10_000;

/** So many are looked at first. Where they do not fill the page, fewer jobs may be known that alone can be meant. */
const firstLookedAt = 1_000;

/** So few are read whole, and sorted. */
const fewJobs = 1_000;

type Sql = RawBuilder<unknown>;

/*
 * Where jobs are read by ids that were found, each is looked up, with a limit of its own: as a join it might read all
 * jobs there are.
 */

export const afterCursor = (cursor: JobCursor | undefined, id: Sql): Sql =>
  cursor === undefined ? sql`true` : sql`(created_at, ${id}) < (${cursor.createdAt}, ${cursor.id}::uuid)`;

/**
 * Every job is between the infinities: a planner that has no statistics takes it that few are, and walks along the
 * index, where it would sort all of them otherwise. The index by status is for those alone who say so.
 */
export const isAnyTime = sql`created_at > '-infinity' and created_at < 'infinity'`;

const isCreated = (filter: JobFilter) => isWithin(sql`created_at`, filter.created);

/** The jobs with one label, by its own index. */
const withLabel = (organizationId: number, [key, value]: [string, string], filter: JobFilter): Sql => sql`
  select created_at, job_id as id from job_labels
  where organization_id = ${organizationId} and key = ${key} and value = ${value} and ${isAnyTime}
    and ${isCreated(filter)}`;

/** What is left of a filter for those jobs that are found by its first label. */
function besidesLabel(filter: JobFilter): JobFilter {
  const [, ...others] = Object.entries(filter.labels);
  return { ...filter, labels: Object.fromEntries(others) };
}

/**
 * Sets of jobs in which all are that the filter means, each by an index of its own. None for a name: nothing but a
 * look at each job tells who has it.
 */
function setsOf(organizationId: number, filter: JobFilter): Sql[] {
  const { statuses, scheduledStartTime, finishedAt } = filter;
  const own = sql`select created_at, id from batch_jobs where organization_id = ${organizationId}`;
  const sets = Object.entries(filter.labels).map((label) => withLabel(organizationId, label, filter));
  if (statuses.length > 0)
    sets.push(sql`
      select job.* from unnest(${statuses}::text[]) as wanted (status) cross join lateral (
        select created_at, id from batch_jobs
        where organization_id = ${organizationId} and status = wanted.status and ${isAnyTime}
          and ${isCreated(filter)}
        order by created_at, id limit ${fewJobs + 1}
      ) as job`);
  if (!isOpen(scheduledStartTime))
    sets.push(sql`${own} and ${isWithin(sql`scheduled_at`, scheduledStartTime)} order by scheduled_at`);
  if (!isOpen(finishedAt))
    sets.push(sql`${own} and ${isWithin(sql`finished_at`, finishedAt)} order by finished_at`);
  return sets;
}

/** The smallest of these sets, if it has few jobs. */
async function smallestOf(db: Database | Trx, sets: readonly Sql[]): Promise<Sql | undefined> {
  if (sets.length === 0) return undefined;
  const counts = sets.map(
    (set, place) => sql`
      select ${place}::int as place, count(*)::int as count
      from (select from (${set}) as every limit ${fewJobs + 1}) as counted`,
  );
  const { rows } = await sql<{ place: number }>`
    select place from (${sql.join(counts, sql` union all `)}) as sets
    where count <= ${fewJobs} order by count limit 1
  `.execute(db);
  const [smallest] = rows;
  return smallest && sets[smallest.place];
}

/** All that are meant of a set of few jobs, newest first. */
async function readFew(
  db: Database | Trx,
  organizationId: number,
  set: Sql,
  filter: JobFilter,
  page: { after: JobCursor | undefined; size: number },
): Promise<BatchJob[]> {
  const { rows } = await sql<BatchJobRow>`
    select job.* from (
      select created_at, id from (${set}) as every where ${afterCursor(page.after, sql`id`)}
      order by created_at desc, id desc limit ${fewJobs}
    ) as few
    cross join lateral (
      select ${jobColumns("batch_jobs")} from batch_jobs
      where organization_id = ${organizationId} and id = few.id and ${isMeant(filter)} limit 1
    ) as job
    order by few.created_at desc, few.id desc limit ${page.size}
  `.execute(db);
  return rows.map(toBatchJob);
}

/** Looks at jobs newest first: at those with the first label, if one is wanted, else at all. */
async function walk(
  db: Database | Trx,
  organizationId: number,
  filter: JobFilter,
  page: { after: JobCursor | undefined; size: number; most: number },
): Promise<FoundJobs> {
  const { size, most } = page;
  const [label] = Object.entries(filter.labels);
  // Both limits end the walk along the index; the place in it tells which one did.
  const lookedAt =
    label === undefined
      ? sql`
          select *, row_number() over (order by created_at desc, id desc)::int as place,
            ${isMeant(filter)} as is_wanted
          from batch_jobs
          where organization_id = ${organizationId} and ${isAnyTime} and ${isCreated(filter)}
            and ${afterCursor(page.after, sql`id`)}
          order by created_at desc, id desc limit ${most}`
      : sql`
          select job.*, place, labelled_at, labelled_id from (
            select created_at as labelled_at, id as labelled_id,
              row_number() over (order by created_at desc, id desc)::int as place
            from (${withLabel(organizationId, label, filter)} and ${afterCursor(page.after, sql`job_id`)}
              order by created_at desc, job_id desc limit ${most}) as labelled
          ) as labelled
          cross join lateral (
            select *, ${isMeant(besidesLabel(filter))} as is_wanted from batch_jobs
            where organization_id = ${organizationId} and id = labelled_id limit 1
          ) as job`;
  const order = label === undefined ? sql`created_at desc, id desc` : sql`labelled_at desc, labelled_id desc`;
  const isPlain = setsOf(organizationId, filter).length === 0 && isOpen(filter.created);
  const { rows } = await sql<BatchJobRow & { place: number; is_wanted: boolean }>`${isPlain ? often : sql``}
    select ${jobColumns("looked_at")}, place, is_wanted from (${lookedAt}) as looked_at
    where is_wanted or place = ${most}
    order by ${order} limit ${size}
  `.execute(db);
  const last = rows.at(-1);
  return {
    jobs: rows.filter((row) => row.is_wanted).map(toBatchJob),
    stoppedAt: last?.place === most ? { createdAt: last.created_at, id: last.id } : undefined,
  };
}

/**
 * The first jobs of an organization, newest first, that the filter means. A search that has looked at as many as one
 * page may stops there, and says where: it goes on after that job.
 */
export async function listJobs(
  db: Database | Trx,
  organizationId: number,
  filter: JobFilter,
  page: { after: JobCursor | undefined; size: number },
): Promise<FoundJobs> {
  const sets = setsOf(organizationId, filter);
  const most = sets.length === 0 ? mostLookedAt : firstLookedAt;
  const first = await walk(db, organizationId, filter, { ...page, most });
  if (sets.length === 0 || first.stoppedAt === undefined || first.jobs.length >= page.size) return first;
  const rest = { after: first.stoppedAt, size: page.size - first.jobs.length };
  const few = await smallestOf(db, sets);
  const more =
    few === undefined
      ? await walk(db, organizationId, filter, { ...rest, most: mostLookedAt - firstLookedAt })
      : { jobs: await readFew(db, organizationId, few, filter, rest), stoppedAt: undefined };
  return { jobs: [...first.jobs, ...more.jobs], stoppedAt: more.stoppedAt };
}

export type StatusCount = { readonly status: JobStatus; readonly count: number; readonly isAtLeast: boolean };

/**
 * How many of an organization's jobs that the filter means are in each status. By statuses and time of creation alone
 * each is counted by itself, as far as one page looks; else those are that one page looks at, of few or newest first.
 */
export async function countJobsByStatus(
  db: Database | Trx,
  organizationId: number,
  filter: JobFilter,
): Promise<StatusCount[]> {
  const statuses = jobStatuses.filter((s) => filter.statuses.length === 0 || filter.statuses.includes(s));
  const isBare =
    filter.nameContains === "" && setsOf(organizationId, { ...filter, statuses: [] }).length === 0;
  if (isBare) {
    const { rows } = await sql<{ status: JobStatus; count: number }>`
      select status, count from unnest(${statuses}::text[]) as wanted (status) cross join lateral (
        select count(*)::int as count from (
          select from batch_jobs
          where organization_id = ${organizationId} and status = wanted.status and ${isAnyTime}
            and ${isCreated(filter)}
          order by created_at desc, id desc limit ${mostLookedAt + 1}
        ) as first
      ) as counted
    `.execute(db);
    const counts = new Map(rows.map(({ status, count }) => [status, count]));
    return statuses.map((status) => toCount(status, counts.get(status), mostLookedAt));
  }
  const [label] = Object.entries(filter.labels);
  const few = await smallestOf(db, setsOf(organizationId, filter));
  const ids =
    few ?? (label && sql`${withLabel(organizationId, label, filter)} order by created_at desc, job_id desc`);
  const lookedAt =
    ids === undefined
      ? sql`
          select status, ${isMeant(filter)} as is_meant from batch_jobs
          where organization_id = ${organizationId} and ${isCreated(filter)}
          order by created_at desc, id desc limit ${mostLookedAt + 1}`
      : sql`
          select status, is_meant from (select id from (${ids}) as every limit ${mostLookedAt + 1}) as some_ids
          cross join lateral (
            select status, ${isMeant(few === undefined ? besidesLabel(filter) : filter)} as is_meant from batch_jobs
            where organization_id = ${organizationId} and id = some_ids.id limit 1
          ) as job`;
  const { rows } = await sql<{ status: JobStatus; count: number; lookedAt: number }>`
    select status, count(*) filter (where is_meant)::int as count, sum(count(*)) over ()::int as "lookedAt"
    from (${lookedAt}) as looked_at
    group by status
  `.execute(db);
  const counts = new Map(rows.map(({ status, count }) => [status, count]));
  const isAtLeast = (rows[0]?.lookedAt ?? 0) > mostLookedAt;
  return statuses.map((status) => ({ status, count: counts.get(status) ?? 0, isAtLeast }));
}

const toCount = (status: JobStatus, count = 0, most: number): StatusCount => ({
  status,
  count: Math.min(count, most),
  isAtLeast: count > most,
});
