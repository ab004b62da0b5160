import { type RawBuilder, sql } from "kysely";
import { largestListBytes } from "../../domain/answer-size.ts";
import type { Attempt } from "../../domain/contacts/attempt.ts";
import type { ContactInput, StoredContact, StoredContactStatus } from "../../domain/contacts/contact.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { pendingNumbers } from "./chunks.ts";
import { lineAndSetOf, readContact } from "./contact-blocks.ts";
import { contactStatus, endedAttempts } from "./current-contacts.ts";
import type { Database } from "../connections/database.ts";
import { readNextAttempts } from "./next-attempts.ts";
import { often } from "../connections/prepared.ts";

/** More than a contact takes in an answer beside its line. */
export const aroundLine = 300;

/**
 * The contacts of these numbers as they are shown, in order, as many as fit into one answer; and how many the job has
 * of these numbers.
 */
export const readContacts = (
  db: Database | Trx,
  organizationId: number,
  jobId: string,
  numbers: RawBuilder<unknown>,
): Promise<{ contacts: StoredContact[]; found: number }> =>
  readContactsOf(
    db,
    organizationId,
    sql`select number, ${jobId}::uuid, number from (${numbers}) as n (number)`,
  );

/**
 * The same of contacts of several jobs, of which `wanted` selects the place in the answer, the job and the number; the
 * answer has no more than so many bytes beside the line of each.
 */
export async function readContactsOf(
  db: Database | Trx,
  organizationId: number,
  wanted: RawBuilder<unknown>,
  around = aroundLine,
): Promise<{ contacts: StoredContact[]; found: number }> {
  const { rows } = await sql<
    Omit<StoredContact, keyof ContactInput> & {
      line: string;
      zoneSet: number;
      timezone: string | null;
      found: number;
    }
  >`${often}
    select c.job_id as "jobId", c.number, c.line, c.zone_set as "zoneSet", c.found, z.zones[1] as timezone,
      ${contactStatus({ isLeased: sql`l.number is not null`, outcome: sql`a.outcome`, nextAttemptAt: sql`a.next_attempt_at` })} as status,
      coalesce(${endedAttempts({ attempt: sql`a.attempt`, outcome: sql`a.outcome` })}, 0)
        + case when l.number is null then 0 else 1 end as attempts,
      case when a.outcome = 'suppressed' then (
        select outcome from attempts
        where organization_id = ${organizationId} and job_id = c.job_id and number = c.number
          and attempt = a.attempt - 1
      ) else a.outcome end as "lastOutcome",
      case when l.number is null then a.next_attempt_at end as "nextAttemptAt"
    from (
      select n.place, n.job_id, n.number, b.line, b.zone_set, count(*) over ()::int as found,
        sum(octet_length(b.line) + ${around}::int) over (order by n.place) as bytes
      from (${wanted}) as n (place, job_id, number)
      cross join lateral ${lineAndSetOf({ organizationId: sql`${organizationId}`, jobId: sql`n.job_id`, number: sql`n.number` })} as b
      where b.line <> ''
    ) as c
    left join lateral (
      select attempt, outcome, next_attempt_at from attempts
      where organization_id = ${organizationId} and job_id = c.job_id and number = c.number
      order by attempt desc limit 1
    ) as a on true
    left join lateral (
      select number from leases
      where organization_id = ${organizationId} and job_id = c.job_id and number = c.number limit 1
    ) as l on true
    left join lateral (
      select zones from zone_sets
      where c.zone_set > 0 and organization_id = ${organizationId} and job_id = c.job_id and zone_set = c.zone_set
        and is_own
      limit 1
    ) as z on true
    where c.bytes <= ${largestListBytes}
    order by c.place
  `.execute(db);
  const retries = rows.flatMap(({ jobId, zoneSet, nextAttemptAt: at }) =>
    at === null ? [] : [{ jobId, zoneSet, at }],
  );
  const nextAttempt = await readNextAttempts(db, organizationId, retries);
  return {
    contacts: rows.map(({ line, zoneSet, timezone, found: _found, nextAttemptAt: at, ...row }) => ({
      ...row,
      nextAttemptAt: at && nextAttempt({ jobId: row.jobId, zoneSet, at }),
      ...readContact(line),
      ...(timezone === null ? {} : { timezone }),
    })),
    found: rows[0]?.found ?? 0,
  };
}

/** An attempt of all_attempts. */
export const attemptColumns = sql.raw(`
  job_id as "jobId", number, attempt, nonce, worker_id as "workerId", leased_at as "leasedAt",
  expires_at as "expiresAt", ended_at as "endedAt", outcome, reported_at as "reportedAt",
  error_code as "errorCode", failure_reason as "failureReason", call_duration_ms as "callDurationMs",
  provider_call_id as "providerCallId"`);

