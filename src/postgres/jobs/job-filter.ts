import { type RawBuilder, sql } from "kysely";
import type { JobStatus, Labels } from "../../domain/jobs/batch-job.ts";

/** With its beginning and without its end. */
export type TimeRange = { readonly from?: Date | undefined; readonly to?: Date | undefined };

/** Which jobs of an organization are meant: those that all of it says; what is empty says nothing. */
export type JobFilter = {
  readonly statuses: readonly JobStatus[];
  readonly nameContains: string;
  readonly labels: Labels;
  readonly created: TimeRange;
  readonly scheduledStartTime: TimeRange;
  readonly finishedAt: TimeRange;
};

export const everyJob: JobFilter = {
  statuses: [],
  nameContains: "",
  labels: {},
  created: {},
  scheduledStartTime: {},
  finishedAt: {},
};

export const isOpen = ({ from, to }: TimeRange): boolean => from === undefined && to === undefined;

/** Whether a time that is known is in the range; true where the range says nothing. */
export const isIn = (time: Date | null, { from, to }: TimeRange): boolean =>
  (from === undefined || (time !== null && time >= from)) &&
  (to === undefined || (time !== null && time < to));

/** The same of a time in a row. */
export function isWithin(time: RawBuilder<unknown>, { from, to }: TimeRange): RawBuilder<boolean> {
  const bounds = [
    ...(from === undefined ? [] : [sql`${time} >= ${from}`]),
    ...(to === undefined ? [] : [sql`${time} < ${to}`]),
  ];
  return bounds.length === 0 ? sql`true` : sql`${sql.join(bounds, sql` and `)}`;
}

/** Whether a row of batch_jobs, whose columns stand by themselves, is of a job that the filter means. */
export function isMeant(filter: JobFilter): RawBuilder<boolean> {
  const { statuses, nameContains, labels } = filter;
  const conditions: RawBuilder<unknown>[] = [
    isWithin(sql`created_at`, filter.created),
    isWithin(sql`scheduled_at`, filter.scheduledStartTime),
    isWithin(sql`finished_at`, filter.finishedAt),
  ];
  if (statuses.length > 0) conditions.push(sql`status = any(${statuses}::text[])`);
  if (Object.keys(labels).length > 0) conditions.push(sql`labels @> ${JSON.stringify(labels)}::jsonb`);
  if (nameContains !== "") {
    const literal = nameContains.replaceAll(/[\\%_]/g, String.raw`\$&`);
    conditions.push(sql`name ilike ${`%${literal}%`}`);
  }
  return sql`(${sql.join(conditions, sql` and `)})`;
}
