import { type Kysely, sql } from "kysely";

/*
 * A contact is what its last attempt has left: an attempt says when its contact is to be called again, or that it was
 * the last. A contact without one is pending.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`
      alter table attempts
        add column next_attempt_at timestamptz(3),
        add constraint outcome_is_known check (
          outcome in ('completed', 'no_answer', 'busy', 'timeout', 'voicemail', 'blocked', 'invalid_number', 'carrier_error',
                      'failed', 'unknown'))`,
    sql`
      update attempts a set next_attempt_at = s.next_attempt_at
      from contact_states s
      where s.job_id = a.job_id and s.number = a.number and s.attempts = a.attempt and s.status = 'waiting_retry'`,
    // When those that were followed by another were due is not known any more.
    sql`
      update attempts a set next_attempt_at = later.leased_at
      from all_attempts later
      where later.job_id = a.job_id and later.number = a.number and later.attempt = a.attempt + 1
        and a.next_attempt_at is null`,
    sql`drop view if exists current_contacts`,
    sql`drop table contact_states`,
    // Contacts as they are shown, for people and for tests: one that is leased is dialing, in its next attempt.
    sql`
      create view current_contacts as
      select c.job_id, c.number, split_part(c.line, E'\\t', 1) as phone, split_part(c.line, E'\\t', 2) as name,
        split_part(c.line, E'\\t', 3)::jsonb as fields,
        case
          when l.number is not null then 'dialing'
          when a.attempt is null then 'pending'
          when a.next_attempt_at is not null then 'waiting_retry'
          else a.outcome
        end as status,
        coalesce(a.attempt, 0) + case when l.number is null then 0 else 1 end as attempts,
        a.outcome as last_outcome,
        case when l.number is null then a.next_attempt_at end as next_attempt_at
      from (
        select b.job_id, b.first_number + t.place::int - 1 as number, t.line
        from contact_blocks b
        cross join lateral string_to_table(b.contacts, E'\\n') with ordinality as t (line, place)
      ) as c
      left join lateral (
        select attempt, outcome, next_attempt_at from attempts
        where job_id = c.job_id and number = c.number
        order by attempt desc limit 1
      ) as a on true
      left join leases l on l.job_id = c.job_id and l.number = c.number`,
    openLeases,
    endLeases,
  ];
  for (const statement of statements) await statement.execute(db);
}

/*
 * Both functions are one round trip and one commit, so that the organization's lock is not held while somebody
 * computes. Their statements come after the locks and see what was committed before them.
 *
 * They are planned once for each connection, which is most of the cost of a small batch, perhaps while the tables are
 * empty. So they are written, and set, in such a way that every row can only be found through its key: by a join from
 * what is given, and by a lateral look-up where there is another index that could be tried.
 */
const settings = sql`
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_generic_plan`;

/*
 * Opens leases on contacts of jobs of one organization.
 *   job_ids         the jobs, in the order of their turns
 *   due_counts      how many due retries to take of each, at most
 *   listed_jobs     for each number from a list: which of the jobs, from 1
 *   listed_numbers  and the number; no number twice for a job
 *   callers         for each lease that may be opened: which caller gets it, from 1
 *   worker_ids, request_ids, durations_ms   of each caller
 * Answers a row for each lease; one without a nonce for each listed number that is open and had no room (the other
 * listed numbers are not open); and one without a number for each caller whose request id has live leases, and who
 * gets no others.
 */
