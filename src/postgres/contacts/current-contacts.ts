import { type RawBuilder, sql } from "kysely";
import type { StoredContactStatus } from "../../domain/contacts/contact.ts";
import { contactsOfBlock } from "./contact-blocks.ts";
import type { ContactRow } from "../schema/tables.ts";

/**
 * The status of a contact, in SQL: of its last attempt that has ended, whose columns are both null where none has, and
 * of whether it is leased.
 */
export const contactStatus = (contact: {
  isLeased: RawBuilder<unknown>;
  outcome: RawBuilder<unknown>;
  nextAttemptAt: RawBuilder<unknown>;
}): RawBuilder<StoredContactStatus> => sql`
  case
    when ${contact.isLeased} then 'dialing'
    when ${contact.outcome} is null then 'pending'
    when ${contact.nextAttemptAt} is not null then 'waiting_retry'
    else ${contact.outcome}
  end`;

/**
 * How many attempts at a contact have ended, in SQL, of the last row that it has in attempts; null if it has none. One
 * that is suppressed has a row behind those of its attempts.
 */
export const endedAttempts = (last: { attempt: RawBuilder<unknown>; outcome: RawBuilder<unknown> }) =>
  sql<number | null>`(${last.attempt} - case when ${last.outcome} = 'suppressed' then 1 else 0 end)`;

const last = { attempt: sql`a.attempt`, outcome: sql`a.outcome` };

/** Every contact, and what has become of it, as a table. */
export const currentContacts = sql<ContactRow>`(
  select b.organization_id, b.job_id, c.number, c.phone collate "C" as phone, c.name collate "C" as name,
    c.fields::jsonb as fields,
    ${contactStatus({ isLeased: sql`l.number is not null`, outcome: sql`a.outcome`, nextAttemptAt: sql`a.next_attempt_at` })} as status,
    coalesce(${endedAttempts(last)}, 0) + case when l.number is null then 0 else 1 end as attempts,
    case when a.outcome = 'suppressed' then (
      select outcome from attempts
      where organization_id = b.organization_id and job_id = b.job_id and number = c.number
        and attempt = a.attempt - 1
    ) else a.outcome end as last_outcome,
    case when l.number is null then a.next_attempt_at end as next_attempt_at,
    coalesce(b.zone_sets[c.number - b.first_number + 1], 0) as zone_set
  from contact_blocks b
  cross join lateral ${contactsOfBlock(sql`b.first_number`, sql`b.contacts`)} as c
  left join lateral (
    select attempt, outcome, next_attempt_at from attempts
    where organization_id = b.organization_id and job_id = b.job_id and number = c.number
    order by attempt desc limit 1
  ) as a on true
  left join leases l
    on l.organization_id = b.organization_id and l.job_id = b.job_id and l.number = c.number
)`;
