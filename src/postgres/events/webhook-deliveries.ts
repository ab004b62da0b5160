import { type SqlBool, sql } from "kysely";
import type { SendFailure } from "../../domain/send-failure.ts";
import { type DeliveryStatus, type WebhookDelivery, testType } from "../../domain/webhook.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import type { EndpointKey } from "./webhook-endpoints.ts";

/*
 * What was not taken at the first attempt, what is replayed, and tests. What waits keeps its body, so that it is the
 * same each time, unless a contact is erased; what has ended stays for some days to be looked at, without it.
 */

const ofEndpoint = ({ organizationId, id }: EndpointKey) =>
  sql<SqlBool>`d.organization_id = ${organizationId} and d.endpoint_id = ${id}`;

export type DeliveryCursor = { readonly createdAt: string; readonly id: string };

const shown = sql`
  d.id, d.type, d.events, d.first_sequence as "firstSequence", d.last_sequence as "lastSequence", d.status, d.attempts,
  d.created_at as "createdAt", d.attempted_at as "attemptedAt", d.due_at as "dueAt", d.http_status as "httpStatus",
  d.failure, d.duration_ms as "durationMs", d.answer`;

/** The first deliveries of an endpoint after this one, the newest first. */
export async function listDeliveries(
  db: Database,
  key: EndpointKey,
  page: { after: DeliveryCursor | undefined; size: number },
): Promise<WebhookDelivery[]> {
  const { after, size } = page;
  const isAfter =
    after === undefined
      ? sql`true`
      : sql`(d.created_at, d.id) < (${after.createdAt}::timestamptz, ${after.id})`;
  const { rows } = await sql<WebhookDelivery>`
    select ${shown} from webhook_deliveries d where ${ofEndpoint(key)} and ${isAfter}
    order by d.created_at desc, d.id desc limit ${size}
  `.execute(db);
  return rows;
}

/** Has a test sent at once. */
export async function insertTest(
  trx: Trx,
  key: EndpointKey,
  test: { id: string; body: string },
): Promise<void> {
  await sql`
    insert into webhook_deliveries (
      organization_id, endpoint_id, id, type, events, first_sequence, last_sequence, status, body, due_at)
    values (${key.organizationId}, ${key.id}, ${test.id}, ${testType}, 0, 0, 0, 'pending', ${test.body},
      clock_timestamp())
  `.execute(trx);
  await sql`
    update webhook_endpoints e set pending_deliveries = pending_deliveries + 1
    where e.organization_id = ${key.organizationId} and e.id = ${key.id}
  `.execute(trx);
}

/** What is to be sent, as it was made. */
export type Parcel = {
  /** Its `webhook-id`. */
  readonly id: string;
  readonly type: string;
  readonly events: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly body: string;
};

export type DueDelivery = Parcel & { readonly attempts: number };

/** Up to `size` deliveries that are due to be sent again and are not among these, those that are due longest first. */
export async function dueDeliveries(
  db: Database,
  key: EndpointKey,
  { except, size }: { except: readonly string[]; size: number },
): Promise<DueDelivery[]> {
  const { rows } = await sql<DueDelivery>`
    select d.id, d.type, d.events, d.first_sequence as "firstSequence", d.last_sequence as "lastSequence", d.body,
      d.attempts
    from webhook_deliveries d
    where ${ofEndpoint(key)} and d.due_at <= (select clock_timestamp()) and d.id <> all (${except}::text[])
    order by d.due_at limit ${size}
  `.execute(db);
  return rows;
}

/** What became of one attempt. */
export type AttemptedDelivery = Parcel & {
  readonly status: DeliveryStatus;
  readonly attempts: number;
  /** Of one that is pending: after how long it is sent again. */
  readonly retryMs: number | null;
  readonly httpStatus: number | null;
  readonly failure: SendFailure | null;
  readonly durationMs: number;
  readonly answer: string;
};

