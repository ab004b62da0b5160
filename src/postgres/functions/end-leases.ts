import { sql } from "kysely";
import { planning } from "./planning.ts";

const finalCounts = [
  "completed",
  "no_answer",
  "busy",
  "timeout",
  "voicemail",
  "blocked",
  "invalid_number",
  "carrier_error",
  "failed",
  "unknown",
];

/*
 * Ends live leases of one organization with their outcomes; those that are not live any more are left alone.
 *   only_expired  true ends only those whose time is over, and as not reported
 *   job_ids       the jobs, in the order of their ids
 *   jobs          for each lease: which of the jobs, from 1
 *   numbers, attempts, nonces, outcomes     of each lease
 *   delays_ms     after how long the contact is to be called again if its job goes on; null for never
 *   error_codes, failure_reasons, durations_ms, provider_call_ids   what was reported; null for nothing
 * Answers the time, the places (from 1) of the leases that it did not end, whether each job goes on (null if it is not
 * there), and the jobs that have ended by this.
 */
export const endLeases = sql`
  create function end_leases(
    organization uuid, only_expired boolean, job_ids uuid[], jobs int[], numbers int[], attempts int[],
    nonces bigint[], outcomes text[], delays_ms bigint[], error_codes text[], failure_reasons text[],
    durations_ms bigint[], provider_call_ids text[],
    out ended_ms bigint, out missed int[], out going_on boolean[], out finished_ids uuid[], out finished_revisions bigint[]
  )
  language plpgsql
  ${planning}
  as $$
  declare
    ending timestamptz(3);
    found_job batch_jobs;
  begin
    perform from organizations o where o.id = organization for no key update;
    select array_agg(case when b.organization_id = organization then b.status in ('running', 'paused') end order by t.turn)
    into going_on
    from unnest(job_ids) with ordinality as t (id, turn)
    left join lateral (
      select organization_id, status from batch_jobs where id = t.id for no key update
    ) as b on true;
    ending := date_trunc('milliseconds', clock_timestamp());
    ended_ms := extract(epoch from ending) * 1000;

    with given as (
      select g.*, job_ids[g.job] as job_id,
        case when going_on[g.job] then ending + g.delay_ms * interval '1 millisecond' end as next_at
      from unnest(
        jobs, numbers, attempts, nonces, outcomes, delays_ms, error_codes, failure_reasons, durations_ms,
        provider_call_ids
      ) with ordinality as g (
        job, number, attempt, nonce, outcome, delay_ms, error_code, failure_reason, duration_ms, provider_call_id, place
      )
      where going_on[g.job] is not null
    ), ended as (
      delete from leases l using given g
      where l.job_id = g.job_id and l.number = g.number and l.attempt = g.attempt and l.nonce = g.nonce
        and (not only_expired or l.expires_at <= ending)
      returning l.*, g.place, g.outcome, g.next_at, g.error_code, g.failure_reason, g.duration_ms, g.provider_call_id
    ), history as (
      insert into attempts (
        job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome, next_attempt_at, reported_at,
        error_code, failure_reason, call_duration_ms, provider_call_id)
      select job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ending, outcome, next_at,
        case when not only_expired then ending end, error_code, failure_reason, duration_ms, provider_call_id
      from ended
    ), waiting as (
      insert into retries (job_id, number, due_at)
      select job_id, number, next_at from ended where next_at is not null
    ), moved as (
      select job_id, count(*)::int as ended, (count(*) filter (where next_at is not null))::int as waiting_retry,
        ${sql.join(
          finalCounts.map(
            (outcome) =>
              sql`(count(*) filter (where next_at is null and outcome = ${sql.lit(outcome)}))::int as ${sql.ref(outcome)}`,
          ),
        )}
      from ended group by job_id
    ), counted as (
      update batch_jobs b
      set dialing_contacts = b.dialing_contacts - m.ended,
        waiting_retry_contacts = b.waiting_retry_contacts + m.waiting_retry,
        ${sql.join(
          finalCounts.map(
            (outcome) =>
              sql`${sql.ref(`${outcome}_contacts`)} = ${sql.ref(`b.${outcome}_contacts`)} + ${sql.ref(`m.${outcome}`)}`,
          ),
        )}
      from moved m where b.id = m.job_id
    ), summed as (
      update organizations o set dialing = o.dialing - s.ended
      from (select count(*)::int as ended from ended) as s
      where o.id = organization and s.ended > 0
    )
    select array_agg(p.place) into missed
    from generate_series(1, cardinality(numbers)) as p (place)
    where p.place not in (select place from ended);

    for turn in 1 .. cardinality(job_ids) loop
      select * into found_job from batch_jobs where id = job_ids[turn];
      if going_on[turn] and found_job.status = 'running'
        and found_job.pending_contacts + found_job.waiting_retry_contacts + found_job.dialing_contacts = 0
      then
        update batch_jobs
        set status = case when completed_contacts > 0 then 'completed' else 'failed' end,
          failure_reason = case when completed_contacts = 0 then 'no_call_completed' end,
          finished_at = ending, updated_at = ending, revision = revision + 1
        where id = job_ids[turn];
        finished_ids := finished_ids || job_ids[turn];
        finished_revisions := finished_revisions || (found_job.revision + 1);
      end if;
    end loop;
  end $$`;
