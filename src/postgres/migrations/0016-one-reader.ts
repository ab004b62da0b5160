import { type Kysely, sql } from "kysely";

/*
 * What is stored is read in one place each: a block of contacts (contact-blocks.ts tells its format), and what of a
 * contact's lease and last attempt makes its status. Planners put these functions' bodies where they are called.
 */

const statements = [
  // The line of a contact, by its place in its block, from 1; empty after the last one.
  sql`
    create function contact_line(block text, place int) returns text
    language sql immutable parallel safe
    return split_part(block, E'\\n', place)`,
  sql`
    create function contacts_of_block(first_number int, block text)
    returns table (number int, phone text, name text, fields text)
    language sql immutable parallel safe
    begin atomic
      select first_number + place::int - 1, split_part(line, E'\\t', 1), split_part(line, E'\\t', 2),
        split_part(line, E'\\t', 3)
      from string_to_table(block, E'\\n') with ordinality as t (line, place);
    end`,
  // Of a contact's last attempt that has ended; both null where none has.
  sql`
    create function contact_status(is_leased boolean, outcome text, next_attempt_at timestamptz) returns text
    language sql immutable parallel safe
    return case
      when is_leased then 'dialing'
      when outcome is null then 'pending'
      when next_attempt_at is not null then 'waiting_retry'
      else outcome
    end`,
  sql`
    create or replace view current_contacts as
    select b.organization_id, b.job_id, c.number, c.phone collate "C" as phone, c.name collate "C" as name,
      c.fields::jsonb as fields,
      contact_status(l.number is not null, a.outcome, a.next_attempt_at) as status,
      coalesce(a.attempt, 0) + case when l.number is null then 0 else 1 end as attempts,
      a.outcome as last_outcome,
      case when l.number is null then a.next_attempt_at end as next_attempt_at
    from contact_blocks b
    cross join lateral contacts_of_block(b.first_number, b.contacts) as c
    left join lateral (
      select attempt, outcome, next_attempt_at from attempts
      where organization_id = b.organization_id and job_id = b.job_id and number = c.number
      order by attempt desc limit 1
    ) as a on true
    left join leases l
      on l.organization_id = b.organization_id and l.job_id = b.job_id and l.number = c.number`,
];

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await statement.execute(db);
}