/**
 * Keeps what became of these, of an endpoint that the transaction has locked; answers how many more wait than before.
 */
export async function keepDeliveries(
  trx: Trx,
  key: EndpointKey,
  attempted: readonly AttemptedDelivery[],
): Promise<number> {
  const { rows } = await sql<{ more: number }>`
    with given as materialized (
      select * from jsonb_to_recordset(${JSON.stringify(attempted)}::jsonb) as g (
        id text, type text, events int, "firstSequence" bigint, "lastSequence" bigint, body text, status text,
        attempts int, "retryMs" float8, "httpStatus" int, failure text, "durationMs" float8, answer text)
    ), waited as materialized (
      select count(*)::int as count from given g
      join webhook_deliveries d on d.organization_id = ${key.organizationId} and d.endpoint_id = ${key.id} and d.id = g.id
      where d.status = 'pending'
    ), kept as (
      insert into webhook_deliveries as d (
        organization_id, endpoint_id, id, type, events, first_sequence, last_sequence, status, attempts, attempted_at,
        due_at, http_status, failure, duration_ms, answer, body)
      select ${key.organizationId}::int, ${key.id}::uuid, id, type, events, "firstSequence", "lastSequence", status,
        attempts, clock_timestamp(),
        case when status = 'pending' then clock_timestamp() + "retryMs" * interval '1 millisecond' end,
        "httpStatus", failure, round("durationMs")::int, answer, case when status = 'pending' then body end
      from given order by id
      on conflict (organization_id, endpoint_id, id) do update set
        status = excluded.status, attempts = excluded.attempts, attempted_at = excluded.attempted_at,
        due_at = excluded.due_at, http_status = excluded.http_status, failure = excluded.failure,
        duration_ms = excluded.duration_ms, answer = excluded.answer,
        -- Something may have been erased from what is there.
        body = case when excluded.status = 'pending' then coalesce(d.body, excluded.body) end
    )
    select (select count(*)::int from given where status = 'pending') - waited.count as more from waited
  `.execute(trx);
  for (const contact of await erasedMeanwhile(trx, key.organizationId, attempted))
    await eraseFromDeliveries(trx, contact, key.id);
  return rows[0]?.more ?? 0;
}

/** The contacts that were erased after these were read from the log, or before they are sent again. */
async function erasedMeanwhile(
  trx: Trx,
  organizationId: number,
  attempted: readonly AttemptedDelivery[],
): Promise<ContactKey[]> {
  const bodies = attempted
    .filter(({ status, type }) => status === "pending" && type === attemptsType)
    .map(({ body }) => body);
  if (bodies.length === 0) return [];
  const { rows } = await sql<{ jobId: string; number: number }>`
    select distinct e.batch_job_id as "jobId", e.number
    from unnest(${bodies}::text[]) as g (body)
    cross join jsonb_array_elements(g.body::jsonb #> '{data,events}') as told (event)
    join events e on e.organization_id = ${organizationId} and e.batch_job_id = (told.event ->> 'batchJobId')::uuid
      and e.number = (told.event #>> '{contactAttemptEnded,number}')::int
    where e.type = 'contact.erased' order by 1, 2
  `.execute(trx);
  return rows.map((contact) => ({ organizationId, ...contact }));
}

/** What has ended is kept for so long. */
const keptDays = 3;

const hasEnded = sql`
  d.status <> 'pending' and d.attempted_at < (select clock_timestamp() - make_interval(days => ${keptDays}::int))`;

