import { type RawBuilder, sql } from "kysely";
import { storedContactStatuses } from "../../domain/contacts/contact.ts";
import { currentContacts } from "../contacts/current-contacts.ts";
import { never } from "../leasing/retries.ts";

/**
 * What holds of the rows at any moment: each query selects what breaks it. `isOf` says of a `job_id` whether its job is
 * to be looked at, since some read all contacts of each.
 */
export const invariants = (isOf: RawBuilder<boolean>): Record<string, RawBuilder<unknown>> => ({
  "attempts of one contact are numbered without a gap": sql`
    select job_id, number, array_agg(attempt order by attempt) from all_attempts where ${isOf}
    group by 1, 2 having max(attempt) <> count(*)`,
  "every contact of a job that has ended is final": sql`
    select c.job_id, c.number, c.status, b.status as job_status, b.failure_reason, b.finished_at, b.end_at
    from (select * from ${currentContacts} as contacts where ${isOf}) as c
    join batch_jobs b on b.id = c.job_id
    where b.status in ('completed', 'failed') and c.status in ('pending', 'dialing', 'waiting_retry')
      and (b.end_at is null or b.end_at > b.finished_at) and b.failure_reason is distinct from 'start_missed'`,
  "nobody is called again who was not to be": sql`
    select a.job_id, a.number, a.attempt, a.outcome from (select * from attempts where ${isOf}) as a
    join all_attempts later on later.organization_id = a.organization_id and later.job_id = a.job_id
      and later.number = a.number and later.attempt = a.attempt + 1
    where a.next_attempt_at is null`,
  "the counts of a job are its rows": sql`
    select b.id from batch_jobs b left join (
      select job_id, ${sql.join(
        storedContactStatuses.map(
          (status) =>
            sql`count(*) filter (where status = ${sql.lit(status)}) as ${sql.ref(`${status}_rows`)}`,
        ),
      )}, count(*) as total_rows
      from ${currentContacts} as contacts where ${isOf} group by 1
    ) as c on c.job_id = b.id
    where exists (select from (select b.id as job_id) as looked_at where ${isOf})
      and (total_contacts <> coalesce(total_rows, 0) or ${sql.join(
        storedContactStatuses.map(
          (status) => sql`${sql.ref(`${status}_contacts`)} <> coalesce(${sql.ref(`${status}_rows`)}, 0)`,
        ),
        sql` or `,
      )})`,
  "a job's sets of time zones are its rows": sql`
    select b.id, b.zone_sets, count(z.job_id) from batch_jobs b
    left join zone_sets z on z.organization_id = b.organization_id and z.job_id = b.id
    where exists (select from (select b.id as job_id) as looked_at where ${isOf})
    group by b.organization_id, b.id having b.zone_sets <> count(z.job_id)`,
  "a set of time zones counts the contacts that are in it": sql`
    select coalesce(z.job_id, c.job_id), coalesce(z.zone_set, c.zone_set), z.contacts, c.contacts, z.pending_contacts, c.pending
    from (select * from zone_sets where zone_set > 0 and ${isOf}) as z
    full join (
      select organization_id, job_id, zone_set, count(*) as contacts, count(*) filter (where status = 'pending') as pending
      from ${currentContacts} as contacts where zone_set > 0 and ${isOf} group by 1, 2, 3
    ) as c on c.organization_id = z.organization_id and c.job_id = z.job_id and c.zone_set = z.zone_set
    where coalesce(z.contacts, -1) <> coalesce(c.contacts, 0) or coalesce(z.pending_contacts, -1) <> coalesce(c.pending, 0)`,
  "a retry, or a lease, is in the set of time zones of its contact, and due where it is looked for": sql`
    select r.job_id, r.number, r.zone_set, c.zone_set, r.due_at, r.zone_due_at
    from (
      select organization_id, job_id, number, zone_set, due_at, zone_due_at from retries where ${isOf}
      union all select organization_id, job_id, number, zone_set, null, null from leases where ${isOf}
    ) as r
    left join (select * from ${currentContacts} as contacts where ${isOf}) as c
      on c.organization_id = r.organization_id and c.job_id = r.job_id and c.number = r.number
    where r.zone_set is distinct from c.zone_set
      or (r.due_at is not null and (r.zone_set > 0) <> (r.zone_due_at is not null))
      or (r.zone_set > 0 and r.due_at < ${never})`,
  "an organization's count of leases is its open attempts": sql`
    select o.id, o.dialing, count(l.job_id) from organizations o
    left join leases l on l.organization_id = o.id
    group by o.id having o.dialing <> count(l.job_id)`,
  "an organization's count of erased phones is those that it has": sql`
    select o.id, o.erased_phones, e.phones from organizations o
    left join (select organization_id, count(*)::int as phones from erased_phones group by 1) as e
      on e.organization_id = o.id
    where o.erased_phones <> coalesce(e.phones, 0)`,
  "an organization's count of suppressed phones is those that it has": sql`
    select o.id, o.suppressed_phones, s.phones from organizations o
    left join (select organization_id, count(*)::int as phones from suppressed_phones group by 1) as s
      on s.organization_id = o.id
    where o.suppressed_phones <> coalesce(s.phones, 0)`,
  "whoever waits for a retry is in the table of retries, and nobody else": sql`
    select coalesce(c.job_id, r.job_id), coalesce(c.number, r.number) from
      (select * from ${currentContacts} as contacts where status = 'waiting_retry' and ${isOf}) c
      full join (select * from retries where ${isOf}) r
        on r.organization_id = c.organization_id and r.job_id = c.job_id and r.number = c.number
    where c.job_id is null or r.job_id is null`,
});