/** A contact with its attempts, the first one first. */
export async function findContact(
  db: Database,
  organizationId: number,
  jobId: string,
  number: number,
): Promise<{ contact: StoredContact; attempts: Attempt[] } | undefined> {
  const [contact] = (await readContacts(db, organizationId, jobId, sql`select ${number}::int`)).contacts;
  if (contact === undefined) return undefined;
  const attempts = await sql<Attempt>`${often}
    select ${attemptColumns} from all_attempts
    where organization_id = ${organizationId} and job_id = ${jobId} and number = ${number}::int
    order by attempt
  `.execute(db);
  return { contact, attempts: attempts.rows };
}

/** At most so many attempts are looked at for one page, however few contacts are in a status that is asked for. */
const mostLookedAt = 10_000;

/** Up to which number a search after `after` looks, and the job's last number. */
async function searchEnd(
  db: Database | Trx,
  organizationId: number,
  jobId: string,
  after: number,
): Promise<{ upTo: number; last: number }> {
  const { rows } = await sql<{ upTo: number; last: number }>`
    select total_contacts as last, least(total_contacts, (
      select number - 1 from attempts
      where organization_id = ${organizationId} and job_id = ${jobId} and number > ${after}::int
      order by number offset ${mostLookedAt} limit 1
    )) as "upTo"
    from batch_jobs where organization_id = ${organizationId} and id = ${jobId}
  `.execute(db);
  return rows[0] ?? { upTo: 0, last: 0 };
}

/**
 * The first `size` numbers after `after` of contacts in these statuses, and up to where they were looked for if not to
 * the end.
 */
async function findNumbers(
  db: Database | Trx,
  organizationId: number,
  jobId: string,
  statuses: readonly StoredContactStatus[],
  { after, size }: { after: number; size: number },
): Promise<{ numbers: RawBuilder<unknown>; stoppedAt: number | undefined }> {
  const final = statuses.filter((s) => s !== "pending" && s !== "dialing" && s !== "waiting_retry");
  const isSearch = final.length > 0 || statuses.includes("pending");
  const { upTo, last } = isSearch
    ? await searchEnd(db, organizationId, jobId, after)
    : { upTo: lastNumber, last: lastNumber };
  const among = sql`
    organization_id = ${organizationId} and job_id = ${jobId} and number > ${after}::int and number <= ${upTo}::int`;
  const found: RawBuilder<unknown>[] = [sql`select null::int as number where false`];
  if (final.length > 0) {
    found.push(sql`
      select number from attempts
      where ${among} and next_attempt_at is null and outcome = any(${final}::text[])
      order by number limit ${size}`);
  }
  if (statuses.includes("waiting_retry")) {
    found.push(sql`select number from retries where ${among} order by number limit ${size}`);
  }
  if (statuses.includes("dialing")) {
    found.push(sql`select number from leases where ${among} order by number limit ${size}`);
  }
  if (statuses.includes("pending"))
    found.push(pendingNumbers(organizationId, jobId, after, sql`${upTo}::int`, size));
  const all = sql.join(
    found.map((some) => sql`(${some})`),
    sql` union all `,
  );
  return {
    numbers: sql`select number from (${all}) as found order by number limit ${size}`,
    stoppedAt: upTo < last ? upTo : undefined,
  };
}

/** No contact has a larger number. */
const lastNumber = 2 ** 31 - 1;

/**
 * The first `size` contacts of a job after `after`, by number, that are in one of the statuses; fewer where more would
 * not fit into one answer, or where the search has looked at as much as one page may. The list goes on after
 * `goesOnAfter`; undefined at its end.
 */
export async function listContacts(
  db: Database | Trx,
  organizationId: number,
  jobId: string,
  statuses: readonly StoredContactStatus[] | undefined,
  page: { after: number; size: number },
): Promise<{ contacts: StoredContact[]; goesOnAfter: number | undefined }> {
  const { after, size } = page;
  // One more tells whether there are more.
  const { numbers, stoppedAt } =
    statuses === undefined
      ? { numbers: numbersUpTo(organizationId, jobId, after, size + 1), stoppedAt: undefined }
      : await findNumbers(db, organizationId, jobId, statuses, { after, size: size + 1 });
  const { contacts, found } = await readContacts(db, organizationId, jobId, numbers);
  const shown = contacts.slice(0, size);
  return { contacts: shown, goesOnAfter: shown.length < found ? shown.at(-1)?.number : stoppedAt };
}

const numbersUpTo = (organizationId: number, jobId: string, after: number, size: number) => sql`
  select generate_series(
    ${after}::bigint + 1,
    least(${after + size}::bigint, (
      select total_contacts from batch_jobs where organization_id = ${organizationId} and id = ${jobId}))
  )::int`;