/** Up to `limit` organizations that have deliveries, or endpoints, that are no longer needed. */
export async function organizationsWithOldDeliveries(db: Database, limit: number): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select distinct e.organization_id as id from webhook_endpoints e
    where e.status = 'deleted'
      or exists (select from webhook_deliveries d where d.organization_id = e.organization_id and ${hasEnded})
    limit ${limit}
  `.execute(db);
  return rows.map(({ id }) => id);
}

/**
 * Removes up to `size` deliveries of an organization that are no longer needed, and endpoints that were deleted and
 * have none left; answers how many deliveries.
 */
export async function purgeDeliveries(db: Database, organizationId: number, size: number): Promise<number> {
  const { rows } = await sql<{ purged: number }>`
    with deleted as materialized (
      select e.id from webhook_endpoints e where e.organization_id = ${organizationId} and e.status = 'deleted'
    ), ended as materialized (
      select d.endpoint_id, d.id from webhook_deliveries d
      where d.organization_id = ${organizationId} and ${hasEnded} limit ${size} for update skip locked
    ), left_over as materialized (
      select d.endpoint_id, d.id from deleted e cross join lateral (
        select endpoint_id, id from webhook_deliveries
        where organization_id = ${organizationId} and endpoint_id = e.id limit ${size}
      ) as d limit ${size}
    ), chosen as materialized (
      select * from ended union select * from left_over limit ${size}
    ), removed as (
      delete from webhook_deliveries d using chosen c
      where d.organization_id = ${organizationId} and d.endpoint_id = c.endpoint_id and d.id = c.id
      returning d.endpoint_id
    ), emptied as (
      delete from webhook_endpoints e using deleted
      where e.organization_id = ${organizationId} and e.id = deleted.id
        and not exists (
          select from webhook_deliveries d where d.organization_id = ${organizationId} and d.endpoint_id = e.id)
    )
    select count(*)::int as purged from removed
  `.execute(db);
  return rows[0]?.purged ?? 0;
}

/** As far as it is looked at here. */
type AttemptsBody = {
  readonly data: {
    readonly events: readonly {
      readonly batchJobId: string;
      readonly contactAttemptEnded: { readonly number: number };
    }[];
  };
};

type ContactKey = { readonly organizationId: number; readonly jobId: string; readonly number: number };

/** Under this type ended attempts are sent, many together. */
export const attemptsType = "contact.attempts_ended";

/**
 * Has those wait who would keep deliveries, until the transaction ends, when they see what it has erased; and waits for
 * those who have begun, whose deliveries are seen then.
 */
export async function holdOffKeeping(trx: Trx, organizationId: number): Promise<void> {
  await sql`
    select from webhook_endpoints where organization_id = ${organizationId} order by id for share
  `.execute(trx);
}

/**
 * Takes what was reported in words of a contact's attempts out of what waits to be sent, to all endpoints or to one.
 * All else of a body is kept as it was written, which Postgres's jsonb would not do; bodies in which nothing is of the
 * contact are left alone.
 */
export async function eraseFromDeliveries(
  trx: Trx,
  contact: ContactKey,
  toEndpoint: string | null = null,
): Promise<void> {
  const { organizationId, jobId, number } = contact;
  const { rows } = await sql<{ endpointId: string; id: string; body: string }>`
    select d.endpoint_id as "endpointId", d.id, d.body from webhook_deliveries d
    where d.organization_id = ${organizationId} and d.status = 'pending' and d.type = ${attemptsType}
      and (${toEndpoint}::uuid is null or d.endpoint_id = ${toEndpoint}) and strpos(d.body, ${jobId}) > 0 and exists (
        select from jsonb_array_elements(d.body::jsonb #> '{data,events}') as e (event)
        where e.event ->> 'batchJobId' = ${jobId} and e.event #>> '{contactAttemptEnded,number}' = ${String(number)})
    for no key update
  `.execute(trx);
  for (const { endpointId, id, body } of rows) {
    const erased: AttemptsBody = JSON.parse(body);
    for (const { batchJobId, contactAttemptEnded: attempt } of erased.data.events) {
      if (batchJobId === jobId && attempt.number === number)
        Object.assign(attempt, { errorCode: "", providerCallId: "" });
    }
    await sql`
      update webhook_deliveries d set body = ${JSON.stringify(erased)}
      where ${ofEndpoint({ organizationId, id: endpointId })} and d.id = ${id}
    `.execute(trx);
  }
}
