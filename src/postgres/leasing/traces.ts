import { sql } from "kysely";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { plainArray } from "./lease-rows.ts";
import { isOwnedAs } from "../owned.ts";

/** The `traceparent` of what a job's leases follow from. */
export type JobTrace = { readonly organizationId: number; readonly id: string; readonly traceparent: string };

/**
 * Keeps with jobs that the transaction has locked what they go on from; answers what they had before, by id, as far as
 * they had anything.
 */
export async function replaceTraces(
  trx: Trx,
  traces: readonly JobTrace[],
): Promise<ReadonlyMap<string, string>> {
  if (traces.length === 0) return new Map();
  const { rows } = await sql<{ id: string; before: string | null }>`
    with given as materialized (
      select t.*, b.trace_context as before
      from unnest(
        ${plainArray(traces.map((trace) => trace.organizationId))}::int[],
        ${plainArray(traces.map((trace) => trace.id))}::uuid[],
        ${traces.map((trace) => trace.traceparent)}::text[]
      ) as t (organization_id, id, trace_context)
      cross join lateral (
        select trace_context from batch_jobs where organization_id = t.organization_id and id = t.id limit 1
      ) as b
    )
    update batch_jobs b set trace_context = g.trace_context
    from given g
    where ${isOwnedAs("b", "g")} and b.id = g.id
    returning b.id, g.before
  `.execute(trx);
  return new Map(rows.flatMap(({ id, before }) => (before === null ? [] : [[id, before] as const])));
}

/** What jobs of an organization go on from, by id; nothing of a job that was not traced. */
export async function readTraces(
  db: Database,
  organizationId: number,
  ids: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const { rows } = await sql<{ id: string; traceparent: string }>`
    select id, trace_context as traceparent from batch_jobs
    where organization_id = ${organizationId} and id = any(${plainArray(ids)}::uuid[]) and trace_context is not null
  `.execute(db);
  return new Map(rows.map(({ id, traceparent }) => [id, traceparent]));
}