const openLeases = sql`
  create or replace function open_leases(
    organization uuid, job_ids uuid[], due_counts int[], listed_jobs int[], listed_numbers int[], callers int[],
    worker_ids text[], request_ids text[], durations_ms bigint[]
  ) returns table (
    job int, number int, nonce bigint, attempt int, caller int, leased_ms bigint, contact text
  )
  language plpgsql
  ${settings}
  as $$
  #variable_conflict use_column
  declare
    most int;
    begun timestamptz(3);
    repeated text[];
  begin
    select least(o.lease_limit - o.dialing, cardinality(callers)) into most
    from organizations o where o.id = organization for no key update;
    perform from (select id from unnest(job_ids) as t (id) order by id) as t
    cross join lateral (select from batch_jobs where id = t.id for no key update) as b;
    begun := date_trunc('milliseconds', clock_timestamp());
    select coalesce(array_agg(distinct asked.id), '{}') into repeated
    from unnest(request_ids) as asked (id)
    cross join lateral (
      select job_id from leases where request_id = asked.id and request_id <> '' and expires_at > begun
    ) as l
    cross join lateral (select organization_id from batch_jobs where id = l.job_id limit 1) as b
    where b.organization_id = organization;

    return query
    with turns as (
      select t.turn, b.id, t.due, b.concurrent_call_limit - b.dialing_contacts as room
      from unnest(job_ids, due_counts) with ordinality as t (id, due, turn)
      cross join lateral (select * from batch_jobs where id = t.id limit 1) as b
      where b.organization_id = organization and b.status = 'running'
    ), retry as (
      select t.turn, t.room, t.id as job_id, r.number, a.attempt, false as is_listed, r.due_at, 0::bigint as place
      from turns t
      cross join lateral (
        select number, due_at from retries
        where job_id = t.id and due_at <= begun
        order by due_at limit greatest(0, least(t.due, t.room))
      ) as r
      cross join lateral (
        select attempt, next_attempt_at from attempts
        where job_id = t.id and number = r.number
        order by attempt desc limit 1
      ) as a
      where a.next_attempt_at <= begun
    ), listed as (
      select t.turn, t.room, t.id as job_id, l.number, 0 as attempt, true as is_listed, null::timestamptz as due_at, l.place
      from unnest(listed_jobs, listed_numbers) with ordinality as l (turn, number, place)
      join turns t on t.turn = l.turn
      where not exists (select from attempts where job_id = t.id and number = l.number)
        and not exists (select from leases where job_id = t.id and number = l.number)
    ), ranked as (
      select *, row_number() over (partition by turn order by is_listed, due_at, place) as rank
      from (select * from retry union all select * from listed) as proposed
    ), placed as (
      select *, rank <= room and slot <= most and request_ids[callers[slot]] <> all(repeated) as fits
      from (select *, row_number() over (order by rank > room, turn, rank) as slot from ranked) as r
    ), opened as (
      select *, attempt + 1 as next_attempt, callers[slot] as caller, (random() * (2::bigint ^ 48 - 1))::bigint as new_nonce
      from placed p
      cross join lateral (
        select split_part(contacts, E'\\n', p.number - first_number + 1) as contact from contact_blocks
        where job_id = p.job_id and first_number <= p.number
        order by first_number desc limit 1
      ) as b
      where fits and contact <> ''
    ), written as (
      insert into leases (job_id, number, attempt, nonce, worker_id, request_id, leased_at, expires_at)
      select job_id, number, next_attempt, new_nonce, worker_ids[caller], request_ids[caller], begun,
        begun + durations_ms[caller] * interval '1 millisecond'
      from opened
    ), taken as (
      delete from retries r using opened o where not o.is_listed and r.job_id = o.job_id and r.number = o.number
    ), moved as (
      select job_id, count(*)::int as leased, (count(*) filter (where is_listed))::int as from_list
      from opened group by job_id
    ), counted as (
      update batch_jobs b
      set dialing_contacts = b.dialing_contacts + m.leased, pending_contacts = b.pending_contacts - m.from_list,
        waiting_retry_contacts = b.waiting_retry_contacts - (m.leased - m.from_list)
      from moved m where b.id = m.job_id
    ), summed as (
      update organizations o set dialing = o.dialing + s.leased
      from (select count(*)::int as leased from opened) as s
      where o.id = organization and s.leased > 0
    )
    select turn::int, number, new_nonce, next_attempt, caller, (extract(epoch from begun) * 1000)::bigint, contact
    from opened
    union all
    select turn::int, number, null, null, null, null, null
    from placed where is_listed and fits is not true
    union all
    select null, null, null, null, place::int, null, null
    from unnest(request_ids) with ordinality as asked (id, place) where id = any(repeated);
  end $$`;

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
 *   numbers, nonces, outcomes               of each lease
 *   delays_ms     after how long the contact is to be called again if its job goes on; null for never
 *   error_codes, failure_reasons, durations_ms, provider_call_ids   what was reported; null for nothing
 * Answers the time, the places (from 1) of the leases that it did not end, whether each job goes on (null if it is not
 * there), and the jobs that have ended by this.
 */
const endLeases = sql`
  create or replace function end_leases(
    organization uuid, only_expired boolean, job_ids uuid[], jobs int[], numbers int[], nonces bigint[],
    outcomes text[], delays_ms bigint[], error_codes text[], failure_reasons text[], durations_ms bigint[],
    provider_call_ids text[],
    out ended_ms bigint, out missed int[], out going_on boolean[], out finished_ids uuid[], out finished_revisions bigint[]
  )
  language plpgsql
  ${settings}
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
        jobs, numbers, nonces, outcomes, delays_ms, error_codes, failure_reasons, durations_ms, provider_call_ids
      ) with ordinality as g (
        job, number, nonce, outcome, delay_ms, error_code, failure_reason, duration_ms, provider_call_id, place
      )
      where going_on[g.job] is not null
    ), ended as (
      delete from leases l using given g
      where l.job_id = g.job_id and l.number = g.number and l.nonce = g.nonce
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
